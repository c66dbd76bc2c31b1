import BridgeContract
public import ControlAPI
import NIOCore
import SessionStore
public import UnstickCore

extension Verifier {
    public func verify(
        table: RoutingTable, instances names: [String]?, backfill: Bool, passes: Int,
        progress: @escaping @Sendable (Coverage) -> Void
    ) async -> VerificationReport {
        let chosen = table.instances.filter { instance in
            // Nothing is routed to a drained or fenced instance; a dead one would block every gate.
            names?.contains(instance.name) ?? instance.state.isRoutable
        }
        let tally = VerificationTally(names: chosen.map(\.name), clock: clock, progress: progress)
        for name in names ?? [] where !chosen.contains(where: { $0.name == name }) {
            tally.inconclusive("no instance is called '\(name)'")
        }
        if chosen.isEmpty { tally.inconclusive("there is no instance to verify") }
        let prunes = backfill && names == nil && CoexistenceLevel(table) == .mirroringUncovered
        let run = VerificationRun(
            verifier: self, table: table, instances: chosen, backfill: backfill, tally: tally, store: storeAccess(),
            seen: prunes ? SeenSessions() : nil)
        await run.crawlAll()
        var pass = 1
        while pass < max(1, passes), !Task.isCancelled {
            let entries = tally.takeRecheck()
            if entries.isEmpty { break }
            pass += 1
            await run.lookAgain(at: entries, pauseFirst: pauseBefore(pass: pass))
        }
        await run.pruneOrphans()
        if Task.isCancelled { tally.inconclusive("the verification was cancelled") }
        return tally.report(generation: table.generation, passes: pass)
    }
}

/// One verification: every instance's listing is streamed page by page against the store; nothing is kept of it but the
/// set of sessions to look at again.
struct VerificationRun: Sendable {
    let verifier: Verifier
    let table: RoutingTable
    let instances: [RoutingTable.Instance]
    /// Whether anything may be written: without it, sessions are only looked at.
    let backfill: Bool
    let tally: VerificationTally
    let store: StoreAccess
    /// What the listings named; nil unless ``pruneOrphans()`` has to know.
    let seen: SeenSessions?
    let incarnations = IncarnationWatch()

    var bridge: BridgeClient { verifier.bridge }
    var limits: Verifier.Limits { verifier.limits }

    func crawlAll() async {
        // Never throws: an instance's failure is a reason in the report, and the others are still worth looking at.
        try? await forEachConcurrently(instances.indices, limit: limits.instances) { index in
            do {
                try await crawl(index)
            } catch {
                tally.inconclusive(InconclusiveError.reason(error, instance: instances[index].name))
            }
        }
        tally.reportProgress()
    }

    /// The incarnation is asked before and after: a process that was replaced in between listed half of its sessions.
    private func crawl(_ index: Int) async throws {
        let instance = instances[index]
        try incarnations.check(try await bridge.instance(instance).incarnation, of: instance.name)
        var page = try await bridge.sessions(of: instance, after: nil, limit: limits.page)
        while true {
            try Task.checkCancellation()
            guard let cursor = page.cursor else { break }
            // The next page is on its way while this one is compared.
            async let next = bridge.sessions(of: instance, after: cursor, limit: limits.page)
            try await compare(page.sessions, of: index)
            page = try await next
        }
        try await compare(page.sessions, of: index)
        try incarnations.check(try await bridge.instance(instance).incarnation, of: instance.name)
    }

    private func compare(_ sessions: [ListedSession], of index: Int) async throws {
        tally.count(\.sessions, of: index, by: sessions.count)
        seen?.insert(sessions)
        var unequal: [ListedSession] = []
        var start = 0
        while start < sessions.count {
            let batch = sessions[start..<min(start + limits.batch, sessions.count)]
            start = batch.endIndex
            let stored = try await store.versions(of: batch.map(\.id))
            for (session, stored) in zip(batch, stored) {
                if session.unserializable > 0 {
                    unserializable(session, of: index)
                } else if !settle(standing(of: session.version, id: session.id, stored: stored, in: index), of: index) {
                    unequal.append(session)
                }
            }
        }
        try await forEachConcurrently(unequal, limit: limits.sessions) { session in
            try await look(at: session.id, in: index, previous: nil)
        }
        tally.reportProgress()
    }

    private func unserializable(_ session: ListedSession, of index: Int) {
        tally.countUnserializable(attributes: session.attributes, of: index)
        let names = session.attributes.isEmpty ? "" : ": " + session.attributes.joined(separator: ", ")
        problem(session.id, index, Self.unserializable(session.unserializable) + names)
    }

    static func unserializable(_ count: Int) -> String {
        count == 1 ? "1 attribute cannot be serialized" : "\(count) attributes cannot be serialized"
    }

    func lookAgain(at entries: [VerificationTally.Recheck], pauseFirst pause: Duration) async {
        do {
            try await verifier.pause(pause)
            try await forEachConcurrently(entries, limit: limits.sessions) { entry in
                try await look(at: entry.id, in: entry.instance, previous: entry)
            }
        } catch {
            tally.inconclusive(InconclusiveError.reason(error))
        }
        tally.reportProgress()
    }

    func standing(
        of memory: VersionTag, id: String, stored: StoredVersion?, in index: Int
    ) -> SessionComparison.Standing {
        SessionComparison.standing(
            of: memory, in: instances[index].name, stored: stored, sessionHash: StableHash.hash(id), table: table)
    }

    /// Counts a standing that says all; false: the session has to be looked at by itself.
    func settle(_ standing: SessionComparison.Standing, of index: Int) -> Bool {
        switch standing {
        case .matches, .overtaken: tally.count(\.externalized, of: index)
        case .elsewhere: tally.count(\.superseded, of: index)
        case .storeBehind, .storeAhead, .diverged, .newerThanHome, .tombstoned, .newerGeneration: return false
        }
        return true
    }

    func problem(_ id: String, _ index: Int, _ difference: String) {
        tally.problem(
            SessionProblem(
                hash: verifier.secret.sessionHash(id), instance: instances[index].name, difference: difference))
    }
}
