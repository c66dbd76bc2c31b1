import Synchronization

/// Logouts that the store has not taken yet, of all event loops of a process: what the store still holds of these
/// sessions must not be served, whichever connection asks.
///
/// Proxies of other processes don't know of them: while writes fail and reads succeed (a full disk), one of those may
/// hydrate such a session.
final class PendingLogouts: Sendable {
    private let ids = Mutex(Set<String>())
    /// Read without the lock: nearly always 0.
    private let count = Atomic(0)

    func insert(_ id: String) {
        ids.withLock { ids in
            ids.insert(id)
            count.store(ids.count, ordering: .releasing)
        }
    }

    func remove(_ id: String) {
        ids.withLock { ids in
            ids.remove(id)
            count.store(ids.count, ordering: .releasing)
        }
    }

    func contains(_ id: String) -> Bool {
        count.load(ordering: .acquiring) > 0 && ids.withLock { $0.contains(id) }
    }
}
