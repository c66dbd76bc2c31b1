/// How the end of a message's body is found (RFC 9112 §6.3).
public enum MessageFraming: Hashable, Sendable {
    /// There is no body.
    case none
    /// `Content-Length`, 0 ... 2⁶³ − 1.
    case length(UInt64)
    /// `Transfer-Encoding: chunked`; see ``ChunkedDecoder``.
    case chunked
    /// A response that ends when the upstream closes its connection. Never for requests.
    case untilClose

    /// Whether no byte of a body follows the head.
    public var isEmpty: Bool { self == .none || self == .length(0) }
}

/// Bounds on a head. What is longer is refused while it arrives, before it is held in full.
public struct HeadLimits: Hashable, Sendable {
    /// Bytes from the first byte of the start line up to and with the empty line.
    public var maxHeadBytes: Int
    /// Bytes of the request target.
    public var maxTargetBytes: Int
    public var maxFields: Int

    public init(maxHeadBytes: Int = 65_536, maxTargetBytes: Int = 8_192, maxFields: Int = 128) {
        self.maxHeadBytes = maxHeadBytes
        self.maxTargetBytes = maxTargetBytes
        self.maxFields = maxFields
    }
}

/// The request methods of RFC 9110 §9 and RFC 5789. Methods are case-sensitive.
public enum RequestMethod: UInt8, Hashable, Sendable {
    case other, get, head, post, put, delete, connect, options, trace, patch

    /// Whether sending the request twice has the effect of sending it once (RFC 9110 §9.2.2).
    public var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        case .other, .post, .connect, .patch: false
        }
    }

    /// Whether the request asks for no change (RFC 9110 §9.2.1).
    public var isSafe: Bool {
        switch self {
        case .get, .head, .options, .trace: true
        case .other, .post, .put, .delete, .connect, .patch: false
        }
    }
}

/// The four forms of a request target (RFC 9112 §3.2).
public enum TargetForm: UInt8, Hashable, Sendable {
    /// `/path?query`
    case origin
    /// `http://host/path?query`
    case absolute
    /// `host:port`, for CONNECT only.
    case authority
    /// `*`, for OPTIONS only.
    case asterisk
}
