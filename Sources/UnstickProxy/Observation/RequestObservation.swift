import HTTPWire
import UnstickCore

/// What is noticed about one request while it passes; a plain value of fixed size in the exchange, filled as the request
/// goes and handed to ``LoopObserver/finished(_:head:bytes:client:sessionID:)`` once, at its end.
///
/// Times are nanoseconds of the monotonic clock (`NIODeadline.uptimeNanoseconds`); 0 stands for "did not happen".
struct RequestObservation {
    /// The head was complete.
    var started: UInt64 = 0
    /// The store was asked for the session's version, and had answered.
    var storeRead = Period()
    /// The instance was given the session from the store, and had answered.
    var hydrated = Period()
    /// A connection to the instance was asked for, and was there. Both are the same for a kept one.
    var connected = Period()
    /// The request's head went to the instance, and its response head was here.
    var answered = Period()
    /// The session's change went to the store, and was durable.
    var mirrored = Period()
    /// The last byte of the response went to the client, or the exchange ended otherwise.
    var ended: UInt64 = 0
    /// Of head and body, as read from the client.
    var bytesIn: UInt64 = 0
    /// Of head and body, as written to the client.
    var bytesOut: UInt64 = 0
    /// Of the response's head, part of ``bytesOut``.
    var headBytesOut: UInt32 = 0
    /// 0 when none was sent.
    var status: UInt16 = 0
    /// From ``LoopMetrics/slot(of:)``; ``LoopMetrics/noInstance`` when none was asked.
    var instance: UInt16 = 0
    /// Further tries after the first.
    var retries: UInt8 = 0
    var phase = Phase.sticky
    /// Why the answer was the proxy's own; `none` for the instance's.
    var ownAnswer = OwnAnswer.none
    var flags: Flags = []
    /// Set by ``LoopObserver/began(_:head:bytes:isTrusted:)``.
    var requestID = RequestID.none
    /// Set by ``LoopObserver/began(_:head:bytes:isTrusted:)``; nil when tracing is off.
    var trace: TraceContext?

    /// A stretch of time.
    struct Period {
        var began: UInt64 = 0
        var ended: UInt64 = 0

        /// Nil until both ends are known.
        @inline(__always)
        var nanoseconds: UInt64? { began != 0 && ended >= began ? ended &- began : nil }
    }

    struct Flags: OptionSet {
        let rawValue: UInt8
        static let tls = Flags(rawValue: 1)
        static let http2 = Flags(rawValue: 2)
        /// The client had gone before the answer was complete.
        static let clientGone = Flags(rawValue: 4)
        /// Bytes went both ways without meaning for us (WebSocket).
        static let upgraded = Flags(rawValue: 8)
        /// The instance broke off its answer.
        static let truncated = Flags(rawValue: 16)
        /// Another instance than the first served it.
        static let failedOver = Flags(rawValue: 32)
    }
}

/// Why an answer was the proxy's own. The words stand in metrics, logs and spans, and stay as they are.
enum OwnAnswer: UInt8, CaseIterable {
    case none
    case badRequest
    case headTooLarge
    case bodyTooLarge
    case clientTimeout
    case reservedPath
    case rateLimited
    case noInstance
    case queueFull
    case queueTimeout
    case connectFailed
    case upstreamClosed
    case upstreamTimeout
    case upstreamInvalid
    case storeUnavailable
    case hydrationFailed
    case other

    var word: StaticString {
        switch self {
        case .none: "none"
        case .badRequest: "bad_request"
        case .headTooLarge: "head_too_large"
        case .bodyTooLarge: "body_too_large"
        case .clientTimeout: "client_timeout"
        case .reservedPath: "reserved_path"
        case .rateLimited: "rate_limited"
        case .noInstance: "no_instance"
        case .queueFull: "queue_full"
        case .queueTimeout: "queue_timeout"
        case .connectFailed: "connect_failed"
        case .upstreamClosed: "upstream_closed"
        case .upstreamTimeout: "upstream_timeout"
        case .upstreamInvalid: "upstream_invalid"
        case .storeUnavailable: "store_unavailable"
        case .hydrationFailed: "hydration_failed"
        case .other: "other"
        }
    }
}

/// Why a client's connection was not served.
enum ConnectionRefusal: UInt8, CaseIterable {
    case limit
    case clientLimit
    case proxyProtocol
    case tlsFailed
    /// A connection of HTTP/2 broke the protocol or flooded it.
    case http2

    var word: StaticString {
        switch self {
        case .limit: "limit"
        case .clientLimit: "client_limit"
        case .proxyProtocol: "proxy_protocol"
        case .tlsFailed: "tls_failed"
        case .http2: "http2"
        }
    }
}

extension RequestMethod {
    /// For labels; unknown methods share one word, because clients choose them.
    static let labels: [StaticString] = [
        "other", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ]
}
