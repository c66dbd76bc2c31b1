public import BridgeContract
public import UnstickCore

/// Everything that a proxy needs to know at its start. Changes of instances, phases and ramps come with routing tables.
public struct ProxyOptions: Sendable {
    /// Stable name under which the proxy registers with the coordinator.
    public var name: String
    public var listenHost: String
    /// 0 picks a free port.
    public var listenPort: Int
    /// Event loops, 1 or more.
    public var threads: Int
    public var affinity: Affinity
    public var session: Session
    public var balance: Balance
    public var health: Health
    public var limits: Limits
    public var timeouts: Timeouts
    /// Retries, circuit breaker, ejection, rate limits, slow clients.
    public var resilience = Resilience()
    public var forwarding = Forwarding()
    public var listenProxyProtocol = ListenProxyProtocol()
    /// Shared with the bridges; nil only when no migration is configured, then phases above `sticky` are refused.
    public var secret: BridgeSecret
    public var observation = ObservationOptions()
    /// What to route to until the coordinator's first table is here.
    public var instances: [RoutingTable.Instance]
    /// nil: no TLS towards clients.
    public var tls: TLS?
    public var http2 = HTTP2()
    public var upstreamTLS = UpstreamTLS()

    public init(
        name: String, listenHost: String, listenPort: Int, threads: Int, secret: BridgeSecret,
        instances: [RoutingTable.Instance], affinity: Affinity = Affinity(), session: Session = Session(),
        balance: Balance = .leastConnections, health: Health = Health(), limits: Limits = Limits(),
        timeouts: Timeouts = Timeouts()
    ) {
        self.name = name
        self.listenHost = listenHost
        self.listenPort = listenPort
        self.threads = threads
        self.secret = secret
        self.instances = instances
        self.affinity = affinity
        self.session = session
        self.balance = balance
        self.health = health
        self.limits = limits
        self.timeouts = timeouts
    }

    /// Where a request carries its session id; the first that is configured and present wins.
    public struct Session: Sendable {
        public enum Concurrency: Sendable {
            /// Three-way merge by top-level key where the codec is JSON; `overwrite` for other codecs.
            case merge
            /// The last write wins.
            case overwrite
        }
        public var cookie: String? = "session"
        /// A path parameter (`;name=ID`) or, where there is none, one of the query.
        public var urlParameter: String?
        /// A request header; its name in any case.
        public var header: String?
        public var concurrency: Concurrency = .merge
        public init() {}
    }

    public struct Limits: Sendable {
        public var headBytes = 64 * 1024
        public var targetBytes = 8 * 1024
        public var headFields = 128
        /// Bytes of a request's body; nil: no limit.
        public var bodyBytes: UInt64?
        /// Bodies up to this many bytes are kept until the instance is known to have the session.
        public var replayBytes = 1 << 20
        /// Client connections per proxy; further ones are closed at once.
        public var connections = 20_000
        /// Connections to one instance from one event loop.
        public var upstreamConnections = 256
        /// Requests waiting for a connection to one instance on one event loop; further ones get 503.
        public var upstreamQueue = 1024
        /// Bytes of a session's state.
        public var stateBytes = 16 << 20
        /// Sessions that may be remembered as dirty on one event loop.
        public var dirtySessions = 100_000
        public init() {}
    }
}
