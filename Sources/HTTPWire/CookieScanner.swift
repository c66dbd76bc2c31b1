/// A cookie's or URL parameter's name: a token, compared byte by byte (cookie names are case-sensitive).
public struct CookieName: Hashable, Sendable {
    let bytes: ContiguousArray<UInt8>

    /// Nil unless `name` is a token (RFC 6265 §4.1.1).
    public init?(_ name: String) {
        let bytes = ContiguousArray(name.utf8)
        guard !bytes.isEmpty, bytes.allSatisfy({ ByteClass.token.contains($0) }) else { return nil }
        self.bytes = bytes
    }

    @inline(__always)
    func matches(_ base: UnsafeRawPointer, _ slice: ByteSlice) -> Bool {
        guard slice.count == bytes.count else { return false }
        for index in 0..<slice.count where ByteScan.byte(base, slice.start &+ index) != bytes[index] { return false }
        return true
    }
}

/// Finds cookies in `Cookie` fields without decoding anything.
///
/// Fields are split at `;` only, quoted or not, as RFC 6265bis §5.6 and browsers do: a reader that honours quotes can be made
/// to see another session id than one that does not.
public enum CookieScanner {
    /// One pair of a `Cookie` field. A pair without `=` has an empty name (RFC 6265bis §5.6).
    public struct Pair: Hashable, Sendable {
        public var name: ByteSlice
        public var value: ByteSlice
    }

    /// The value of the first cookie of that name in all `Cookie` fields; its bytes untouched (quotes included).
    public static func value(
        of name: CookieName,
        in headers: HeaderBlock,
        of bytes: UnsafeRawBufferPointer
    ) -> ByteSlice? {
        guard headers.contains(.cookie) else { return nil }
        for field in headers where field.known == .cookie {
            if let value = value(of: name, in: field.value, of: bytes) { return value }
        }
        return nil
    }

    /// The same in one field value.
    public static func value(
        of name: CookieName,
        in field: ByteSlice,
        of bytes: UnsafeRawBufferPointer
    ) -> ByteSlice? {
        guard let base = bytes.baseAddress else { return nil }
        var position = field.start
        while let pair = nextPair(base, in: field, position: &position) {
            if name.matches(base, pair.name) { return pair.value }
        }
        return nil
    }

    /// The next pair at or behind `position` (at first `field.start`) in a field value; moves `position` behind it. Empty
    /// pairs are skipped.
    public static func nextPair(
        in field: ByteSlice,
        of bytes: UnsafeRawBufferPointer,
        position: inout Int
    ) -> Pair? {
        guard let base = bytes.baseAddress else { return nil }
        return nextPair(base, in: field, position: &position)
    }

    /// Name and value of a `Set-Cookie` field's value without the attributes; nil when there is no name.
    public static func setCookiePair(in field: ByteSlice, of bytes: UnsafeRawBufferPointer) -> Pair? {
        guard let base = bytes.baseAddress else { return nil }
        let end = ByteScan.first(0x3b, base, from: field.start, end: field.end)
        let pair = pair(base, from: field.start, to: end)
        return pair.name.isEmpty ? nil : pair
    }

    /// Without one surrounding pair of double quotes, if there is one.
    public static func unquoted(_ value: ByteSlice, in bytes: UnsafeRawBufferPointer) -> ByteSlice {
        guard value.count >= 2, bytes[value.start] == 0x22, bytes[value.end - 1] == 0x22 else { return value }
        return ByteSlice(start: value.start + 1, end: value.end - 1)
    }

    /// Whether the pair's name is `name`.
    public static func matches(_ pair: Pair, _ name: CookieName, in bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return false }
        return name.matches(base, pair.name)
    }

    @inline(__always)
    private static func nextPair(_ base: UnsafeRawPointer, in field: ByteSlice, position: inout Int) -> Pair? {
        while position < field.end {
            let end = ByteScan.first(0x3b, base, from: position, end: field.end)
            let found = pair(base, from: position, to: end)
            position = end &+ 1
            if !(found.name.isEmpty && found.value.isEmpty) { return found }
        }
        return nil
    }

    @inline(__always)
    private static func pair(_ base: UnsafeRawPointer, from start: Int, to end: Int) -> Pair {
        let equals = ByteScan.first(0x3d, base, from: start, end: end)
        guard equals < end else {
            return Pair(name: ByteSlice(start: start, end: start), value: ByteScan.trimmed(base, from: start, to: end))
        }
        return Pair(
            name: ByteScan.trimmed(base, from: start, to: equals),
            value: ByteScan.trimmed(base, from: equals &+ 1, to: end)
        )
    }
}
