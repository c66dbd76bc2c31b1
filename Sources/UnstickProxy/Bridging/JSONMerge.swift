import NIOCore

/// Three-way merge of JSON objects by top-level key: a key that only one side changed takes that side's value; where
/// both changed it, ours (the later writer) wins. Values are compared and copied as bytes, so numbers and escapes stay
/// exactly as the application's serializer wrote them.
enum JSONMerge {
    /// Nil when one of the texts is not a JSON object.
    static func merge(base: ByteBuffer, ours: ByteBuffer, theirs: ByteBuffer) -> ByteBuffer? {
        guard let base = members(of: base), let ours = members(of: ours), let theirs = members(of: theirs) else {
            return nil
        }
        var keys: [[UInt8]] = theirs.order
        keys += ours.order.filter { theirs.values[$0] == nil }
        var out = ByteBuffer()
        out.writeStaticString("{")
        var first = true
        for key in keys {
            let mine = ours.values[key]
            guard let value = mine == base.values[key] ? theirs.values[key] : mine else { continue }
            if !first { out.writeStaticString(", ") }
            first = false
            out.writeBytes(key)
            out.writeStaticString(": ")
            out.writeBytes(value)
        }
        out.writeStaticString("}")
        return out
    }

    struct Members: Equatable {
        var order: [[UInt8]] = []
        /// By the key as written, quotes included.
        var values: [[UInt8]: [UInt8]] = [:]
    }

    /// The members of a JSON object (RFC 8259 section 4), keys and values as raw text.
    static func members(of buffer: ByteBuffer) -> Members? {
        var reader = Reader(bytes: Array(buffer.readableBytesView))
        return reader.object()
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

        private mutating func skipSpace() {
            while let byte = current, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { position += 1 }
        }

        private mutating func take(_ byte: UInt8) -> Bool {
            skipSpace()
            guard current == byte else { return false }
            position += 1
            return true
        }

        mutating func object() -> Members? {
            var members = Members()
            guard take(UInt8(ascii: "{")) else { return nil }
            if take(UInt8(ascii: "}")) { return atEnd() ? members : nil }
            while true {
                skipSpace()
                guard let key = string(), take(UInt8(ascii: ":")), let value = value() else { return nil }
                if members.values.updateValue(value, forKey: key) == nil { members.order.append(key) }
                if take(UInt8(ascii: ",")) { continue }
                return take(UInt8(ascii: "}")) && atEnd() ? members : nil
            }
        }

        private mutating func atEnd() -> Bool {
            skipSpace()
            return current == nil
        }

        private mutating func string() -> [UInt8]? {
            let start = position
            guard current == UInt8(ascii: "\"") else { return nil }
            position += 1
            while let byte = current {
                position += 1
                if byte == UInt8(ascii: "\\") {
                    position += 1
                } else if byte == UInt8(ascii: "\"") {
                    return Array(bytes[start..<position])
                }
            }
            return nil
        }

        /// Any value: brackets are only counted, since the application's serializer wrote the text and its digest was
        /// checked; what is inside is copied, not understood.
        private mutating func value() -> [UInt8]? {
            skipSpace()
            let start = position
            var depth = 0
            while let byte = current {
                switch byte {
                case UInt8(ascii: "\""):
                    guard string() != nil else { return nil }
                    if depth == 0 { return Array(bytes[start..<position]) }
                    continue
                case UInt8(ascii: "{"), UInt8(ascii: "["):
                    depth += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    if depth == 0 { return scalar(from: start) }
                    depth -= 1
                    if depth == 0 {
                        position += 1
                        return Array(bytes[start..<position])
                    }
                case UInt8(ascii: ",") where depth == 0:
                    return scalar(from: start)
                default: break
                }
                position += 1
            }
            return nil
        }

        private func scalar(from start: Int) -> [UInt8]? {
            var end = position
            while end > start, bytes[end - 1] <= 0x20 { end -= 1 }
            return end > start ? Array(bytes[start..<end]) : nil
        }
    }
}
