/// A place in the configuration file, both counted from 1; columns in unicode scalars.
struct SourcePlace: Equatable {
    var line: Int
    var column: Int
}

/// Collects the mistakes of one configuration and remembers where each value stood.
struct ProblemLog {
    let file: String
    private(set) var problems: [ConfigurationProblem] = []
    private var places: [String: SourcePlace] = [:]
    private var refused: Set<String> = []

    init(file: String) { self.file = file }

    /// Remembers the place of the value at the key path, for checks that come later.
    mutating func note(_ keyPath: String, at place: SourcePlace?) { places[keyPath] = place }

    /// Whether the file gives the key at all.
    func isGiven(_ keyPath: String) -> Bool { places[keyPath] != nil }

    /// Whether a problem was reported for exactly this key path. Checks across keys leave such values alone: what
    /// stands in the configuration then is the default, not what the operator meant.
    func isRefused(_ keyPath: String) -> Bool { refused.contains(keyPath) }

    /// Reports a problem at a node.
    mutating func report(
        _ keyPath: String,
        at place: SourcePlace?,
        value: String? = nil,
        _ message: String,
        suggestion: String? = nil
    ) {
        refused.insert(keyPath)
        problems.append(
            ConfigurationProblem(
                file: file,
                line: place?.line ?? 1,
                column: place?.column ?? 1,
                keyPath: keyPath,
                value: value,
                message: message,
                suggestion: suggestion
            )
        )
    }

    /// Reports a problem where the value stood; for a default, at its section or else at the file's beginning.
    mutating func report(_ keyPath: String, value: String?, _ message: String, suggestion: String? = nil) {
        let section = keyPath.lastIndex(of: ".").map { String(keyPath[..<$0]) }
        let place = places[keyPath] ?? section.flatMap { places[$0] }
        report(keyPath, at: place, value: value, message, suggestion: suggestion)
    }

    /// All problems in the order of the file; reports of one place keep their order.
    var sorted: [ConfigurationProblem] {
        problems.enumerated()
            .sorted {
                ($0.element.line, $0.element.column, $0.offset) < ($1.element.line, $1.element.column, $1.offset)
            }
            .map(\.element)
    }
}

/// How values appear in messages.
enum ShownValue {
    /// Long or unprintable text cut and escaped, and user names and passwords in URLs blotted out.
    static func text(_ value: String) -> String {
        var shown = ""
        for scalar in withoutCredentials(value).unicodeScalars.prefix(120) {
            shown += scalar.value < 0x20 || scalar.value == 0x7f ? scalar.escaped(asASCII: true) : String(scalar)
        }
        return value.unicodeScalars.count > 120 ? shown + "…" : shown
    }

    private static func withoutCredentials(_ value: String) -> String {
        // The last '@', because passwords are often pasted in unescaped.
        guard let colon = value.firstIndex(of: ":"), let at = value.lastIndex(of: "@"), colon < at else { return value }
        let start = value[value.index(after: colon)...].drop { $0 == "/" }.startIndex
        return start <= at ? value[..<start] + "…" + value[at...] : value
    }
}
