/// Follows a chunked body (RFC 9112 §7.1) and says where it ends. The bytes can be forwarded as they are.
public struct ChunkedDecoder: Sendable {
    /// True once the last byte of the trailer section has been consumed.
    public private(set) var isComplete = false
    /// The trailer section's fields, offsets into the bytes of the `decode` call that completed the message.
    public private(set) var trailers = HeaderBlock()
    /// The trailer section with its final CRLF, offsets into the bytes of the completing call.
    public private(set) var trailerSection = ByteSlice.empty
    /// Whether the section holds a field that must not be forwarded (see ``KnownField/isForbiddenInTrailers``).
    public private(set) var hasForbiddenTrailers = false

    public init(maxTrailerBytes: Int = 8_192, maxTrailerFields: Int = 32) { fatalError() }

    /// Returns how many of the bytes belong to the message and are done with: all of them, except behind the end, and
    /// except for an unfinished trailer section: that one is not consumed until it is complete, so keep those bytes
    /// and call again with them and more.
    public mutating func decode(_ bytes: UnsafeRawBufferPointer) throws(HTTPWireError) -> Int { fatalError() }

    /// As `decode(_:)`; calls `data` with each range of content, in order.
    public mutating func decode(
        _ bytes: UnsafeRawBufferPointer,
        data: (ByteSlice) -> Void
    ) throws(HTTPWireError) -> Int { fatalError() }

    public mutating func reset() { fatalError() }
}
