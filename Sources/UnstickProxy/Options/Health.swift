extension ProxyOptions {
    /// Active checks of every instance.
    public struct Health: Sendable {
        /// Path that answers with one of ``statuses`` when the instance can serve; nil: no active checks.
        public var path: String? = "/healthz"
        /// `Host` of the check; nil: the instance's own host and port.
        public var host: String?
        /// Statuses that mean that it can serve.
        public var statuses: [ClosedRange<Int>] = [200...399]
        /// From the beginning of one check of an instance to the next. Each pause varies by a tenth in either
        /// direction, so that many proxies do not ask one instance in step.
        public var interval: Duration = .seconds(2)
        /// The same while an instance is not known to be healthy; never longer than ``interval``.
        public var unhealthyInterval: Duration = .seconds(1)
        /// From the beginning of the connection to the end of the answer's head.
        public var timeout: Duration = .seconds(1)
        /// Successes in a row that make an instance healthy.
        public var rise = 2
        /// Failures in a row that make it unhealthy.
        public var fall = 3
        public init() {}
    }
}
