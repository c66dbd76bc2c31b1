/// What a step changes in the routing table; relative to the table at the moment of publishing, so that two changes
/// that are planned apart (a drain, and the fencing of another instance meanwhile) do not undo each other.
public struct TableChange: Sendable, Equatable, Codable {
    /// Phase, ramp, store errors and rehoming belong together: a phase without its switches would be half a change.
    public struct Mode: Sendable, Equatable, Codable {
        public var phase: Phase
        /// Nil: the table's own.
        public var generation: Generation?
        public var rampPercent: Int
        public var storeErrors: RoutingTable.StoreErrorPolicy
        public var hydrates = true
        public var rehoming: Bool
    }

    public var mode: Mode?
    public var instance: String?
    public var state: RoutingTable.Instance.State?
    /// An epoch of its own although nothing else changes: once it is acknowledged, every request that began before it
    /// has its effects in the store.
    public var isBarrier = false
    /// Joins, in the state that it says; not when there is one of that name.
    public var added: RoutingTable.Instance?
    /// Leaves the table.
    public var removed: String?
    /// Of ``instance``.
    public var weight: Int?

    private init(mode: Mode? = nil, instance: String? = nil, state: RoutingTable.Instance.State? = nil) {
        self.mode = mode
        self.instance = instance
        self.state = state
    }

    public static func sticky(generation: Generation? = nil) -> TableChange {
        TableChange(
            mode: Mode(phase: .sticky, generation: generation, rampPercent: 0, storeErrors: .serve, rehoming: false))
    }

    /// Mirroring beside proxies that may still be in `sticky`: nothing is hydrated.
    public static func mirroringUncovered(generation: Generation? = nil) -> TableChange {
        TableChange(
            mode: Mode(
                phase: .mirroring, generation: generation, rampPercent: 0, storeErrors: .serve, hydrates: false,
                rehoming: false))
    }

    /// Mirroring with hydration.
    public static func mirroring(_ storeErrors: RoutingTable.StoreErrorPolicy) -> TableChange {
        TableChange(
            mode: Mode(phase: .mirroring, generation: nil, rampPercent: 0, storeErrors: storeErrors, rehoming: false))
    }

    public static func barrier() -> TableChange {
        var change = TableChange()
        change.isBarrier = true
        return change
    }

    public static func externalized(rehoming: Bool) -> TableChange {
        TableChange(
            mode: Mode(phase: .externalized, generation: nil, rampPercent: 0, storeErrors: .serve, rehoming: rehoming))
    }

    public static func stateless(percent: Int) -> TableChange {
        TableChange(
            mode: Mode(
                phase: .stateless, generation: nil, rampPercent: percent, storeErrors: .serve, rehoming: true))
    }

    public static func completed() -> TableChange {
        TableChange(
            mode: Mode(phase: .completed, generation: nil, rampPercent: 100, storeErrors: .serve, rehoming: true))
    }

    public static func instance(_ name: String, _ state: RoutingTable.Instance.State) -> TableChange {
        TableChange(instance: name, state: state)
    }

    public static func adding(_ instance: RoutingTable.Instance) -> TableChange {
        var change = TableChange()
        change.added = instance
        return change
    }

    public static func removing(_ name: String) -> TableChange {
        var change = TableChange()
        change.removed = name
        return change
    }

    public static func weight(_ name: String, _ weight: Int) -> TableChange {
        var change = TableChange(instance: name)
        change.weight = weight
        return change
    }

    /// Back to what `table` says of phase, ramp and switches.
    public static func mode(of table: RoutingTable) -> TableChange {
        TableChange(
            mode: Mode(
                phase: table.phase, generation: nil, rampPercent: table.rampPercent, storeErrors: table.storeErrors,
                hydrates: table.hydrates, rehoming: table.rehoming))
    }

    /// The table with this change and the next epoch; `table` itself when nothing would change.
    public func applied(to table: RoutingTable) -> RoutingTable {
        var changed = table
        if let mode {
            changed.phase = mode.phase
            changed.generation = mode.generation ?? table.generation
            changed.rampPercent = mode.rampPercent
            changed.storeErrors = mode.storeErrors
            changed.hydrates = mode.hydrates
            changed.rehoming = mode.rehoming
        }
        if let instance, let state, let index = changed.instances.firstIndex(where: { $0.name == instance }) {
            changed.instances[index].state = state
        }
        if let instance, let weight, let index = changed.instances.firstIndex(where: { $0.name == instance }) {
            changed.instances[index].weight = weight
        }
        if let added, !changed.instances.contains(where: { $0.name == added.name }) { changed.instances.append(added) }
        if let removed { changed.instances.removeAll { $0.name == removed } }
        guard changed != table || isBarrier else { return table }
        changed.epoch = table.epoch.next
        return changed
    }

    /// For plan and journal.
    public var words: String {
        if let instance, let state { return "\(instance) \(state.rawValue)" }
        if let instance, let weight { return "\(instance) has weight \(weight)" }
        if let added { return "\(added.name) joins as \(added.state.rawValue), \(added.url)" }
        if let removed { return "\(removed) leaves" }
        guard let mode else { return isBarrier ? "an epoch without change" : "nothing" }
        var words = mode.phase.name
        switch mode.phase {
        case .mirroring where !mode.hydrates: words += ", nothing is hydrated yet"
        case .mirroring where mode.storeErrors == .refuse: words += ", store errors refuse"
        case .externalized where !mode.rehoming: words += ", no re-homing yet"
        case .stateless: words += " \(mode.rampPercent) %"
        default: break
        }
        if let generation = mode.generation { words += ", generation \(generation)" }
        return words
    }
}
