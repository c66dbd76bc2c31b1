/// A request's head. Reuse one value per connection: `parse` until it is complete, use it, `reset`.
///
/// All slices are offsets into the bytes that `parse` was given.
public struct RequestHead: ~Copyable, Sendable {
    public let limits: HeadLimits
    public internal(set) var method = RequestMethod.other
    public internal(set) var methodSlice = ByteSlice.empty
    public internal(set) var target = ByteSlice.empty
    public internal(set) var targetForm = TargetForm.origin
    /// The target's path and query: all of an origin form, what follows the authority in an absolute form (may be
    /// empty, which means `/`, or begin with `?`), empty in the other two forms.
    public internal(set) var pathAndQuery = ByteSlice.empty
    /// The host that is asked for: the authority of an absolute or authority form, else the `Host` field's value
    /// (RFC 9112 §3.2.2); empty when there is neither.
    public internal(set) var host = ByteSlice.empty
    /// 0 or 1.
    public internal(set) var versionMinor = 1
    public internal(set) var headers = HeaderBlock()
    /// Never `untilClose`.
    public internal(set) var framing = MessageFraming.none
    /// Whether the client lets the connection persist after this exchange (RFC 9112 §9.3).
    public internal(set) var keepAlive = true
    /// `Expect: 100-continue` on HTTP/1.1 with a body to come (RFC 9110 §10.1.1).
    public internal(set) var expectsContinue = false
    /// `Upgrade` with `Connection: upgrade` on HTTP/1.1 (RFC 9110 §7.8).
    public internal(set) var wantsUpgrade = false
    /// Offset behind the head's last byte; the body begins here. Valid once `parse` returned true.
    public internal(set) var headLength = 0

    private var stage = Stage.startLine
    private var cursor = HeadCursor()

    private enum Stage: UInt8 {
        /// Becomes `fields` with the request line's LF.
        case startLine
        /// Becomes `complete` with the empty line.
        case fields
        case complete
    }

    public init(limits: HeadLimits = HeadLimits()) { self.limits = limits }

    /// Reads a head from the first byte of `bytes`. Returns false when it is not complete: call again with the same
    /// bytes and more behind them. Finished lines are not looked at again; the unfinished one is read once more when
    /// its end has come, so the work stays linear however the bytes arrive.
    ///
    /// After true the bytes are not looked at until `reset`. After an error the value must be `reset`.
    public mutating func parse(_ bytes: UnsafeRawBufferPointer) throws(HTTPWireError) -> Bool {
        guard stage != .complete else { return true }
        guard let base = bytes.baseAddress else { return false }
        let end = min(bytes.count, limits.maxHeadBytes)
        // Method, two spaces, version and CRLF stay below 64 bytes: a longer line is at fault already.
        let lineBytesMax = stage == .startLine ? limits.maxTargetBytes &+ 64 : Int.max
        guard
            cursor.mayAdvance(base, end: end, lineBytesMax: lineBytesMax, headBytesMax: limits.maxHeadBytes)
        else { return false }

        if stage == .startLine {
            guard let lineEnd = try readRequestLine(base, end: end) else {
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
        try interpret(base)
        stage = .complete
        return true
    }

    /// Ready for the next head; keeps its memory.
    public mutating func reset() {
        headers.removeAll()
        stage = .startLine
        cursor = HeadCursor()
        framing = .none
        keepAlive = true
        expectsContinue = false
        wantsUpgrade = false
        headLength = 0
        host = .empty
        pathAndQuery = .empty
    }
}
