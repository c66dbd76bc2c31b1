import UnstickCore

/// What the coordinator does by itself between operations; pure. At most one change for each look, so that each
/// change is acknowledged before the next.
struct Reconciliation: Sendable {
    /// How one instance looks at this moment.
    struct Observation: Sendable {
        var name: String
        /// Every proxy that is alive says so, and at least one is.
        var isUnhealthyEverywhere: Bool
        /// The bridge answered the coordinator.
        var answers: Bool
    }

    enum Action: Sendable, Equatable {
        case publish(TableChange, isUrgent: Bool, reason: String)
        /// Evict what is stale there, then publish `fencing`: from there it becomes active or is fenced again.
        case readmit(instance: String)
    }

    /// Consecutive failed looks, by instance.
    private(set) var failures: [String: Int] = [:]

    /// - Parameters:
    ///   - isSettled: whether every proxy has acknowledged the table.
    ///   - failuresLimit: how many consecutive failures make an instance dead.
    ///   - isPaused: whether the operator has stopped automation. Ending what an operation began is not automation.
    mutating func decide(
        table: RoutingTable, isSettled: Bool, observations: [Observation], failuresLimit: Int, isPaused: Bool
    ) -> Action? {
        count(observations)
        if isSettled, table.phase == .mirroring, table.storeErrors == .refuse, table.hydrates {
            return .publish(
                .mirroring(.serve), isUrgent: false, reason: "every proxy is in mirroring: store errors serve again")
        }
        if isSettled, table.phase == .externalized, !table.rehoming {
            return .publish(
                .externalized(rehoming: true), isUrgent: false,
                reason: "every proxy is in externalized: sessions may be re-homed again")
        }
        // Before a death is covered, what an instance alone holds is lost with it, as in `sticky`; the store's copies may
        // lack what it held, so nothing is re-homed from them.
        guard !isPaused, CoexistenceLevel(table).isCovered else { return nil }
        for instance in table.instances {
            guard let observation = observations.first(where: { $0.name == instance.name }) else { continue }
            let isDead = failures[instance.name, default: 0] >= failuresLimit
            switch instance.state {
            case .active
            where isDead && hasAnother(than: instance.name, table) && (table.phase != .mirroring || isSettled):
                return .publish(
                    .instance(instance.name, .fencing), isUrgent: true,
                    reason: "\(instance.name) answers neither a proxy nor the coordinator")
            case .fencing where isSettled && isDead:
                return .publish(
                    .instance(instance.name, .fenced), isUrgent: false,
                    reason: "\(instance.name) is out: its sessions are re-homed from the store")
            case .fencing where isSettled && observation.answers && !observation.isUnhealthyEverywhere:
                return .publish(
                    .instance(instance.name, .active), isUrgent: false, reason: "\(instance.name) is back")
            case .fenced where isSettled && observation.answers:
                return .readmit(instance: instance.name)
            default: continue
            }
        }
        return nil
    }

    private mutating func count(_ observations: [Observation]) {
        for observation in observations {
            let failed = observation.isUnhealthyEverywhere && !observation.answers
            failures[observation.name] = failed ? failures[observation.name, default: 0] + 1 : 0
        }
        failures = failures.filter { entry in observations.contains { $0.name == entry.key } }
    }

    /// Never fence the last active one, nor the last that answers: when all are dead, fencing helps nobody.
    private func hasAnother(than name: String, _ table: RoutingTable) -> Bool {
        table.instances.contains { $0.name != name && $0.state == .active && failures[$0.name, default: 0] == 0 }
    }
}
