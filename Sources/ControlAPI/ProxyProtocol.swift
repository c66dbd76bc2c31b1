public import UnstickCore

/// Version of what proxies and coordinator say to each other. `mirror` demands that all proxies speak the same.
public let proxyProtocolVersion = 1

/// How a proxy sees one instance.
public struct InstanceReport: Sendable, Codable, Equatable {
    public enum Health: String, Sendable, Codable { case healthy, unhealthy, unknown }
    public var name: String
    public var health: Health
    /// Why it is unhealthy, for the operator; nil when healthy.
    public var reason: String?
    /// Requests forwarded and not yet answered to the end, upgraded connections included.
    public var inFlight: Int
    /// Requests answered since the proxy started.
    public var requests: UInt64

    public init(name: String, health: Health, reason: String?, inFlight: Int, requests: UInt64) {
        self.name = name
        self.health = health
        self.reason = reason
        self.inFlight = inFlight
        self.requests = requests
    }
}

/// A session whose last change is not in the store. The id is here because the coordinator has to repair it; it
/// travels only between proxy and coordinator and is never printed.
public struct DirtySession: Sendable, Codable, Equatable {
    public var id: String
    public var home: String

    public init(id: String, home: String) {
        self.id = id
        self.home = home
    }
}

/// What a proxy tells the coordinator: at once when it acknowledges an epoch, otherwise every second.
public struct ProxyReport: Sendable, Codable, Equatable {
    public var name: String
    /// Random per process start.
    public var incarnation: String
    public var protocolVersion: Int
    /// Where it serves, for the operator.
    public var listen: String
    /// The newest epoch whose grace period is over; nil: it knows none yet and behaves as phase 2.
    public var acknowledged: Epoch?
    /// The newest epoch it routes by.
    public var applied: Epoch?
    /// Sessions whose last change is not in the store.
    public var dirtySessions: Int
    /// Whether more sessions were dirty than the proxy can remember: only a whole verification clears that.
    public var dirtyOverflow: Bool
    /// Mirror writes accepted and not yet durable.
    public var mirrorQueue: Int
    public var store: StoreHealth
    public var instances: [InstanceReport]
    public var counters: Counters

    public enum StoreHealth: String, Sendable, Codable { case up, down, unknown }

    /// Totals since the proxy started.
    public struct Counters: Sendable, Codable, Equatable {
        public var requests: UInt64 = 0
        public var sessionRequests: UInt64 = 0
        /// Answers with a status of 500 and up that the proxy made itself.
        public var proxyErrors: UInt64 = 0
        /// Answers with a status of 500 and up from upstreams.
        public var upstreamErrors: UInt64 = 0
        public var mirrored: UInt64 = 0
        public var mirrorFailures: UInt64 = 0
        public var hydrated: UInt64 = 0
        /// Requests that were answered from an instance's memory although the store had no copy (phase 2 and later).
        public var fallbackReads: UInt64 = 0
        public var conflicts: UInt64 = 0
        /// Sessions that could not be serialized (`bad=`).
        public var unserializable: UInt64 = 0
        public var failovers: UInt64 = 0
        /// Latency of durable mirror writes, microseconds: median and 99th percentile of the last window.
        public var mirrorP50Microseconds: Int = 0
        public var mirrorP99Microseconds: Int = 0
        /// Time to the response head, microseconds, of the last window.
        public var responseP50Microseconds: Int = 0
        public var responseP99Microseconds: Int = 0

        public init() {}
    }

    public init(
        name: String, incarnation: String, protocolVersion: Int = proxyProtocolVersion, listen: String,
        acknowledged: Epoch?, applied: Epoch?, dirtySessions: Int = 0, dirtyOverflow: Bool = false,
        mirrorQueue: Int = 0, store: StoreHealth = .unknown, instances: [InstanceReport] = [],
        counters: Counters = Counters()
    ) {
        self.name = name
        self.incarnation = incarnation
        self.protocolVersion = protocolVersion
        self.listen = listen
        self.acknowledged = acknowledged
        self.applied = applied
        self.dirtySessions = dirtySessions
        self.dirtyOverflow = dirtyOverflow
        self.mirrorQueue = mirrorQueue
        self.store = store
        self.instances = instances
        self.counters = counters
    }
}

/// The coordinator's answer to a report.
public struct ProxyReportReply: Sendable, Codable, Equatable {
    /// The current table, always whole.
    public var table: RoutingTable
    /// Tells the proxy to clear its overflow mark: a whole verification that began after the mark was set has passed.
    public var clearDirtyOverflow: Bool

    public init(table: RoutingTable, clearDirtyOverflow: Bool = false) {
        self.table = table
        self.clearDirtyOverflow = clearDirtyOverflow
    }
}

/// The proxy's side of the control protocol; over HTTP, or direct calls when both live in one process (`unstick up`).
public protocol CoordinatorLink: Sendable {
    /// Registers or renews this proxy. Throws when the coordinator cannot be reached; the proxy then goes on as it is.
    func report(_ report: ProxyReport) async throws -> ProxyReportReply

    /// Answers as soon as a table newer than `epoch` exists, or nil after `patience`.
    func table(newerThan epoch: Epoch?, patience: Duration) async throws -> RoutingTable?
}
