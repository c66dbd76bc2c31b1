import UnstickCore

/// What a ``Balancer`` looks at: instances by their index in the routing table.
protocol BalancedInstances {
    var count: Int { get }
    /// Whether requests without a home may be sent there.
    func acceptsNewSessions(_ index: Int) -> Bool
    func isHealthy(_ index: Int) -> Bool
    /// Requests in flight from this event loop.
    func load(_ index: Int) -> Int
    /// 1 to ``RoutingTable/Instance/weightMax``; 0 is never asked for.
    func weight(_ index: Int) -> Int
    /// ``StableHash`` of the name.
    func nameHash(_ index: Int) -> UInt64
}

/// Chooses among instances for requests that any instance may serve. Belongs to one event loop; allocates nothing but
/// when the set of instances changes.
struct Balancer {
    /// What it remembers of one instance, by index.
    private struct Slot {
        var nameHash: UInt64
        /// Of smooth weighted round-robin: how much it is owed.
        var credit = 0
        /// When its slow start began, nanoseconds; nil: it is warm.
        var warmsSince: UInt64?
    }

    let method: ProxyOptions.Balance.Method
    private let slowStart: UInt64
    private let slowStartFloor: Int
    private var slots = ContiguousArray<Slot>()
    /// No instance is warming up from then on.
    private var warmAt: UInt64 = 0
    private var turn: Int
    private var random: UInt64

    /// Weights in fixed point, so that a slow start's share of weight 1 is more than none.
    private static let unit = 1 << 10

    /// - Parameter seed: different for each event loop, so that they do not march in step.
    init(_ balance: ProxyOptions.Balance, seed: UInt64) {
        method = balance.method
        let parts = balance.slowStart.components
        slowStart = UInt64(max(0, parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000))
        slowStartFloor = balance.slowStartFloor
        turn = Int(seed >> 33)
        random = seed
    }

    // MARK: What changes at run time

    /// Follows a new table. Instances are known by their names: what is owed to one that stays is kept, one that is new
    /// begins slowly, unless all are (a start is no reason to hold back).
    /// - Parameter now: nanoseconds of a clock that never goes back.
    mutating func adopt(_ instances: some BalancedInstances, now: UInt64) {
        var next = ContiguousArray<Slot>()
        next.reserveCapacity(instances.count)
        for index in 0..<instances.count {
            let nameHash = instances.nameHash(index)
            if let known = slots.first(where: { $0.nameHash == nameHash }) {
                next.append(known)
            } else {
                next.append(Slot(nameHash: nameHash, warmsSince: slots.isEmpty ? nil : now))
            }
        }
        if slowStart > 0, !slots.isEmpty, next.contains(where: { $0.warmsSince == now }) { warmAt = now &+ slowStart }
        slots = next
    }

    /// The instance begins slowly: it is healthy again.
    mutating func warmUp(_ index: Int, now: UInt64) {
        guard slowStart > 0, slots.indices.contains(index) else { return }
        slots[index].warmsSince = now
        warmAt = now &+ slowStart
    }

    // MARK: Choosing

    /// An index: among the healthy instances that accept new sessions, or among all that do when none is healthy (better
    /// a try than a certain refusal). Nil when none is left.
    /// - Parameters:
    ///   - key: ``StableHash`` of the session id, for ``ProxyOptions/Balance/Method/consistent``.
    ///   - now: nanoseconds of the clock of ``adopt(_:now:)``.
    mutating func choose(
        among instances: some BalancedInstances, excluding tried: TriedInstances = TriedInstances(),
        key: UInt64? = nil, now: UInt64
    ) -> Int? {
        if slots.count != instances.count { adopt(instances, now: now) }
        return choose(instances, tried, healthyOnly: true, key, now)
            ?? choose(instances, tried, healthyOnly: false, key, now)
    }

    private mutating func choose(
        _ instances: some BalancedInstances, _ tried: TriedInstances, healthyOnly: Bool,
        _ key: UInt64?, _ now: UInt64
    ) -> Int? {
        let isWarming = now < warmAt
        switch method {
        case .roundRobin where !isWarming:
            return next(instances, tried, healthyOnly)
        case .roundRobin, .weightedRoundRobin:
            return smooth(instances, tried, healthyOnly, now)
        case .leastConnections, .weightedLeastConnections:
            return leastLoaded(instances, tried, healthyOnly, now)
        case .random:
            return draw(instances, tried, healthyOnly, now)
        case .powerOfTwo:
            guard let first = draw(instances, tried, healthyOnly, now) else { return nil }
            guard let second = draw(instances, tried.inserting(first), healthyOnly, now) else { return first }
            return isLess(second, than: first, instances, now) ? second : first
        case .consistent:
            guard let key else { return draw(instances, tried, healthyOnly, now) }
            return highest(instances, tried, healthyOnly, key)
        }
    }

    @inline(__always)
    private func isEligible(
        _ index: Int, _ instances: some BalancedInstances, _ tried: TriedInstances,
        _ healthyOnly: Bool
    ) -> Bool {
        instances.acceptsNewSessions(index) && !tried.contains(index) && (!healthyOnly || instances.isHealthy(index))
    }

    /// At least 1; ``unit`` for weight 1.
    @inline(__always)
    private func effectiveWeight(
        _ index: Int, _ instances: some BalancedInstances, _ now: UInt64
    ) -> Int {
        let full = (method.isWeighted ? instances.weight(index) : 1) * Self.unit
        guard now < warmAt, let since = slots[index].warmsSince else { return full }
        let elapsed = now &- since
        guard elapsed < slowStart else { return full }
        let share = Double(elapsed) / Double(slowStart)
        return max(1, full * slowStartFloor / 100, Int(Double(full) * share))
    }

    private mutating func next(
        _ instances: some BalancedInstances, _ tried: TriedInstances, _ healthyOnly: Bool
    ) -> Int? {
        let count = instances.count
        guard count > 0 else { return nil }
        for offset in 1...count {
            let index = (turn % count + offset) % count
            guard isEligible(index, instances, tried, healthyOnly) else { continue }
            turn = index
            return index
        }
        return nil
    }

    /// As nginx has it (`ngx_http_upstream_get_peer`): everybody is credited its weight, the one with most is chosen and
    /// pays the sum. Spreads 5:1:1 as a a b a c a a, not a a a a a b c.
    private mutating func smooth(
        _ instances: some BalancedInstances, _ tried: TriedInstances, _ healthyOnly: Bool,
        _ now: UInt64
    ) -> Int? {
        var best = -1
        var total = 0
        for index in 0..<instances.count where isEligible(index, instances, tried, healthyOnly) {
            let weight = effectiveWeight(index, instances, now)
            slots[index].credit += weight
            total += weight
            if best < 0 || slots[index].credit > slots[best].credit { best = index }
        }
        guard best >= 0 else { return nil }
        slots[best].credit -= total
        return best
    }

    /// Among equals whoever comes first behind the one chosen last: from a place that merely moves on, the one behind
    /// an instance that may not be chosen would get that one's share too.
    private mutating func leastLoaded(
        _ instances: some BalancedInstances, _ tried: TriedInstances, _ healthyOnly: Bool,
        _ now: UInt64
    ) -> Int? {
        let count = instances.count
        guard count > 0 else { return nil }
        let start = (turn % count + 1) % count
        var best: Int?
        for offset in 0..<count {
            var index = start + offset
            if index >= count { index -= count }
            guard isEligible(index, instances, tried, healthyOnly) else { continue }
            guard let current = best else {
                best = index
                continue
            }
            if isLess(index, than: current, instances, now) { best = index }
        }
        if let best { turn = best }
        return best
    }

    /// Whether one more request would load `left` less than `right`, for their weights.
    @inline(__always)
    private func isLess(
        _ left: Int, than right: Int, _ instances: some BalancedInstances, _ now: UInt64
    ) -> Bool {
        (instances.load(left) + 1) * effectiveWeight(right, instances, now)
            < (instances.load(right) + 1) * effectiveWeight(left, instances, now)
    }

    private mutating func draw(
        _ instances: some BalancedInstances, _ tried: TriedInstances, _ healthyOnly: Bool,
        _ now: UInt64
    ) -> Int? {
        var total = 0
        for index in 0..<instances.count where isEligible(index, instances, tried, healthyOnly) {
            total += effectiveWeight(index, instances, now)
        }
        guard total > 0 else { return nil }
        random &+= 0x9e37_79b9_7f4a_7c15
        // Multiplying instead of dividing; its bias is below 2⁻⁴⁰ here (Lemire 2019).
        var left = Int(StableHash.mix(random).multipliedFullWidth(by: UInt64(total)).high)
        for index in 0..<instances.count where isEligible(index, instances, tried, healthyOnly) {
            left -= effectiveWeight(index, instances, now)
            if left < 0 { return index }
        }
        return nil
    }

    private func highest(
        _ instances: some BalancedInstances, _ tried: TriedInstances, _ healthyOnly: Bool,
        _ key: UInt64
    ) -> Int? {
        var best = -1
        var bestScore: UInt64 = 0
        for index in 0..<instances.count where isEligible(index, instances, tried, healthyOnly) {
            let score = Rendezvous.score(key, slots[index].nameHash)
            if best < 0
                || Rendezvous.wins(
                    score, weight: instances.weight(index), over: bestScore, weight: instances.weight(best))
            {
                best = index
                bestScore = score
            }
        }
        return best < 0 ? nil : best
    }
}
