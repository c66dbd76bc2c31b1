public import UnstickCore

/// What is told about requests, beside metrics, which are always kept. Everything is off unless configured.
public struct ObservationOptions: Sendable {
    /// Nil: no access log.
    public var accessLog: AccessLog?
    /// Nil: request ids are neither made nor looked at.
    public var requestID: RequestIdentifier?
    /// Nil: `traceparent` passes through as any other field.
    public var tracing: Tracing?

    public init() {}

    /// Whose word on request ids and traces is taken.
    public enum Trust: Sendable {
        case everybody
        /// Peers in `trusted-proxies`.
        case trustedPeers
        case nobody
    }

    public struct AccessLog: Sendable {
        public enum Format: Sendable { case json, combined }
        /// Shared by the event loops; flushed and let go of by the composing program.
        public var writer: AccessLogWriter
        public var format = Format.json
        /// Whether the query is shown. A session id in it is redacted in any case.
        public var showsQuery = true
        /// Answers with a lower status are left out. 0 to 599.
        public var statusMin: UInt16 = 0
        /// Share of the answers below 500 that are logged, 0 to 1; those of 500 and up always are.
        public var sample = 1.0
        public init(writer: AccessLogWriter) { self.writer = writer }
    }

    public struct RequestIdentifier: Sendable {
        /// Name of the header, a token.
        public var header = "X-Request-ID"
        public var trust = Trust.trustedPeers
        /// Whether the client is told too.
        public var onResponse = false
        public init() {}
    }

    public struct Tracing: Sendable {
        public var trust = Trust.everybody
        /// Share of the traces that begin here which are recorded, 0 to 1.
        public var sample = 0.1
        /// Where finished spans go.
        public var sink: any SpanSink
        public init(sink: any SpanSink) { self.sink = sink }
    }
}
