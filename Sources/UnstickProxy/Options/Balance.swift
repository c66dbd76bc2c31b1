extension ProxyOptions {
    /// How requests that any instance may serve are spread. Each event loop counts for itself.
    public struct Balance: Sendable, Equatable {
        public enum Method: Sendable, CaseIterable {
            /// In turn, weights without meaning.
            case roundRobin
            /// In turn, each as often as its weight, evenly mixed.
            case weightedRoundRobin
            /// The fewest requests in flight, weights without meaning.
            case leastConnections
            /// The fewest requests in flight for its weight.
            case weightedLeastConnections
            /// By chance, each as often as its weight.
            case random
            /// The less loaded of two drawn by chance: nearly as even as the least of all, and proxies that do not see
            /// each other's requests do not all rush to the same one (Mitzenmacher 2001).
            case powerOfTwo
            /// By the session's id: the same from every proxy, in proportion to the weights. By chance without a session.
            case consistent

            /// Whether weights count.
            var isWeighted: Bool { self != .roundRobin && self != .leastConnections }
        }

        public var method: Method
        /// For how long an instance that is new or healthy again gets less than its share; zero: not at all. Without
        /// meaning for ``Method/consistent``.
        public var slowStart: Duration
        /// Its share at the beginning, percent of the full one, 1 to 100; grows linearly.
        public var slowStartFloor: Int

        public init(_ method: Method, slowStart: Duration = .zero, slowStartFloor: Int = 10) {
            self.method = method
            self.slowStart = slowStart
            self.slowStartFloor = slowStartFloor
        }

        public static let leastConnections = Balance(.leastConnections)
        public static let roundRobin = Balance(.roundRobin)
        public static let random = Balance(.random)
    }
}
