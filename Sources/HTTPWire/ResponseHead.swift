/// A response's head. Reuse one value per upstream connection: `parse` until it is complete, use it, `reset`.
///
/// All slices are offsets into the bytes that `parse` was given. Errors carry status 502.
public struct ResponseHead: ~Copyable, Sendable {
    public let limits: HeadLimits
    /// 100 ... 999: codes without a registered class pass, as their meaning is the client's affair.
    public private(set) var status = 0
    /// May be empty.
    public private(set) var reason = ByteSlice.empty
    /// 0 or 1.
    public private(set) var versionMinor = 1
    public private(set) var headers = HeaderBlock()
    /// How the body ends, given the request's method.
    public private(set) var framing = MessageFraming.none
    /// Whether the upstream connection persists after this response.
    public private(set) var keepAlive = true
    /// Offset behind the head's last byte. Valid once `parse` returned true.
    public private(set) var headLength = 0

    private var stage = Stage.statusLine
    private var cursor = HeadCursor()

    private enum Stage: UInt8 {
        /// Becomes `fields` with the status line's LF.
        case statusLine
        /// Becomes `complete` with the empty line.
        case fields
        case complete
    }

    public init(limits: HeadLimits = HeadLimits()) { self.limits = limits }

    /// 1xx other than 101: another head follows (RFC 9110 §15.2).
    public var isInformational: Bool { status < 200 && status != 101 }

    /// As ``RequestHead/parse(_:)``; `method` is the method of the request that is answered.
    public mutating func parse(
        _ bytes: UnsafeRawBufferPointer,
        answering method: RequestMethod
    ) throws(HTTPWireError) -> Bool {
        do {
            return try read(bytes, answering: method)
        } catch {
            throw error.inResponse
        }
    }

    private mutating func read(
        _ bytes: UnsafeRawBufferPointer,
        answering method: RequestMethod
    ) throws(HTTPWireError) -> Bool {
        guard stage != .complete else { return true }
        guard let base = bytes.baseAddress else { return false }
        let end = min(bytes.count, limits.maxHeadBytes)
        guard cursor.mayAdvance(base, end: end, lineBytesMax: Int.max, headBytesMax: limits.maxHeadBytes) else {
            return false
        }
        if stage == .statusLine {
            guard let lineEnd = try readStatusLine(base, end: end) else {
                try cursor.waitForMore(end: end, headBytesMax: limits.maxHeadBytes)
                return false
            }
            cursor.position = lineEnd
            stage = .fields
        }
        guard try headers.scan(base, end: end, position: &cursor.position, maxFields: limits.maxFields) else {
            try cursor.waitForMore(end: end, headBytesMax: limits.maxHeadBytes)
            return false
        }
        headLength = cursor.position
        try interpret(base, answering: method)
        stage = .complete
        return true
    }

    /// Ready for the next head; keeps its memory.
    public mutating func reset() {
        headers.removeAll()
        stage = .statusLine
        cursor = HeadCursor()
        status = 0
        reason = .empty
        framing = .none
        keepAlive = true
        headLength = 0
    }

    /// `HTTP-version SP status-code SP [ reason-phrase ] CRLF` (RFC 9112 §4); the second space may be missing when there is
    /// no reason. Returns the offset behind it, nil when the line is not complete.
    @inline(__always)
    private mutating func readStatusLine(_ base: UnsafeRawPointer, end: Int) throws(HTTPWireError) -> Int? {
        // "HTTP/1.1" as a little-endian word.
        if end >= 8, ByteScan.word(base, 0) == 0x312e_312f_5054_5448 {
            versionMinor = 1
        } else {
            guard let minor = try HTTPVersion.read(base, start: 0, end: end) else { return nil }
            versionMinor = minor
        }
        var offset = 8
        if offset == end { return nil }
        guard ByteScan.byte(base, offset) == 0x20 else { throw HTTPWireError(.badStatusLine, at: offset) }
        var code = 0
        while offset < 11 {
            offset &+= 1
            if offset == end { return nil }
            let byte = ByteScan.byte(base, offset)
            guard ByteScan.isDigit(byte) else { throw HTTPWireError(.badStatusLine, at: offset) }
            code = code &* 10 &+ Int(byte &- 0x30)
        }
        if code < 100 { throw HTTPWireError(.badStatusLine, at: 9) }
        offset = 12
        if offset == end { return nil }
        if ByteScan.byte(base, offset) == 0x20 {
            offset &+= 1
        } else if ByteScan.byte(base, offset) > 0x20 {
            throw HTTPWireError(.badStatusLine, at: offset)
        }
        let reasonStart = offset
        offset = ByteScan.firstControl(base, from: offset, end: end)
        while offset < end, ByteScan.byte(base, offset) == 0x09 {
            offset = ByteScan.firstControl(base, from: offset &+ 1, end: end)
        }
        if offset == end { return nil }
        switch ByteScan.byte(base, offset) {
        case 0x0d: break
        case 0x0a: throw HTTPWireError(.bareLineFeed, at: offset)
        default: throw HTTPWireError(.badStatusLine, at: offset)
        }
        if offset &+ 1 == end { return nil }
        guard ByteScan.byte(base, offset &+ 1) == 0x0a else { throw HTTPWireError(.bareCarriageReturn, at: offset) }
        status = code
        reason = ByteSlice(start: reasonStart, end: offset)
        return offset &+ 2
    }

    /// RFC 9112 §6.3, in its order.
    @inline(__always)
    private mutating func interpret(
        _ base: UnsafeRawPointer,
        answering method: RequestMethod
    ) throws(HTTPWireError) {
        let declared = try headers.declaredFraming(base, versionMinor: versionMinor)
        try headers.readConnection(base, end: headLength)
        let options = headers.connection
        keepAlive = !options.contains(.close) && (versionMinor == 1 || options.contains(.keepAlive))
        if status < 200 || status == 204 {
            framing = .none
            // Neither may announce a body (RFC 9110 §8.6): whoever does may send one, and what follows cannot be trusted.
            if let declared, declared != .length(0) { keepAlive = false }
        } else if method == .head || status == 304 || (method == .connect && status < 300) {
            framing = .none
        } else if let declared {
            framing = declared
        } else {
            framing = .untilClose
            keepAlive = false
        }
    }
}
