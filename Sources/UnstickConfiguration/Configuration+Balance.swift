extension Configuration {
    public enum Balance: String, Sendable, CaseIterable {
        case leastConnections = "least-connections"
        case roundRobin = "round-robin"
        case weightedLeastConnections = "weighted-least-connections"
        case weightedRoundRobin = "weighted-round-robin"
        case random
        case powerOfTwo = "power-of-two"
        case consistent
    }

    /// How an instance that is new or healthy again comes to its share.
    public struct SlowStart: Sendable, Equatable {
        /// Zero: at once. Up to 1 h, default zero.
        public var time: Duration = .zero
        /// Its share at the beginning, percent. 1 to 100, default 10.
        public var floor = 10
    }

    /// A name whose addresses are instances.
    public struct Discovery: Sendable, Equatable {
        /// Asked of the system's resolver.
        public var host: String
        public var port: Int
        /// Instances are called `NAME-ADDRESS`, `:` written as `-`.
        public var name: String
        /// 0 to 1000. Default 1.
        public var weight: Int

        /// The instance at one of its addresses; nil when its name would be longer than names may be.
        public func instance(at address: String) -> Instance? {
            let instanceName = "\(name)-\(address.replacing(":", with: "-"))"
            guard instanceName.utf8.count <= 64 else { return nil }
            return Instance(name: instanceName, endpoint: SocketEndpoint(host: address, port: port), weight: weight)
        }
    }
}
