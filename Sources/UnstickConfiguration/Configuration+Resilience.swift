extension Configuration {
    /// What the proxy does about instances that fail and clients that ask for too much.
    public struct Resilience: Sendable, Equatable {
        public var retries = Retries()
        public var breaker = Breaker()
        public var ejection = Ejection()
        public var clients = Clients()
        /// At most 64, names distinct. Default: none.
        public var rateLimits: [RateLimit] = []
        /// Clients that each rule `per: client` remembers. 1024 to 16 777 216, default 65 536.
        public var rateLimitClients = 65_536
    }

    /// When a request is tried again.
    public struct Retries: Sendable, Equatable {
        /// Requests that another instance may get when the first has seen nothing of them.
        public enum Unsent: String, Sendable, CaseIterable {
            case any, idempotent
        }

        /// After the first try. 0 to 10, default 3.
        public var count = 3
        /// Retries per hundred requests of the last ten seconds. 0 to 100, default 20.
        public var budgetPercent = 20
        /// Retries a second beside that. 0 to 10 000, default 10.
        public var minimum = 10
        /// Default `any`.
        public var unsent = Unsent.any
        /// Before a retry at the same instance. 0 to 10 s and not above ``delayMax``; default 25 ms.
        public var delay: Duration = .milliseconds(25)
        /// 0 to 1 min, default 250 ms.
        public var delayMax: Duration = .milliseconds(250)
    }

    /// When an instance whose connections fail gets no new work.
    public struct Breaker: Sendable, Equatable {
        /// 1 to 1000; nil: off. Default 3.
        public var consecutiveFailures: Int? = 3
        /// 1 to 100; nil: off. Default 50.
        public var failurePercent: Int? = 50
        /// Requests within ``window`` below which no percentage counts. 1 to 1 000 000, default 20.
        public var samples = 20
        /// 1 s to 1 h, default 10 s.
        public var window: Duration = .seconds(10)
        /// 10 ms to 1 h and not above ``openTimeMax``; default 1 s.
        public var openTime: Duration = .seconds(1)
        /// 10 ms to 1 h, default 30 s.
        public var openTimeMax: Duration = .seconds(30)
        /// 1 to 100, default 1.
        public var probes = 1
    }

    /// When an instance that answers worse than its peers gets no new work.
    public struct Ejection: Sendable, Equatable {
        /// 1 to 1000; nil: off. Default nil.
        public var consecutiveErrors: Int?
        /// 1 to 1000; nil: off. Default 5.
        public var consecutiveGatewayErrors: Int? = 5
        /// Tenths of a standard deviation. 1 to 100; nil: off. Default 19.
        public var deviationTenths: Int? = 19
        /// 1 to 1 000 000, default 100.
        public var samples = 100
        /// 2 to 1000, default 5.
        public var instances = 5
        /// 1 s to 1 h, default 10 s.
        public var interval: Duration = .seconds(10)
        /// 1 s to 1 d and not above ``timeMax``; default 30 s.
        public var time: Duration = .seconds(30)
        /// 1 s to 1 d, default 5 min.
        public var timeMax: Duration = .seconds(300)
        /// 0 to 100, default 50.
        public var percentMax = 50
    }

    /// What one client may take.
    public struct Clients: Sendable, Equatable {
        /// Connections at once. 1 to 1 000 000 and not above `limits.connections`; nil: unlimited. Default nil.
        public var connections: Int?
        /// Bytes a second; 0: unlimited. 0 to 1 GiB, default 500.
        public var bodyRate = 500
        /// 0 to 1 h, default 20 s.
        public var bodyRateGrace: Duration = .seconds(20)
        /// 1 s to 1 h, default 10 s.
        public var bodyRateWindow: Duration = .seconds(10)
    }

    /// So many in so long.
    public struct Rate: Sendable, Equatable, CustomStringConvertible {
        public enum Period: String, Sendable, CaseIterable {
            case second = "s"
            case minute = "m"
            case hour = "h"

            public var duration: Duration {
                switch self {
                case .second: .seconds(1)
                case .minute: .seconds(60)
                case .hour: .seconds(3600)
                }
            }
        }

        /// 1 to 1 000 000.
        public var count: Int
        public var period: Period

        /// `100/s`
        public var description: String { "\(count)/\(period.rawValue)" }
    }

    /// One element of `rate-limits`.
    public struct RateLimit: Sendable, Equatable {
        public enum Scope: String, Sendable, CaseIterable {
            case client, route
        }

        /// As an instance's name; distinct.
        public var name: String
        /// Nil: all paths.
        public var pathPrefix: String?
        /// Empty: all methods.
        public var methods: [String]
        public var scope: Scope
        public var rate: Rate
        /// 1 to 1 000 000. Default: ``Rate/count``.
        public var burst: Int
    }
}
