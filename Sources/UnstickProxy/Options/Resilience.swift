extension ProxyOptions {
    /// What the data plane does about instances that fail and clients that ask for too much.
    public struct Resilience: Sendable {
        public var retries = Retries()
        public var breaker = Breaker()
        public var ejection = Ejection()
        /// With less than this share of the instances available (percent, 0 to 100), new work goes to all of them, as
        /// Envoy's panic threshold does: the few that are left would fall next. 0: never.
        public var panicPercent = 50
        public var clients = Clients()
        /// In the order in which they are asked; the first refusal counts.
        public var rateLimits: [RateLimit] = []
        /// Clients that each rule `per: client` remembers.
        public var rateLimitClients = 65_536
        public init() {}
    }

    /// When a request is tried again; see `RetryPolicy`.
    public struct Retries: Sendable {
        /// Which requests may go to another instance when the first one has not seen a byte of them.
        public enum Unsent: Sendable {
            /// All: no instance can have acted on them. As HAProxy and nginx do.
            case any
            /// Only idempotent ones and those with `Idempotency-Key` (RFC 9110 section 9.2.2 taken literally).
            case idempotent
        }

        /// Tries after the first, 0 to 10.
        public var count = 3
        /// Retries within ten seconds per hundred requests within them.
        public var budgetPercent = 20
        /// Retries a second that are allowed beside the percentage, for proxies with few requests.
        public var budgetMinimum = 10
        public var unsent = Unsent.any
        /// Before the first retry at the same instance, which grows to the double with each further one. Another
        /// instance is tried at once.
        public var delay: Duration = .milliseconds(25)
        /// What the delay grows to at most.
        public var delayMax: Duration = .milliseconds(250)
        public init() {}
    }

    /// When an instance whose connections fail gets no new work; see `CircuitBreaker`.
    public struct Breaker: Sendable {
        /// Failures in a row; nil: this rule is off.
        public var consecutiveFailures: Int? = 3
        /// Percent of the requests within ``window``; nil: this rule is off.
        public var failurePercent: Int? = 50
        /// Requests within ``window`` below which no percentage counts.
        public var samples = 20
        public var window: Duration = .seconds(10)
        /// Until the first probe; doubles with each opening that follows.
        public var openTime: Duration = .seconds(1)
        public var openTimeMax: Duration = .seconds(30)
        /// Probes at once, and successes in a row that close it.
        public var probes = 1
        public init() {}
    }

    /// When an instance that answers worse than its peers gets no new work; see `OutlierEjection`.
    public struct Ejection: Sendable {
        /// Statuses 500 to 599 and failed connections in a row; nil: off. An application's own mistake is the same on all
        /// instances, so this is for applications that answer 500 only when an instance is ill.
        public var consecutiveErrors: Int?
        /// Statuses 502 to 504 and failed connections in a row; nil: off.
        public var consecutiveGatewayErrors: Int? = 5
        /// An instance whose success rate is this many tenths of a standard deviation below the mean is ejected; nil: off.
        public var deviationTenths: Int? = 19
        /// Requests within ``interval`` below which an instance's rate says nothing.
        public var samples = 100
        /// Instances with enough requests below which the mean says nothing.
        public var instances = 5
        /// Between two comparisons of success rates.
        public var interval: Duration = .seconds(10)
        /// Of the first ejection; the second lasts twice as long, the third three times.
        public var time: Duration = .seconds(30)
        public var timeMax: Duration = .seconds(300)
        /// Instances ejected at once, in percent; the last available one never is.
        public var percentMax = 50
        public init() {}
    }

    /// What one client may take.
    public struct Clients: Sendable {
        /// Connections at once of one address (IPv6: of one /64) to this proxy; nil: no limit.
        public var connections: Int?
        /// Least bytes a second of a request's body, over each window after the grace; 0: no limit.
        public var bodyRate = 500
        /// From the end of the head.
        public var bodyRateGrace: Duration = .seconds(20)
        public var bodyRateWindow: Duration = .seconds(10)
        public init() {}
    }

    /// One rule of rate limiting.
    public struct RateLimit: Sendable, Equatable {
        public enum Scope: Sendable {
            /// Each client address (IPv6: each /64) has its own.
            case client
            /// All clients share one.
            case route
        }

        /// For counters and logs.
        public var name: String
        /// Beginning of the paths it is for, ending at a segment's border; empty: all.
        public var pathPrefix: String
        /// Methods it is for; empty: all.
        public var methods: [String]
        public var scope: Scope
        /// Requests per ``period``, 1 or more; at most a million a second.
        public var count: Int
        public var period: Duration
        /// Requests at once after a rest, 1 to a million.
        public var burst: Int

        public init(
            name: String, pathPrefix: String = "", methods: [String] = [], scope: Scope, count: Int, period: Duration,
            burst: Int
        ) {
            self.name = name
            self.pathPrefix = pathPrefix
            self.methods = methods
            self.scope = scope
            self.count = count
            self.period = period
            self.burst = burst
        }
    }
}
