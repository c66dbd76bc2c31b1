/// Everything a proxy needs in order to route: one immutable value per epoch, made by the coordinator, the same in
/// every proxy.
public struct RoutingTable: Sendable, Equatable, Codable {
    public var epoch: Epoch
    public var phase: Phase
    public var generation: Generation
    /// Share of sessions that phase `stateless` sends to any instance, 0 to 100. Without meaning in other phases.
    public var rampPercent: Int
    /// What phase `mirroring` does when the store cannot be written.
    public var storeErrors: StoreErrorPolicy
    /// Whether phase `mirroring` gives an instance a session that its memory lacks from the store.
    ///
    /// Off while a proxy in phase `sticky` may still exist: a logout through that one leaves no tombstone, and a copy
    /// in the store would bring the session back. What memory lacks is then gone, as in `sticky`.
    public var hydrates: Bool
    /// Whether a session whose home cannot be reached may be served elsewhere from the store in phase `externalized`.
    ///
    /// Off while a proxy in phase `mirroring` may still exist: that one trusts the home's memory, which a request
    /// served elsewhere would overtake. Phases 3 and 4 always may; phases 0 and 1 never.
    public var rehoming: Bool
    public var instances: [Instance]

    public init(
        epoch: Epoch,
        phase: Phase,
        generation: Generation,
        rampPercent: Int = 0,
        storeErrors: StoreErrorPolicy = .serve,
        hydrates: Bool = true,
        rehoming: Bool = false,
        instances: [Instance]
    ) {
        self.epoch = epoch
        self.phase = phase
        self.generation = generation
        self.rampPercent = rampPercent
        self.storeErrors = storeErrors
        self.hydrates = hydrates
        self.rehoming = rehoming
        self.instances = instances
    }

    public enum StoreErrorPolicy: String, Sendable, Codable {
        /// The response is released, the session is dirty and repaired later.
        case serve
        /// The response is replaced by 503. Used on the way from 1 to 2, so that no session gets dirty behind the gate.
        case refuse
    }

    /// One upstream and what may be routed to it.
    public struct Instance: Sendable, Equatable, Codable {
        public var name: String
        /// `http://HOST:PORT`.
        public var url: String
        /// Share of new sessions under the weighted balances, relative to the others'; 0 to ``weightMax``. 0: no new
        /// sessions under any balance; its own stay.
        public var weight: Int
        public var state: State

        public static let weightMax = 1000

        public init(name: String, url: String, weight: Int = 1, state: State = .active) {
            self.name = name
            self.url = url
            self.weight = weight
            self.state = state
        }

        /// Whether sessions may begin there.
        public var acceptsNewSessions: Bool { state.acceptsNewSessions && weight > 0 }

        /// `active` → `draining` → `drained` → `active`, and `active` → `fencing` → `fenced` → `active`.
        public enum State: String, Sendable, Codable, CaseIterable {
            /// Takes new and old sessions.
            case active
            /// No new sessions; its own are store-authoritative but still routed to it.
            case draining
            /// Its sessions are re-homed; nothing is routed to it.
            case drained
            /// Found dead; as `draining`, until every proxy knows.
            case fencing
            /// Dead: as `drained`. Readmitted only after its stale sessions are evicted.
            case fenced

            public var acceptsNewSessions: Bool { self == .active }
            /// Whether its own sessions are still routed to it.
            public var isRoutable: Bool { self == .active || self == .draining || self == .fencing }
        }
    }
}

/// Where a request goes, and under which phase's rules.
public struct RouteDecision: Sendable, Equatable {
    public enum Target: Sendable, Equatable {
        /// This instance only (an index into the table), unless `mayFailOver`.
        case home(Int)
        /// Whichever instance the balancer prefers among those that accept new sessions.
        case any
        /// The session's home is not known from the request: read it from the store, then route again with it.
        case lookUpHome
    }

    public var target: Target
    /// The rules for this request; may be stricter than the table's phase for a session whose home is leaving.
    public var phase: Phase
    /// Whether another instance may serve the request when the target cannot be reached.
    public var mayFailOver: Bool
    /// The instance that the affinity cookie should name from now on; nil: whichever instance serves the request.
    public var home: Int?

    public init(target: Target, phase: Phase, mayFailOver: Bool, home: Int?) {
        self.target = target
        self.phase = phase
        self.mayFailOver = mayFailOver
        self.home = home
    }
}

extension RoutingTable {
    /// Number of ramp buckets: a hundredth of a percent each.
    public static let buckets: UInt64 = 10_000

    /// Whether the ramp includes the session with this ``StableHash``. Growing the ramp never takes a session out.
    public func rampIncludes(_ sessionHash: UInt64) -> Bool {
        sessionHash % Self.buckets < rampEnd
    }

    /// The first bucket that is not in the ramp.
    var rampEnd: UInt64 { UInt64(max(0, min(100, rampPercent))) * (Self.buckets / 100) }

    /// The instance that every proxy picks for a session without a usable home: ``Rendezvous`` among the active ones, so
    /// that a change of one instance moves only that one's sessions. Nil when no instance is active.
    ///
    /// Weights have no say, 0 included: a change of weights must not move a session that is on its way from a home that
    /// left, because in `mirroring` two proxies that disagree about it would leave a stale copy in a memory that counts.
    public func rendezvous(_ sessionHash: UInt64, excluding excluded: Int? = nil) -> Int? {
        var best: (index: Int, score: UInt64)?
        for (index, instance) in instances.enumerated() where instance.state == .active && index != excluded {
            let score = Rendezvous.score(sessionHash, StableHash.hash(instance.name))
            if best.map({ score > $0.score }) ?? true { best = (index, score) }
        }
        return best?.index
    }

    /// The instance whose memory should hold the session, given the home on record: that one while it is routable,
    /// otherwise the rendezvous. Repatriation and proxies agree through this function.
    public func effectiveHome(recorded: String?, sessionHash: UInt64) -> Int? {
        if let recorded, let index = instances.firstIndex(where: { $0.name == recorded }),
            instances[index].state.isRoutable
        {
            return index
        }
        return rendezvous(sessionHash)
    }

    /// Decides one request. Proxies keep a ``RouteMap`` instead of making one for each request.
    /// - Parameters: as ``RouteMap/route(sessionHash:affinity:homeLookedUp:)``.
    public func route(sessionHash: UInt64?, affinity: Int?, homeLookedUp: Bool = false) -> RouteDecision {
        RouteMap(self).route(sessionHash: sessionHash, affinity: affinity, homeLookedUp: homeLookedUp)
    }
}
