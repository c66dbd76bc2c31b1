internal import Yams

/// Why a value is refused; reads as the end of "'VALUE' …".
struct ValueRefusal: Error {
    var reason: String
    var suggestion: String?

    init(_ reason: String, suggestion: String? = nil) {
        self.reason = reason
        self.suggestion = suggestion
    }
}

/// A kind of value: how it is read from YAML, written as a default, and described to people.
struct ValueKind<Value> {
    /// Completes "expected …" and fills the reference's column of values.
    let expected: String
    /// Reads the node; reports what is wrong and returns nil then.
    let read: (_ node: Node, _ keyPath: String, _ log: inout ProblemLog) -> Value?
    /// As it would stand in the file.
    let format: (Value) -> String
}

/// Ends of `expected` that a problem shows, and the reference says once for all.
enum ValueExamples {
    static let address = ", such as 127.0.0.1:8080, [::1]:8080 or localhost:8080"
    static let byteRate = ", such as 1KiB/s"
    static let duration = ", such as 500ms, 2s, 30m, 4h or 1d"
    static let size = ", such as 64KiB"

    static let all = [address, byteRate, duration, size]
}

/// A YAML scalar, before anything is decided about its type.
struct ScalarText {
    let text: String
    /// Written without quotes: only then it can be a number, a truth value or null (YAML 1.1 section 9.1.3).
    let isPlain: Bool

    var isNull: Bool { isPlain && ["", "~", "null", "Null", "NULL"].contains(text) }
}

extension ValueKind {
    /// A kind written as one scalar.
    static func scalar(
        _ expected: String,
        format: @escaping (Value) -> String,
        parse: @escaping (ScalarText) -> Result<Value, ValueRefusal>
    ) -> ValueKind {
        ValueKind(
            expected: expected,
            read: { node, keyPath, log in
                guard let value = node.scalarText else {
                    log.report(keyPath, at: node.place, "is \(node.shape); expected \(expected)")
                    return nil
                }
                guard !value.isNull else {
                    log.report(keyPath, at: node.place, "has no value; expected \(expected)")
                    return nil
                }
                switch parse(value) {
                case .success(let result): return result
                case .failure(let refusal):
                    let shown = ShownValue.text(value.text)
                    log.report(
                        keyPath,
                        at: node.place,
                        value: shown,
                        "'\(shown)' \(refusal.reason); expected \(expected)",
                        suggestion: refusal.suggestion
                    )
                    return nil
                }
            },
            format: format
        )
    }
}

extension ValueKind {
    /// Another kind, or nothing, written as `word` (`null` is understood as well).
    static func optional<Wrapped>(_ kind: ValueKind<Wrapped>, word: String = "null") -> ValueKind
    where Value == Wrapped? {
        ValueKind(
            expected: "\(kind.expected), or \(word)",
            read: { node, keyPath, log in
                if let value = node.scalarText, value.isNull || (value.isPlain && value.text == word) {
                    return .some(nil)
                }
                guard let value = kind.read(node, keyPath, &log) else { return nil }
                return .some(value)
            },
            format: { $0.map(kind.format) ?? word }
        )
    }

    /// A list of another kind. An element's key path ends in its index, from 0.
    static func list<Element>(
        _ kind: ValueKind<Element>,
        of things: String,
        most count: Int
    ) -> ValueKind where Value == [Element] {
        ValueKind(
            expected: "a list of \(things), at most \(count)",
            read: { node, keyPath, log in
                guard case .sequence(let sequence) = node else {
                    log.report(keyPath, at: node.place, "is \(node.shape); expected a list of \(things)")
                    return nil
                }
                guard sequence.count <= count else {
                    log.report(keyPath, at: node.place, "has \(sequence.count) entries; expected at most \(count)")
                    return nil
                }
                let values = sequence.enumerated().map { index, element in
                    let elementPath = "\(keyPath)[\(index)]"
                    log.note(elementPath, at: element.place)
                    return kind.read(element, elementPath, &log)
                }
                let good = values.compactMap(\.self)
                return good.count == values.count ? good : nil
            },
            format: { "[" + $0.map(kind.format).joined(separator: ", ") + "]" }
        )
    }
}

extension Node {
    /// Where it begins.
    var place: SourcePlace? { mark.map { SourcePlace(line: $0.line, column: $0.column) } }

    /// Nil for a mapping or list.
    var scalarText: ScalarText? {
        guard case .scalar(let scalar) = self else { return nil }
        return ScalarText(text: scalar.string, isPlain: scalar.style == .plain || scalar.style == .any)
    }

    /// What it is, for messages about a wrong type.
    var shape: String {
        switch self {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .alias: "an alias"
        case .scalar(let scalar): scalarText?.isNull == true ? "empty" : "'\(ShownValue.text(scalar.string))'"
        }
    }
}
