/// One field line of a head or a trailer section.
public struct HeaderSlice: Hashable, Sendable {
    /// The name as sent; never empty, always a token (RFC 9110 §5.1).
    public var name: ByteSlice
    /// The value without the white space around it (RFC 9112 §5.1); may be empty.
    public var value: ByteSlice
    @usableFromInline var lineUpper: UInt32
    /// Which field it is, if it is one that a proxy has to know.
    public var known: KnownField

    @inlinable
    public init(name: ByteSlice, value: ByteSlice, lineEnd: Int, known: KnownField) {
        self.name = name
        self.value = value
        lineUpper = UInt32(truncatingIfNeeded: lineEnd)
        self.known = known
    }

    /// The whole line with its CRLF.
    @inlinable public var line: ByteSlice { ByteSlice(start: name.start, end: Int(lineUpper)) }
}
