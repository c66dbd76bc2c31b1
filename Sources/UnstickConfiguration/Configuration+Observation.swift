extension Configuration {
    /// The program's own log.
    public struct Log: Sendable, Equatable {
        public enum Level: String, Sendable, CaseIterable {
            case trace, debug, info, notice, warning, error, critical
        }

        public enum Format: String, Sendable, CaseIterable {
            case text, json
        }

        /// Default `info`.
        public var level: Level = .info
        /// Default `text`.
        public var format: Format = .text

        init() {}
    }

    /// One line per request.
    public struct AccessLog: Sendable, Equatable {
        public enum Format: String, Sendable, CaseIterable {
            case json, combined
        }

        public enum Target: Sendable, Equatable {
            case standardOutput
            /// A path; resolved.
            case file(String)
        }

        /// Default nil: no access log.
        public var target: Target?
        /// Default `json`.
        public var format: Format = .json
        /// Whether queries are shown, without session ids. Default true.
        public var query = true
        /// Answers with a lower status are left out. 0 to 599, default 0.
        public var minStatus = 0
        /// Share of the answers below 500 that are logged, 0 to 1; default 1.
        public var sample = 1.0

        init() {}
    }

    /// Whose word is taken.
    public enum Trust: String, Sendable, CaseIterable {
        case everybody
        /// Peers in ``trustedProxies``.
        case trustedProxies = "trusted-proxies"
        case nobody
    }

    /// Names of requests in logs.
    public struct RequestID: Sendable, Equatable {
        /// Default nil: ids are neither made nor looked at.
        public var header: String?
        /// Whose ids are passed on. Default `trusted-proxies`.
        public var accept: Trust = .trustedProxies
        /// Whether the client is told. Default false.
        public var response = false

        init() {}
    }

    /// Distributed tracing (W3C Trace Context, OTLP/HTTP).
    public struct Tracing: Sendable, Equatable {
        /// Where spans go, with its path; default nil: no tracing, `traceparent` passes through.
        public var endpoint: String?
        /// Share of the traces that begin here which are recorded, 0 to 1; default 0.1.
        public var sample = 0.1
        /// Whose `traceparent` is gone on with. Default `everybody`.
        public var accept: Trust = .everybody
        /// Default `unstick-proxy`.
        public var serviceName = "unstick-proxy"
        /// Spans that may wait for the collector. 256 to 1 048 576, default 8192.
        public var queue = 8192
        /// How long a batch is tried. 1 s to 10 min, default 60 s.
        public var retry: Duration = .seconds(60)

        init() {}
    }
}
