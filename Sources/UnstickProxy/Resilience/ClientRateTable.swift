import NIOCore
import Synchronization

/// The arrival times of many clients under one rule, in a fixed piece of memory that all event loops share: no lock, no
/// allocation, exact over loops.
///
/// A client falls into one set of eight words, a cache line; each word holds 24 bits of the client's keyed hash and 40
/// bits of its arrival time. A new client takes an empty word, or one whose client has a full allowance again (nothing is
/// forgotten by that), or else that of the client in the set with the smallest debt.
///
/// The trade-off. Whoever comes from ever new addresses replaces, in each set, only the word of the client that owes
/// least, which after the first round is another newcomer's: those who are being limited owe more than any newcomer and
/// stay, so at most one in eight of them can be washed out, once. The price: with more clients active at once
/// than words, some are forgotten early and get a new burst. Two clients of one set whose 24 bits agree share an
/// allowance: one in two million newcomers, and nobody can choose whom to meet.
final class ClientRateTable: @unchecked Sendable {
    // @unchecked: `words` is written in `init` and `deinit` only; what it points to are atomics.

    static let setSize = 8

    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let setMask: UInt64
    private let seed: UInt64
    private let rate: CellRate

    /// - Parameter clients: how many to remember; rounded up to a power of two, 8 to 2²⁴.
    init(rate: CellRate, clients: Int, seed: UInt64) {
        var sets = 1
        while sets * ClientRateTable.setSize < min(clients, 1 << 24) { sets *= 2 }
        let count = sets * ClientRateTable.setSize
        words = UnsafeMutableRawPointer.allocate(
            byteCount: count * MemoryLayout<Atomic<UInt64>>.stride, alignment: 64
        ).bindMemory(to: Atomic<UInt64>.self, capacity: count)
        for index in 0..<count { (words + index).initialize(to: Atomic(0)) }
        setMask = UInt64(sets - 1)
        self.seed = seed
        self.rate = rate
    }

    deinit {
        // Atomics of numbers need no deinitialization.
        UnsafeMutableRawPointer(words).deallocate()
    }

    /// Charges one request. Nil when it is admitted, else the ticks until the client would be.
    func charge(_ client: ClientKey, now: NIODeadline) -> UInt64? {
        let hash = client.hash(seed: seed)
        let tag = max(1, hash >> CellRate.timeBits) << CellRate.timeBits
        let set = words + Int(hash & setMask) * ClientRateTable.setSize
        let ticks = rate.ticks(at: now)
        // Another loop can be first; then the set is looked at again. After eight losses the request passes.
        for _ in 0..<8 {
            let place = find(tag, in: set, at: ticks)
            let isOwn = place.word & ~CellRate.timeMask == tag
            switch rate.verdict(arrival: isOwn ? place.word & CellRate.timeMask : ticks, now: ticks) {
            case .refused(let wait):
                return wait
            case .admitted(let arrival):
                let exchanged = set[place.index].compareExchange(
                    expected: place.word, desired: tag | arrival, ordering: .relaxed
                ).exchanged
                if exchanged { return nil }
            }
        }
        return nil
    }

    /// The client's word, or the one to take over.
    private func find(
        _ tag: UInt64, in set: UnsafeMutablePointer<Atomic<UInt64>>, at ticks: UInt64
    ) -> (index: Int, word: UInt64) {
        var best = (index: 0, word: UInt64(0))
        var leastDebt = UInt64.max
        for index in 0..<ClientRateTable.setSize {
            let word = set[index].load(ordering: .relaxed)
            if word & ~CellRate.timeMask == tag { return (index, word) }
            let debt = word == 0 ? 0 : rate.debt(word & CellRate.timeMask, at: ticks)
            if debt < leastDebt {
                leastDebt = debt
                best = (index, word)
            }
        }
        return best
    }
}
