import UnstickCore

/// Chooses among instances for requests that any instance may serve.
struct Balancer {
    let method: ProxyOptions.Balance
    private var turn: Int
    private var random: UInt64

    init(method: ProxyOptions.Balance, seed: UInt64) {
        self.method = method
        turn = 0
        random = seed
    }

    /// An index into the table: among the healthy active instances, or among all active ones when none is healthy
    /// (better a try than a certain refusal). Nil when none is left.
    mutating func choose(_ table: LoopTable, excluding tried: UInt64 = 0) -> Int? {
        choose(table, tried: tried, onlyHealthy: true) ?? choose(table, tried: tried, onlyHealthy: false)
    }

    private mutating func choose(_ table: LoopTable, tried: UInt64, onlyHealthy: Bool) -> Int? {
        let count = table.pools.count
        guard count > 0 else { return nil }
        turn = (turn &+ 1) % count
        var start = turn
        if method == .random {
            random = StableHash.mix(random)
            start = Int(random % UInt64(count))
        }
        var best: Int?
        for offset in 0..<count {
            var index = start + offset
            if index >= count { index -= count }
            guard table.table.instances[index].state.acceptsNewSessions, tried & (1 << UInt64(index & 63)) == 0,
                !onlyHealthy || table.pools[index].isHealthy
            else { continue }
            guard method == .leastConnections, let current = best else {
                if method != .leastConnections { return index }
                best = index
                continue
            }
            if table.pools[index].inFlight < table.pools[current].inFlight { best = index }
        }
        return best
    }
}
