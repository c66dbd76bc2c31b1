import BridgeContract
import NIOCore
import SessionStore
import UnstickCore

extension VerificationRun {
    private typealias Standing = SessionComparison.Standing

    /// Looks at one session until its standing is sure, at most ``Verifier/Limits/looks`` times; what is still unsure
    /// then waits for the next pass.
    ///
    /// Each look reads the store before the memory. Where memory has the authority the store follows it, so a store that
    /// is ahead of what memory holds *afterwards* is wrong, not early.
    func look(at id: String, in index: Int, previous: VerificationTally.Recheck?) async throws {
        var last: (memory: VersionTag, stored: StoredVersion?)?
        looks: for _ in 0..<limits.looks {
            try Task.checkCancellation()
            let stored = try await store.version(of: id)
            guard let (change, state, incarnation) = try await memory(of: id, in: index) else { return }
            let standing = standing(of: change.version, id: id, stored: stored, in: index)
            if settle(standing, of: index) { return }
            let isUnmoved = last.map { $0.memory == change.version && $0.stored?.version == stored?.version } ?? false
            last = (change.version, stored)
            switch standing {
            case .tombstoned:
                try await resurrected(id, in: index)
                return
            case .storeBehind where backfill:
                let record = record(of: change, state: state, writer: incarnation, stored: stored, in: index)
                if try await save(record, base: change.base, stored: stored, in: index) { return }
                if isUnmoved { return diverged(id, in: index, change.version, stored) }
            case .storeBehind:
                // Reading cannot tell a mirror in flight from one that never was; time can.
                if let previous, previous.memory == change.version, previous.stored == stored?.version {
                    tally.count(\.unsaved, of: index)
                    problem(id, index, difference(change.version, stored))
                    return
                }
                break looks
            case .diverged where backfill && SessionComparison.storeDecides(home: stored?.home, table: table):
                if try await adoptStored(id, in: index) { return }
                if isUnmoved { return diverged(id, in: index, change.version, stored) }
            case .diverged, .storeAhead:
                if isUnmoved { return diverged(id, in: index, change.version, stored) }
            case .newerThanHome:
                if isUnmoved {
                    tally.count(\.unsaved, of: index)
                    problem(id, index, difference(change.version, stored))
                    return
                }
            case .newerGeneration:
                throw InconclusiveError(
                    """
                    the store holds sessions of generation \(stored?.generation ?? .none), which is newer than this \
                    table's \(table.generation)
                    """)
            case .matches, .overtaken, .elsewhere: return
            }
        }
        guard let last else { return }
        if previous == nil { tally.count(\.moved, of: index) }
        try tally.lookAgain(
            VerificationTally.Recheck(instance: index, id: id, memory: last.memory, stored: last.stored?.version),
            limit: limits.recheck)
    }

    /// The session as memory holds it; nil: what was found instead is counted.
    private func memory(
        of id: String, in index: Int
    ) async throws -> (change: BridgeChange, state: ByteBuffer, incarnation: String)? {
        do {
            switch try await bridge.export(id, from: instances[index]) {
            case .missing:
                tally.count(\.ended, of: index)
            case .unserializable(let count, let incarnation):
                try incarnations.check(incarnation, of: instances[index].name)
                tally.countUnserializable(attributes: [], of: index)
                problem(id, index, Self.unserializable(count))
            case .session(let change, let state, let incarnation):
                try incarnations.check(incarnation, of: instances[index].name)
                return (change, state, incarnation)
            }
        } catch let error as BridgeClientError where error.concernsOneSession {
            // Known not to be externalized, and no reason to stop looking at the others.
            tally.count(\.unsaved, of: index)
            problem(id, index, "it cannot be exported: \(error.message)")
        }
        return nil
    }

    private func record(
        of change: BridgeChange, state: ByteBuffer, writer: String, stored: StoredVersion?, in index: Int
    ) -> SessionRecord {
        let current = stored.flatMap { $0.generation == table.generation ? $0 : nil }
        let expiresAt = verifier.clock().adding(seconds: change.ttlSeconds)
        return SessionRecord(
            id: change.id, generation: table.generation, version: change.version, codec: change.codec, state: state,
            ttlSeconds: change.ttlSeconds, expiresAt: max(expiresAt, current?.expiresAt ?? expiresAt),
            home: current?.home ?? instances[index].name, writer: writer)
    }

    /// Saves what the store lacks. True: counted; false: somebody else was faster, look again.
    private func save(
        _ record: SessionRecord, base: VersionTag?, stored: StoredVersion?, in index: Int
    ) async throws -> Bool {
        let condition: SaveCondition
        if !SessionComparison.storeDecides(home: record.home, table: table) {
            condition = .newerWins
        } else if let stored, stored.generation == table.generation {
            // The store has the authority: a newer number alone may be a change that it refused. Only memory that
            // contains what the store holds may go on from there.
            condition = .baseOrSameWriter(base)
        } else {
            condition = .base(nil)
        }
        switch try await store.save(record, when: condition) {
        case .stored(record.version):
            tally.count(\.backfilled, of: index)
            tally.count(\.externalized, of: index)
            return true
        case .superseded(let current) where current.generation == table.generation && current.version == record.version:
            tally.count(\.externalized, of: index)
            return true
        case .conflict(.some): return try await adoptStored(record.id, in: index)
        case .stored, .superseded, .conflict, .tombstoned: return false
        }
    }

    /// The store has the authority and memory holds something else of at least its version: gives memory the store's
    /// copy. A bridge that knows its own for a change that the store refused takes it; then both are equal.
    private func adoptStored(_ id: String, in index: Int) async throws -> Bool {
        guard let record = try await store.load(id), !record.isTombstone, record.generation == table.generation else {
            return false
        }
        let phase = max(table.phase, .externalized)
        guard try await bridge.import(record, into: instances[index], phase: phase) == record.version else {
            return false
        }
        tally.count(\.externalized, of: index)
        return true
    }

    private func resurrected(_ id: String, in index: Int) async throws {
        if backfill, table.phase.mirrors { try await bridge.evict(id, from: instances[index]) }
        tally.count(\.resurrected, of: index)
    }

    private func diverged(_ id: String, in index: Int, _ memory: VersionTag, _ stored: StoredVersion?) {
        tally.count(\.divergent, of: index)
        problem(id, index, difference(memory, stored))
    }

    private func difference(_ memory: VersionTag, _ stored: StoredVersion?) -> String {
        guard let stored else { return "memory \(memory), not in the store" }
        let what =
            stored.generation == table.generation ? "\(stored.version)" : "only of generation \(stored.generation)"
        return "memory \(memory), store \(what) with home \(stored.home)"
    }
}
