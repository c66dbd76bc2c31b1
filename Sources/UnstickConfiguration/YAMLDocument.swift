internal import Yams

/// A YAML text composed into nodes with marks.
///
/// Yams refuses a text at its first repeated key, so that nothing behind it would be checked. Here each such key is
/// masked, in a copy of the text, by as many private-use characters as it has, which keeps every mark; then the text is
/// composed again.
struct YAMLDocument {
    /// Nil for a text without content.
    let root: Node?
    /// The masks and what they stand for.
    private let masked: [String: String]

    /// A text with more repeated keys than this is reported up to here; each costs another pass.
    private static let duplicatesLimit = 64

    /// Composes the text; reports syntax errors.
    /// - Returns: nil when there is nothing to check because of them.
    init?(_ text: String, log: inout ProblemLog) {
        var scalars = Array(text.unicodeScalars)
        var masked: [String: String] = [:]
        while true {
            do {
                root = try Yams.compose(yaml: String(String.UnicodeScalarView(scalars)), .default, .default, .utf8)
                self.masked = masked
                return
            } catch let error as YamlError {
                if case .duplicatedKeysInMapping(let keys, let context) = error, let key = keys.first,
                    masked.count < YAMLDocument.duplicatesLimit,
                    let mask = YAMLDocument.mask(key, at: context.mark, in: &scalars, number: masked.count)
                {
                    masked[mask] = key
                    continue
                }
                YAMLDocument.report(error, &log)
                return nil
            } catch {
                log.report("", at: nil, "cannot be read as YAML: \(error)")
                return nil
            }
        }
    }

    /// The key as it stands in the text.
    func name(of key: Node) -> String? {
        guard case .scalar(let scalar) = key else { return nil }
        return masked[scalar.string] ?? scalar.string
    }

    /// Overwrites the key at the mark. Nil when the key is written in a way that does not show it (escapes, aliases).
    private static func mask(_ key: String, at mark: Mark, in scalars: inout [Unicode.Scalar], number: Int) -> String? {
        guard var start = offset(of: mark, in: scalars) else { return nil }
        if scalars[start] == "\"" || scalars[start] == "'" { start += 1 }
        let length = key.unicodeScalars.count
        guard length > 0, start + length <= scalars.count,
            scalars[start..<start + length].elementsEqual(key.unicodeScalars),
            let character = Unicode.Scalar(0xe000 + UInt32(number))
        else { return nil }
        let mask = [Unicode.Scalar](repeating: character, count: length)
        scalars.replaceSubrange(start..<start + length, with: mask)
        return String(String.UnicodeScalarView(mask))
    }

    /// Marks count unicode scalars, and lines end as YAML 1.1 says (section 5.4).
    private static func offset(of mark: Mark, in scalars: [Unicode.Scalar]) -> Int? {
        var line = 1
        var offset = 0
        while line < mark.line, offset < scalars.count {
            switch scalars[offset] {
            case "\r" where offset + 1 < scalars.count && scalars[offset + 1] == "\n": break
            case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}": line += 1
            default: break
            }
            offset += 1
        }
        let result = offset + mark.column - 1
        return result < scalars.count ? result : nil
    }

    private static func report(_ error: YamlError, _ log: inout ProblemLog) {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let during = context.map { " \($0.text)" } ?? ""
            log.report("", at: place(mark), "is not valid YAML\(during): \(problem)")
        case .reader(let problem, let offset, _, let yaml):
            var place: SourcePlace?
            if let offset {
                let before = yaml.prefix(offset)
                let line = before.count { $0.isNewline } + 1
                let column = before.reversed().prefix { !$0.isNewline }.count + 1
                place = SourcePlace(line: line, column: column)
            }
            log.report("", at: place, "is not valid YAML: \(problem)")
        case .duplicatedKeysInMapping(let keys, let context):
            let names = keys.map { "'\(ShownValue.text($0))'" }.joined(separator: ", ")
            log.report("", at: place(context.mark), "gives \(names) twice in one mapping")
        default:
            log.report("", at: nil, "cannot be read as YAML: \(error)")
        }
    }

    private static func place(_ mark: Mark) -> SourcePlace { SourcePlace(line: mark.line, column: mark.column) }
}
