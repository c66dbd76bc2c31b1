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
        public var weight: Int
        public var state: State

        public init(name: String, url: String, weight: Int = 1, state: State = .active) {
            self.name = name
            self.url = url
            self.weight = weight
            self.state = state
        }

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
        sessionHash % Self.buckets < UInt64(max(0, min(100, rampPercent))) * (Self.buckets / 100)
    }

    /// The instance that every proxy picks for a session without a usable home: highest random weight (Thaler and
    /// Ravishankar 1998) among the active ones, so that a change of one instance moves only that one's sessions.
    /// Nil when no instance is active.
    public func rendezvous(_ sessionHash: UInt64, excluding excluded: Int? = nil) -> Int? {
        var best: (index: Int, score: UInt64)?
        for (index, instance) in instances.enumerated() where instance.state == .active && index != excluded {
            let score = StableHash.mix(sessionHash ^ StableHash.hash(instance.name))
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

    /// Decides a request.
    /// - Parameters:
    ///   - sessionHash: ``StableHash`` of the session id; nil when the client presents no session.
    ///   - affinity: index of the instance that the affinity names; nil when there is none or it is not valid.
    ///   - homeLookedUp: whether `affinity` already is the store's answer to ``RouteDecision/Target/lookUpHome``.
    public func route(sessionHash: UInt64?, affinity: Int?, homeLookedUp: Bool = false) -> RouteDecision {
        guard let sessionHash else { return routeWithoutSession(affinity: affinity) }
        if phase == .completed {
            return RouteDecision(target: .any, phase: .completed, mayFailOver: true, home: nil)
        }
        if phase == .stateless, rampIncludes(sessionHash) {
            let home = affinity.flatMap { instances[$0].state.isRoutable ? $0 : nil }
            return RouteDecision(
                target: .any,
                phase: .stateless,
                mayFailOver: true,
                home: home ?? (affinity == nil ? nil : rendezvous(sessionHash))
            )
        }
        return routeByAffinity(sessionHash: sessionHash, affinity: affinity, homeLookedUp: homeLookedUp)
    }

    private func routeWithoutSession(affinity: Int?) -> RouteDecision {
        if phase <= .externalized, let affinity, instances[affinity].state == .active {
            return RouteDecision(target: .home(affinity), phase: phase, mayFailOver: true, home: affinity)
        }
        // A client that has an affinity keeps it while it may come to matter again: only a rollback uses it.
        let home = phase == .stateless ? affinity.flatMap { instances[$0].state == .active ? $0 : nil } : nil
        return RouteDecision(target: .any, phase: phase, mayFailOver: true, home: home)
    }

    private func routeByAffinity(sessionHash: UInt64, affinity: Int?, homeLookedUp: Bool) -> RouteDecision {
        // A phase-3 proxy treats the sessions outside its ramp as phase 2 does.
        let byAffinity = min(phase, .externalized)
        let mayFailOver = phase >= .stateless || (phase == .externalized && rehoming)
        guard let affinity else {
            if phase == .sticky || (phase == .mirroring && !hydrates) {
                return RouteDecision(target: .any, phase: phase, mayFailOver: phase == .sticky, home: nil)
            }
            guard homeLookedUp, let home = rendezvous(sessionHash) else {
                return RouteDecision(
                    target: homeLookedUp ? .any : .lookUpHome, phase: byAffinity, mayFailOver: mayFailOver, home: nil)
            }
            return RouteDecision(target: .home(home), phase: .externalized, mayFailOver: mayFailOver, home: home)
        }
        if phase == .mirroring, !hydrates {
            // As in `sticky`: what an instance that left held is not brought back, and nothing else moves.
            let home = instances[affinity].state.isRoutable ? affinity : rendezvous(sessionHash) ?? affinity
            return RouteDecision(target: .home(home), phase: .mirroring, mayFailOver: false, home: home)
        }
        switch instances[affinity].state {
        case .active:
            return RouteDecision(
                target: .home(affinity), phase: byAffinity, mayFailOver: mayFailOver || phase == .sticky, home: affinity
            )
        case .draining, .fencing:
            // In `sticky` there is no store to give the authority to: draining only keeps new sessions away.
            return RouteDecision(
                target: .home(affinity),
                phase: phase == .sticky ? .sticky : .externalized,
                mayFailOver: mayFailOver,
                home: affinity
            )
        case .drained, .fenced:
            guard let home = rendezvous(sessionHash) else {
                return RouteDecision(target: .any, phase: byAffinity, mayFailOver: mayFailOver, home: nil)
            }
            return RouteDecision(
                target: .home(home),
                phase: phase == .sticky ? .sticky : .externalized,
                mayFailOver: mayFailOver || phase == .sticky,
                home: home
            )
        }
    }
}
