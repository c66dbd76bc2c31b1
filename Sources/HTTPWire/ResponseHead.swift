/// A response's head. Reuse one value per upstream connection: `parse` until it is complete, use it, `reset`.
public struct ResponseHead: Sendable {
    public let limits: HeadLimits
    /// 100 ... 599 (three digits, first 1 to 9 are read).
    public private(set) var status = 0
    public private(set) var reason = ByteSlice.empty
    /// 0 or 1.
    public private(set) var versionMinor = 1
    public private(set) var headers = HeaderBlock()
    public private(set) var framing = MessageFraming.none
    /// Whether the upstream connection persists after this response.
    public private(set) var keepAlive = true
    public private(set) var headLength = 0
    /// 1xx other than 101: another head follows.
    public var isInformational: Bool { status >= 100 && status < 200 && status != 101 }

    public init(limits: HeadLimits = HeadLimits()) { self.limits = limits }

    /// As ``RequestHead/parse(_:)``; `method` is the method of the request that is answered.
    public mutating func parse(
        _ bytes: UnsafeRawBufferPointer,
        answering method: RequestMethod
    ) throws(HTTPWireError) -> Bool { fatalError() }

    public mutating func reset() { fatalError() }
}
