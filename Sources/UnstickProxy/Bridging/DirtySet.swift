import NIOCore

/// Sessions whose last change is not in the store: remembered until repaired, and a red gate meanwhile.
final class DirtySet {
    struct Entry {
        /// The instance whose memory has the change.
        var home: String
        /// A logout that the store has not seen: when the home no longer has the session, it gets a tombstone.
        var wasDestroyed: Bool
        /// Added because the store seemed to lack it, not because a write failed: no reason for a red gate.
        var isSuspicion: Bool
        var ttlSeconds: Int64
        var version: UInt64
        var notBefore: NIODeadline
        var attempts = 0
        /// How often the session was marked: a mark during a repair outlives that repair.
        var marks = 1
    }

    private var entries: [String: Entry] = [:]
    private var repairing: Set<String> = []
    private let limit: Int
    /// More were dirty than could be remembered: only a whole verification makes that good.
    private(set) var overflowed = false

    private let pendingLogouts: PendingLogouts

    init(limit: Int, pendingLogouts: PendingLogouts) {
        self.limit = limit
        self.pendingLogouts = pendingLogouts
    }

    /// Sessions known to differ from the store.
    private(set) var dirtyCount = 0

    var isEmpty: Bool { entries.isEmpty }

    func mark(_ id: String, _ entry: Entry) {
        if let old = entries[id] {
            if !old.isSuspicion { dirtyCount -= 1 }
        } else if entries.count >= limit {
            if !entry.isSuspicion { overflowed = true }
            return
        }
        var entry = entry
        // A known difference does not become a mere suspicion again.
        if let old = entries[id] {
            entry.marks = old.marks + 1
            if !old.isSuspicion { entry.isSuspicion = false }
            if old.wasDestroyed { entry.wasDestroyed = true }
        }
        entries[id] = entry
        if entry.wasDestroyed { pendingLogouts.insert(id) }
        if !entry.isSuspicion { dirtyCount += 1 }
    }

    func clear(_ id: String) {
        guard let old = entries.removeValue(forKey: id) else { return }
        if old.wasDestroyed { pendingLogouts.remove(id) }
        if !old.isSuspicion { dirtyCount -= 1 }
    }

    func clearOverflow() { overflowed = false }

    /// Takes up to `count` sessions that are due and not in repair already.
    func beginRepairs(_ count: Int, now: NIODeadline) -> [(id: String, entry: Entry)] {
        guard !entries.isEmpty, repairing.count < count else { return [] }
        var due: [(id: String, entry: Entry)] = []
        for (id, entry) in entries where entry.notBefore <= now && !repairing.contains(id) {
            due.append((id, entry))
            if due.count + repairing.count >= count { break }
        }
        for item in due { repairing.insert(item.id) }
        return due
    }

    /// - Parameter repaired: false puts it off, doubling the wait up to 8 s.
    func endRepair(_ id: String, _ begun: Entry, repaired: Bool, now: NIODeadline) {
        repairing.remove(id)
        guard var entry = entries[id] else { return }
        if repaired {
            if entry.marks == begun.marks { clear(id) }
        } else {
            entry.attempts += 1
            entry.notBefore = now + .milliseconds(250 << Int64(min(entry.attempts, 5)))
            entries[id] = entry
        }
    }
}
