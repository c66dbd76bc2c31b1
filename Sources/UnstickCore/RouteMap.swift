/// A routing table as requests ask it: what decides a route in one piece of memory, names only as hashes. Made once for
/// each table and event loop; asking it allocates nothing and counts no references.
public struct RouteMap: ~Copyable {
    /// What decides about one instance.
    struct Place {
        var nameHash: UInt64
        var state: RoutingTable.Instance.State
        var acceptsNewSessions: Bool
        var weight: Int
    }

    public let phase: Phase
    /// Number of instances.
    public let count: Int
    private let hydrates: Bool
    private let rehoming: Bool
    /// Sessions in buckets below this one are in the ramp.
    private let rampEnd: UInt64
    private let places: UnsafeMutablePointer<Place>

    public init(_ table: RoutingTable) {
        phase = table.phase
        hydrates = table.hydrates
        rehoming = table.rehoming
        rampEnd = table.rampEnd
        count = table.instances.count
        places = .allocate(capacity: max(1, count))
        for (index, instance) in table.instances.enumerated() {
            (places + index).initialize(
                to: Place(
                    nameHash: StableHash.hash(instance.name), state: instance.state,
                    acceptsNewSessions: instance.acceptsNewSessions, weight: instance.weight))
        }
    }

    deinit { places.deallocate() }

    /// Whether requests without a session may be sent there.
    public func acceptsNewSessions(_ index: Int) -> Bool { places[index].acceptsNewSessions }

    public func weight(_ index: Int) -> Int { places[index].weight }

    /// ``StableHash`` of the instance's name.
    public func nameHash(_ index: Int) -> UInt64 { places[index].nameHash }

    /// Whether the ramp includes the session with this ``StableHash``.
    public func rampIncludes(_ sessionHash: UInt64) -> Bool { sessionHash % RoutingTable.buckets < rampEnd }

    /// As ``RoutingTable/rendezvous(_:)``.
    public func rendezvous(_ sessionHash: UInt64) -> Int? {
        best(for: sessionHash) { $0.state == .active }
    }

    /// The instance that a client's address stands for, whatever its state: one that drains keeps its clients, and one
    /// that is out of service is what ``route(sessionHash:affinity:homeLookedUp:)`` re-homes from. Nil without instances.
    /// - Parameter addressHash: ``StableHash`` of the address.
    public func home(ofAddress addressHash: UInt64) -> Int? {
        best(for: addressHash) { _ in true }
    }

    private func best(for key: UInt64, where isEligible: (Place) -> Bool) -> Int? {
        var best = -1
        var bestScore: UInt64 = 0
        for index in 0..<count where isEligible(places[index]) {
            let score = Rendezvous.score(key, places[index].nameHash)
            if best < 0 || score > bestScore {
                best = index
                bestScore = score
            }
        }
        return best < 0 ? nil : best
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
            var home: Int?
            if let affinity { home = places[affinity].state.isRoutable ? affinity : rendezvous(sessionHash) }
            return RouteDecision(target: .any, phase: .stateless, mayFailOver: true, home: home)
        }
        return routeByAffinity(sessionHash: sessionHash, affinity: affinity, homeLookedUp: homeLookedUp)
    }

    private func routeWithoutSession(affinity: Int?) -> RouteDecision {
        if phase <= .externalized, let affinity, places[affinity].acceptsNewSessions {
            return RouteDecision(target: .home(affinity), phase: phase, mayFailOver: true, home: affinity)
        }
        // A client that has an affinity keeps it while it may come to matter again: only a rollback uses it.
        var home: Int?
        if phase == .stateless, let affinity, places[affinity].acceptsNewSessions { home = affinity }
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
        let state = places[affinity].state
        if phase == .mirroring, !hydrates {
            // As in `sticky`: what an instance that left held is not brought back, and nothing else moves.
            let home = state.isRoutable ? affinity : rendezvous(sessionHash) ?? affinity
            return RouteDecision(target: .home(home), phase: .mirroring, mayFailOver: false, home: home)
        }
        switch state {
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
