import BridgeContract
import NIOCore
import SessionStore
import Synchronization
import UnstickCore

/// Which sessions the listings of a verification named, by ``MemoryIndex/key(_:)``.
final class SeenSessions: Sendable {
    private let keys = Mutex<Set<UInt64>>([])

    func insert(_ sessions: [ListedSession]) {
        let new = sessions.map { MemoryIndex.key($0.id) }
        keys.withLock { $0.formUnion(new) }
    }

    func contains(_ id: String) -> Bool {
        let key = MemoryIndex.key(id)
        return keys.withLock { $0.contains(key) }
    }
}

extension VerificationRun {
    /// Ends the store's copies of sessions that no memory holds, before copies in the store begin to count.
    ///
    /// While some proxies were still in `sticky`, a logout through one of those left no tombstone, and what another had
    /// mirrored of the session stayed. Hydrated later, it would bring the session back. In `mirroring` a session that is
    /// in no memory has ended: the application had it in memory before the proxy could mirror it.
    func pruneOrphans() async {
        guard let seen, !tally.isInconclusive else { return }
        do {
            var cursor: String?
            repeat {
                try Task.checkCancellation()
                let page = try await store.scan(after: cursor, limit: limits.scanPage)
                guard page.next == nil || page.next != cursor else {
                    throw InconclusiveError("the store's scan does not move")
                }
                let suspects = page.sessions.filter { isLive($0.stored) && !seen.contains($0.id) }
                try await forEachConcurrently(suspects, limit: limits.sessions) { try await prune($0) }
                cursor = page.next
            } while cursor != nil
        } catch {
            tally.inconclusive(InconclusiveError.reason(error))
        }
    }

    private func isLive(_ stored: StoredVersion) -> Bool {
        stored.generation == table.generation && !stored.isTombstone
    }

    private func prune(_ scanned: ScannedSession) async throws {
        // It may have begun after the listing.
        for instance in instances {
            guard case .missing = try await bridge.export(scanned.id, from: instance) else { return }
        }
        guard let now = try await store.version(of: scanned.id), isLive(now), now.version == scanned.stored.version
        else {
            return
        }
        _ = try await store.destroy(
            SessionRecord(
                id: scanned.id, generation: now.generation,
                version: VersionTag(version: now.version.version + 1, tag: 0), codec: "-", state: ByteBuffer(),
                ttlSeconds: now.ttlSeconds, expiresAt: now.expiresAt, home: now.home, writer: "", isTombstone: true))
    }
}
