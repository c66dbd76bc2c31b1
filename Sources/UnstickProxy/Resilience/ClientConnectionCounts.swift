import Synchronization

/// Open connections by client, over all event loops, in a fixed piece of memory and without a lock.
///
/// Two rows of counters, each client in one place of each; its count is the smaller of the two (a count-min sketch whose
/// entries can go down). So a client is never counted too low, and too high only when both places are shared with
/// others: with four places for each connection that a proxy accepts at all, and places that nobody can choose, that
/// does not reach a limit.
final class ClientConnectionCounts: @unchecked Sendable {
    // @unchecked: `counters` is written in `init` and `deinit` only; what it points to are atomics.

    private let counters: UnsafeMutablePointer<Atomic<UInt32>>
    private let mask: UInt64
    private let limit: UInt32
    private let seed: UInt64

    /// - Parameters:
    ///   - limit: connections of one client, 1 or more.
    ///   - connections: that the proxy accepts altogether.
    ///   - seed: from a random source.
    init(limit: Int, connections: Int, seed: UInt64) {
        var row = 1024
        while row < min(max(0, connections), 1 << 22) * 4 { row *= 2 }
        counters = .allocate(capacity: 2 * row)
        for index in 0..<(2 * row) { (counters + index).initialize(to: Atomic(0)) }
        mask = UInt64(row - 1)
        self.limit = UInt32(clamping: max(1, limit))
        self.seed = seed
    }

    deinit {
        // Atomics of numbers need no deinitialization.
        counters.deallocate()
    }

    /// Counts a new connection. False, and nothing counted, when the client has as many as it may.
    func open(_ client: ClientKey) -> Bool {
        let (first, second) = places(client)
        let counts = (
            counters[first].add(1, ordering: .relaxed).newValue, counters[second].add(1, ordering: .relaxed).newValue
        )
        guard min(counts.0, counts.1) > limit else { return true }
        close(client)
        return false
    }

    /// Takes back one `open` that was true.
    func close(_ client: ClientKey) {
        let (first, second) = places(client)
        counters[first].subtract(1, ordering: .relaxed)
        counters[second].subtract(1, ordering: .relaxed)
    }

    private func places(_ client: ClientKey) -> (Int, Int) {
        let hash = client.hash(seed: seed)
        return (Int(hash & mask), Int(mask + 1 + (hash >> 32) & mask))
    }
}
