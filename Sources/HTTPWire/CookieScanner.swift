/// A cookie's name: a token, compared byte by byte (RFC 6265 §5.4: names are case-sensitive).
public struct CookieName: Hashable, Sendable {
    let bytes: ContiguousArray<UInt8>
    /// Nil unless `name` is a token (RFC 6265 §4.1.1).
    public init?(_ name: String) { fatalError() }
}

/// Finds cookies in `Cookie` fields without decoding anything.
public enum CookieScanner {
    /// One pair of a `Cookie` field.
    public struct Pair: Hashable, Sendable {
        public var name: ByteSlice
        public var value: ByteSlice
    }

    /// The value of the first cookie of that name in all `Cookie` fields; its bytes untouched (quotes included).
    public static func value(
        of name: CookieName,
        in headers: HeaderBlock,
        of bytes: UnsafeRawBufferPointer
    ) -> ByteSlice? { fatalError() }

    /// The same in one field value.
    public static func value(
        of name: CookieName,
        in field: ByteSlice,
        of bytes: UnsafeRawBufferPointer
    ) -> ByteSlice? { fatalError() }

    /// The next pair at or behind `position` in a field value; moves `position` behind it.
    public static func nextPair(
        in field: ByteSlice,
        of bytes: UnsafeRawBufferPointer,
        position: inout Int
    ) -> Pair? { fatalError() }

    /// Name and value of a `Set-Cookie` field's value, attributes left out; nil when there is no name.
    public static func setCookiePair(in field: ByteSlice, of bytes: UnsafeRawBufferPointer) -> Pair? { fatalError() }

    /// Without one surrounding pair of double quotes, if there is one.
    public static func unquoted(_ value: ByteSlice, in bytes: UnsafeRawBufferPointer) -> ByteSlice { fatalError() }

    /// Whether the pair's name is `name`.
    public static func matches(_ pair: Pair, _ name: CookieName, in bytes: UnsafeRawBufferPointer) -> Bool { fatalError() }
}
