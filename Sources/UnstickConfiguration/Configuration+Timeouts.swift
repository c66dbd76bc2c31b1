extension Configuration {
    /// Active checks of every instance.
    public struct Health: Sendable, Equatable {
        /// Origin-form target of the check. Default `/healthz`.
        public var path: String
        /// Between two checks of one instance. 100 ms to 1 h, default 2 s.
        public var interval: Duration
        /// 10 ms to 1 min and not above ``interval``; default 1 s.
        public var timeout: Duration
        /// Good checks in a row that bring an instance back. 1 to 100, default 2.
        public var rise: Int
        /// Bad checks in a row that take it out. 1 to 100, default 3.
        public var fall: Int
        /// `Host` of the check; nil: the instance's own. Default nil.
        public var host: String?
        /// Statuses that are good, each range within 100 to 599. Default 200 to 399.
        public var statuses: [ClosedRange<Int>] = [200...399]
        /// ``interval`` while an instance is not known to be healthy; a longer one counts as ``interval``. 100 ms to 1 h,
        /// default 1 s.
        public var unhealthyInterval: Duration = .seconds(1)
        /// Percent of the instances below which new work goes to all of them. 0 to 100, default 50.
        public var panicPercent = 50
    }

    /// 10 ms to 1 h each unless they say otherwise.
    public struct Timeouts: Sendable, Equatable {
        /// Until an instance accepts a connection. Default 2 s.
        public var connect: Duration
        /// Until an instance's response head. Default 60 s.
        public var response: Duration
        /// Of a kept connection without a request. Default 75 s.
        public var idle: Duration
        /// From a request's first byte to the end of its head. Default 15 s.
        public var clientHead: Duration
        /// Of one store operation. Default 5 s.
        public var store: Duration
        /// For requests in flight when the process is told to stop. 0 to 1 h, default 30 s.
        public var shutdown: Duration
        /// Between two reads of a request's body. Default 60 s.
        public var clientBody: Duration = .seconds(60)
        /// Without a byte either way while a response or an upgraded connection streams. 10 ms to 1 d, default 5 min.
        public var stream: Duration = .seconds(300)
        /// For a request from its first byte to its answer's last. 10 ms to 1 d; nil: no limit. Default nil.
        public var total: Duration?
        /// Of an unused connection to an instance. Default 20 s.
        public var upstreamIdle: Duration = .seconds(20)
    }
}
