/// A request's head. Reuse one value per connection: `parse` until it is complete, use it, `reset`.
public struct RequestHead: Sendable {
    public let limits: HeadLimits
    public private(set) var method = RequestMethod.other
    public private(set) var methodSlice = ByteSlice.empty
    public private(set) var target = ByteSlice.empty
    public private(set) var targetForm = TargetForm.origin
    /// The target's path and query: all of an origin form, what follows the authority in an absolute form (may be
    /// empty: means `/`), empty in the other two.
    public private(set) var pathAndQuery = ByteSlice.empty
    /// The host that is asked for: the authority of an absolute or authority form, else the `Host` field's value (RFC 9112 §3.2.2);
    /// empty when there is neither.
    public private(set) var host = ByteSlice.empty
    /// 0 or 1.
    public private(set) var versionMinor = 1
    public private(set) var headers = HeaderBlock()
    /// Never `untilClose`.
    public private(set) var framing = MessageFraming.none
    /// Whether the client lets the connection persist after this exchange (RFC 9112 §9.3).
    public private(set) var keepAlive = true
    /// `Expect: 100-continue` on HTTP/1.1 with a body to come (RFC 9110 §10.1.1).
    public private(set) var expectsContinue = false
    /// `Upgrade` with `Connection: upgrade` on HTTP/1.1 (RFC 9110 §7.8).
    public private(set) var wantsUpgrade = false
    /// Offset behind the head's last byte; the body begins here. Valid once `parse` returned true.
    public private(set) var headLength = 0

    public init(limits: HeadLimits = HeadLimits()) { self.limits = limits }

    /// Reads a head from the first byte of `bytes`. Returns false when it is not complete: call again with the same bytes and more
    /// behind them. Bytes seen before are not scanned again, except for the last unfinished line, once.
    public mutating func parse(_ bytes: UnsafeRawBufferPointer) throws(HTTPWireError) -> Bool { fatalError() }

    /// Ready for the next head; keeps its memory.
    public mutating func reset() { fatalError() }
}
