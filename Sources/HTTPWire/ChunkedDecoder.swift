/// Follows a chunked body (RFC 9112 §7.1) and says where it ends. The bytes can be forwarded as they are: what a laxer reader
/// might see otherwise (a bare LF, white space around a size, a size that overflows, a loose extension) is refused.
public struct ChunkedDecoder: Sendable {
    /// True once the last byte of the trailer section has been consumed.
    public private(set) var isComplete = false
    /// The trailer section's fields, offsets into the bytes of the `decode` call that completed the message.
    public private(set) var trailers = HeaderBlock()
    /// The trailer section with its final CRLF (so never empty), offsets into the bytes of the completing call.
    public private(set) var trailerSection = ByteSlice.empty
    /// Whether the section holds a field that must not be forwarded (see ``KnownField/isForbiddenInTrailers``): then send
    /// the lines of the others and a CRLF in place of `trailerSection`.
    public private(set) var hasForbiddenTrailers = false
    /// Content bytes seen so far.
    public private(set) var contentBytes: UInt64 = 0

    private let maxTrailerBytes: Int
    private let maxTrailerFields: Int
    private var state = State.sizeStart
    /// Bytes that the chunk still lacks; while its size is read, the value so far.
    private var remaining: UInt64 = 0
    private var sizeDigits: UInt8 = 0
    private var extensionBytes = 0
    /// Bytes of the unfinished trailer section that hold no LF behind the last one seen.
    private var trailerBytesScanned = 0

    /// Bytes of one chunk's extensions. They have no known use (RFC 9112 §7.1.1 wants a limit).
    static let extensionBytesMax = 256

    private enum State: UInt8 {
        // The chunk's first line, in the order of its grammar.
        case sizeStart, size, extensionNameStart, extensionName
        case extensionValueStart, extensionToken, extensionQuoted, extensionQuotedPair, extensionValueEnd
        case sizeLineFeed
        // Its data; then `sizeStart` again.
        case data, dataCarriageReturn, dataLineFeed
        // Behind the last chunk.
        case trailers
    }

    public init(maxTrailerBytes: Int = 8_192, maxTrailerFields: Int = 32) {
        self.maxTrailerBytes = maxTrailerBytes
        self.maxTrailerFields = maxTrailerFields
    }

    /// Ready for the next body; keeps its memory.
    public mutating func reset() {
        isComplete = false
        trailers.removeAll()
        trailerSection = .empty
        hasForbiddenTrailers = false
        contentBytes = 0
        state = .sizeStart
        remaining = 0
        sizeDigits = 0
        extensionBytes = 0
        trailerBytesScanned = 0
    }

    /// Returns how many of the bytes belong to the message and are done with: all of them, except behind the end, and
    /// except for an unfinished trailer section. That one is consumed as a whole, so keep those bytes (at most
    /// `maxTrailerBytes`) and call again with them and more.
    public mutating func decode(_ bytes: UnsafeRawBufferPointer) throws(HTTPWireError) -> Int {
        try decode(bytes) { _ in }
    }

    /// As `decode(_:)`; calls `data` with each range of content, in order.
    public mutating func decode(
        _ bytes: UnsafeRawBufferPointer,
        data: (ByteSlice) -> Void
    ) throws(HTTPWireError) -> Int {
        guard let base = bytes.baseAddress, !isComplete else { return 0 }
        let end = bytes.count
        var offset = 0
        while offset < end {
            if state == .data {
                let count = Int(min(remaining, UInt64(end &- offset)))
                data(ByteSlice(start: offset, end: offset &+ count))
                remaining &-= UInt64(count)
                contentBytes &+= UInt64(count)
                offset &+= count
                if remaining == 0 { state = .dataCarriageReturn }
            } else if state == .trailers {
                return try readTrailers(base, start: offset, end: end)
            } else {
                try step(ByteScan.byte(base, offset), at: offset)
                offset &+= 1
            }
        }
        return offset
    }

    /// Appends the trailer section without the fields that must not be forwarded, its empty line included. Writes at most as
    /// many bytes as ``trailerSection`` has.
    ///
    /// - Parameter bytes: what the last `decode` was given.
    public func appendTrailers(of bytes: UnsafeRawBufferPointer, to out: inout HeadWriter) {
        for field in trailers where !field.known.isForbiddenInTrailers { out.append(field.line, of: bytes) }
        out.append("\r\n")
    }

    private mutating func step(_ byte: UInt8, at offset: Int) throws(HTTPWireError) {
        switch state {
        case .sizeStart, .size:
            if let digit = ByteScan.hexValue(byte) {
                sizeDigits &+= 1
                // Sixteen digits cannot overflow; 2⁶³ and more would be negative elsewhere.
                guard sizeDigits <= 16, remaining < 1 << 59 else { throw HTTPWireError(.chunkSizeTooLarge, at: offset) }
                remaining = remaining << 4 | UInt64(digit)
                state = .size
            } else if state == .sizeStart {
                throw HTTPWireError(.badChunkSize, at: offset)
            } else {
                try endSizePart(byte, at: offset, otherwise: .badChunkSize)
            }
        case .sizeLineFeed:
            guard byte == 0x0a else { throw HTTPWireError(.bareCarriageReturn, at: offset) }
            state = remaining == 0 ? .trailers : .data
            sizeDigits = 0
            extensionBytes = 0
        case .dataCarriageReturn:
            guard byte == 0x0d else { throw HTTPWireError(.badChunkEnd, at: offset) }
            state = .dataLineFeed
        case .dataLineFeed:
            guard byte == 0x0a else { throw HTTPWireError(.badChunkEnd, at: offset) }
            state = .sizeStart
        case .data, .trailers:
            preconditionFailure("not read byte by byte")
        default:
            try stepExtension(byte, at: offset)
        }
    }

    /// `*( ";" chunk-ext-name [ "=" ( token / quoted-string ) ] )` (RFC 9112 §7.1.1). Its "bad white space" is refused: senders must
    /// not make it, and readers disagree on where a size ends before it.
    private mutating func stepExtension(_ byte: UInt8, at offset: Int) throws(HTTPWireError) {
        extensionBytes &+= 1
        if extensionBytes > Self.extensionBytesMax { throw HTTPWireError(.chunkExtensionTooLong, at: offset) }
        let isToken = ByteClass.token.contains(byte)
        switch state {
        case .extensionNameStart where isToken: state = .extensionName
        case .extensionName where isToken: break
        case .extensionName where byte == 0x3d: state = .extensionValueStart
        case .extensionValueStart where byte == 0x22: state = .extensionQuoted
        case .extensionValueStart where isToken: state = .extensionToken
        case .extensionToken where isToken: break
        case .extensionQuoted where byte == 0x22: state = .extensionValueEnd
        case .extensionQuoted where byte == 0x5c: state = .extensionQuotedPair
        case .extensionQuoted where Self.isQuotable(byte): break
        case .extensionQuotedPair where Self.isQuotable(byte): state = .extensionQuoted
        case .extensionName, .extensionToken, .extensionValueEnd:
            try endSizePart(byte, at: offset, otherwise: .badChunkExtension)
        default: throw Self.lineFault(byte, at: offset, otherwise: .badChunkExtension)
        }
    }

    /// HTAB, SP, visible ASCII or obs-text (RFC 9110 §5.6.4).
    private static func isQuotable(_ byte: UInt8) -> Bool { byte == 0x09 || (byte >= 0x20 && byte != 0x7f) }

    /// What may follow a complete size, name or value: the line's end or another extension.
    private mutating func endSizePart(
        _ byte: UInt8,
        at offset: Int,
        otherwise reason: HTTPWireError.Reason
    ) throws(HTTPWireError) {
        switch byte {
        case 0x0d: state = .sizeLineFeed
        case 0x3b: state = .extensionNameStart
        default: throw Self.lineFault(byte, at: offset, otherwise: reason)
        }
    }

    private static func lineFault(_ byte: UInt8, at offset: Int, otherwise: HTTPWireError.Reason) -> HTTPWireError {
        HTTPWireError(byte == 0x0a ? .bareLineFeed : otherwise, at: offset)
    }

    /// The trailer section (RFC 9112 §7.1.2), all or nothing. Returns the offset up to which bytes are done with.
    private mutating func readTrailers(_ base: UnsafeRawPointer, start: Int, end: Int) throws(HTTPWireError) -> Int {
        let limit = min(end, start &+ maxTrailerBytes)
        let isFull = limit &- start == maxTrailerBytes
        // Read again only when another line has ended; with the limit on fields that keeps the work bounded.
        if !isFull, ByteScan.first(0x0a, base, from: start &+ trailerBytesScanned, end: limit) == limit {
            trailerBytesScanned = limit &- start
            return start
        }
        trailers.removeAll()
        var position = start
        guard try trailers.scan(base, end: limit, position: &position, maxFields: maxTrailerFields) else {
            if isFull { throw HTTPWireError(.trailersTooLarge, at: limit) }
            trailerBytesScanned = limit &- start
            return start
        }
        trailerSection = ByteSlice(start: start, end: position)
        hasForbiddenTrailers = trailers.contains { $0.known.isForbiddenInTrailers }
        isComplete = true
        return position
    }
}
