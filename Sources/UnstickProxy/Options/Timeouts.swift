extension ProxyOptions {
    /// Every wait of the data plane. What happens at the end of each:
    ///
    /// | wait | from | to | at its end |
    /// |---|---|---|---|
    /// | ``connect`` | decision for an instance | connection, TLS included | another instance, else 503 |
    /// | ``idle`` | end of an answer | next request's first byte | the connection is closed |
    /// | ``clientHead`` | request's first byte (a new connection: its beginning) | end of its head | 408, closed |
    /// | ``clientBody`` | one read of the request's body | the next | 408, closed |
    /// | `limits.body-rate` | after the grace, over each window | | 408, closed |
    /// | ``response`` | request's last byte forwarded | response head | 504 |
    /// | ``stream`` | one byte of a response body or tunnel, either way | the next | the connection is closed |
    /// | ``total`` | request's first byte | response's last byte | 504, or closed once the head is out |
    /// | ``upstreamIdle`` | end of an answer | next use of the connection | the connection is closed |
    /// | ``store`` | one store operation | its end | as the phase says |
    /// | ``shutdown`` | order to stop | last answer | connections are closed |
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
        /// Between two reads of a request's body, while the proxy reads at all.
        public var clientBody: Duration = .seconds(60)
        /// For a request from its first byte to its answer's last; nil: no limit. Upgraded connections and event streams
        /// (`text/event-stream`) are free of it.
        public var total: Duration?
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
