/// Writes targets and referrers without the session ids that they may hold. Ids are secrets: a log never has one.
struct LogRedaction: Sendable {
    /// Lower case.
    private let names: [[UInt8]]
    let showsQuery: Bool

    /// - Parameter parameters: names of path or query parameters whose values are secrets; `jsessionid` always is one.
    init(parameters: [String], showsQuery: Bool) {
        var names = [Array("jsessionid".utf8)]
        for parameter in parameters {
            let name = parameter.utf8.map { Self.lowercased($0) }
            if !name.isEmpty, !names.contains(name) { names.append(name) }
        }
        self.names = names
        self.showsQuery = showsQuery
    }

    /// The part before the query.
    func path(of target: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: target.prefix { $0 != 0x3f && $0 != 0x23 })
    }

    /// What is shown of a target or URL.
    func shown(of target: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        showsQuery ? target : path(of: target)
    }

    /// Hands over the pieces of `text` that may be written, in order, and `true` in place of each value that may not.
    ///
    /// A value begins behind `NAME=`, case ignored, where NAME stands at the beginning or behind one of `; ? &`; it ends
    /// before one of `; ? & # /` and white space. The separators and `=` count in their percent-encoded form too, because
    /// what decodes late would see an id there.
    func pieces(of text: UnsafeRawBufferPointer, _ body: (_ piece: UnsafeRawBufferPointer, _ isSecret: Bool) -> Void) {
        var from = 0
        var index = 0
        while index < text.count {
            guard let start = valueStart(in: text, at: index) else {
                index += 1
                continue
            }
            body(UnsafeRawBufferPointer(rebasing: text[from..<start]), false)
            var end = start
            while end < text.count, !Self.ends(text, at: end) { end += 1 }
            if end > start { body(UnsafeRawBufferPointer(rebasing: text[start..<end]), true) }
            from = end
            index = max(end, index + 1)
        }
        if from < text.count { body(UnsafeRawBufferPointer(rebasing: text[from...]), false) }
    }

    /// Where the value of a secret parameter begins whose name begins at `index`.
    private func valueStart(in text: UnsafeRawBufferPointer, at index: Int) -> Int? {
        let first = Self.lowercased(text[index])
        for name in names where name[0] == first {
            guard index + name.count < text.count, isBehindSeparator(text, index) else { continue }
            var matches = true
            for offset in 1..<max(1, name.count) where Self.lowercased(text[index + offset]) != name[offset] {
                matches = false
                break
            }
            guard matches else { continue }
            let end = index + name.count
            if text[end] == 0x3d { return end + 1 }
            if Self.isEncoded(text, at: end, 0x33, 0x64) { return end + 3 }
        }
        return nil
    }

    private func isBehindSeparator(_ text: UnsafeRawBufferPointer, _ index: Int) -> Bool {
        guard index > 0 else { return true }
        switch text[index - 1] {
        // ; ? &
        case 0x3b, 0x3f, 0x26: return true
        default:
            guard index >= 3 else { return false }
            // %3B %3F %26
            return Self.isEncoded(text, at: index - 3, 0x33, 0x62) || Self.isEncoded(text, at: index - 3, 0x33, 0x66)
                || Self.isEncoded(text, at: index - 3, 0x32, 0x36)
        }
    }

    private static func ends(_ text: UnsafeRawBufferPointer, at index: Int) -> Bool {
        switch text[index] {
        case 0x3b, 0x3f, 0x26, 0x23, 0x2f, 0x20, 0x09: true
        default: false
        }
    }

    private static func isEncoded(_ text: UnsafeRawBufferPointer, at index: Int, _ high: UInt8, _ low: UInt8) -> Bool {
        index + 2 < text.count && text[index] == 0x25 && text[index + 1] == high && lowercased(text[index + 2]) == low
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }
}
