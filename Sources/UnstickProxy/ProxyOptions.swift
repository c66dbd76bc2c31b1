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
    /// Shared with the bridges; nil only when no migration is configured, then phases above `sticky` are refused.
    public var secret: BridgeSecret
    /// What to route to until the coordinator's first table is here.
    public var instances: [RoutingTable.Instance]

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

    public struct Health: Sendable {
        /// Path that answers 200 to 399 when the instance can serve; nil: no active checks.
        public var path: String? = "/healthz"
        public var interval: Duration = .seconds(2)
        public var timeout: Duration = .seconds(1)
        /// Successes in a row that make an instance healthy.
        public var rise = 2
        /// Failures in a row that make it unhealthy.
        public var fall = 3
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

    public struct Timeouts: Sendable {
        public var connect: Duration = .seconds(2)
        /// From the request's last forwarded byte to the response head.
        public var response: Duration = .seconds(60)
        /// Without a byte in either direction while a body streams.
        public var stream: Duration = .seconds(300)
        /// Between two requests of a client.
        public var idle: Duration = .seconds(75)
        /// For a whole request head.
        public var clientHead: Duration = .seconds(15)
        /// Unused connections to instances are closed after this long; below what common servers allow.
        public var upstreamIdle: Duration = .seconds(20)
        /// For one store operation.
        public var store: Duration = .seconds(5)
        /// For requests in flight at a graceful stop.
        public var shutdown: Duration = .seconds(30)
        /// How long a start waits for the coordinator's table before it serves as phase 2.
        public var firstTable: Duration = .seconds(3)
        public init() {}
    }
}
