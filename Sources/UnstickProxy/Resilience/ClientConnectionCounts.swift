import Synchronization

/// Open connections by client, over all event loops, in a fixed piece of memory and without a lock.
///
/// Four rows of counters, each client in one place of each; its count is the smallest of the four (a count-min sketch
/// whose entries go down as well). So a client is never counted too low, and too high only when all four places are
/// shared with others. With eight places in a row for each connection that the proxy accepts at all, and places that
/// nobody can choose, at most some 2 in 10,000 clients are: for these, when the proxy is full, the limit is lower by what
/// the others have. 128 bytes for each connection of `limits.connections`.
final class ClientConnectionCounts: @unchecked Sendable {
    // @unchecked: `counters` is written in `init` and `deinit` only; what it points to are atomics.

    private static let rows = 4

    private let counters: UnsafeMutablePointer<Atomic<UInt32>>
    private let rowLength: UInt64
    private let limit: UInt32
    private let seed: UInt64

    /// - Parameters:
    ///   - limit: connections of one client, 1 or more.
    ///   - connections: that the proxy accepts altogether; counted as 2²⁰ when more.
    ///   - seed: from a random source.
    init(limit: Int, connections: Int, seed: UInt64) {
        var length = 1024
        while length < min(max(0, connections), 1 << 20) * 8 { length *= 2 }
        let count = ClientConnectionCounts.rows * length
        counters = .allocate(capacity: count)
        for index in 0..<count { (counters + index).initialize(to: Atomic(0)) }
        rowLength = UInt64(length)
        self.limit = UInt32(clamping: max(1, limit))
        self.seed = seed
    }

    deinit {
        // Atomics of numbers need no deinitialization.
        counters.deallocate()
    }

    /// Counts a new connection. False, and nothing counted, when the client has as many as it may.
    func open(_ client: ClientKey) -> Bool {
        let hash = client.hash(seed: seed)
        var least = UInt32.max
        for row in 0..<ClientConnectionCounts.rows {
            least = min(least, counters[place(hash, row)].add(1, ordering: .relaxed).newValue)
        }
        guard least > limit else { return true }
        close(client)
        return false
    }

    /// Takes back one `open` that was true.
    func close(_ client: ClientKey) {
        let hash = client.hash(seed: seed)
        for row in 0..<ClientConnectionCounts.rows {
            counters[place(hash, row)].subtract(1, ordering: .relaxed)
        }
    }

    /// Two halves of the hash place it in every row (Kirsch and Mitzenmacher 2006). Rows have a power of two of places.
    private func place(_ hash: UInt64, _ row: Int) -> Int {
        let step = (hash >> 32) | 1
        return Int(UInt64(row) * rowLength + ((hash &+ UInt64(row) &* step) & (rowLength - 1)))
    }
}
