import BridgeContract
import SessionStore
import Synchronization
public import UnstickCore

extension Verifier {
    public func evict(
        instance: RoutingTable.Instance, scope: EvictionScope, table: RoutingTable
    ) async -> EvictionReport {
        var report = EvictionReport(instance: instance.name)
        let store = storeAccess()
        do {
            // Crawled again until nothing is left to evict: a bridge whose pages shift when sessions go may have skipped
            // some, and the last crawl is the proof.
            var onlyHere: [ListedSession] = []
            for crawl in 1...Self.evictionCrawlsMax {
                let evictedBefore = report.evicted
                onlyHere = try await evictOnce(
                    from: instance, scope: scope, table: table, store: store, report: &report)
                if report.evicted == evictedBefore { break }
                // With `everything`, live traffic may bring new copies as fast as they go; those are as well kept.
                if crawl == Self.evictionCrawlsMax, scope == .staleOnly {
                    throw InconclusiveError("\(instance.name): stale sessions keep arriving; is it out of the routing?")
                }
            }
            if scope == .everything, table.phase == .completed {
                try await lookAgain(at: onlyHere, table: table, store: store, report: &report)
            }
        } catch {
            report.inconclusive.append(InconclusiveError.reason(error, instance: instance.name))
        }
        report.sessions = report.evicted + report.kept + report.onlyHere
        return report
    }

    static let evictionCrawlsMax = 3

    private enum Eviction { case evict, keep, onlyHere }

    private func evictOnce(
        from instance: RoutingTable.Instance, scope: EvictionScope, table: RoutingTable, store: StoreAccess,
        report: inout EvictionReport
    ) async throws -> [ListedSession] {
        var found: [ListedSession] = []
        report.kept = 0
        report.onlyHere = 0
        report.problems = []
        var cursor: String?
        repeat {
            try Task.checkCancellation()
            let page = try await bridge.sessions(of: instance, after: cursor, limit: limits.page)
            var doomed: [String] = []
            var start = 0
            while start < page.sessions.count {
                let batch = page.sessions[start..<min(start + limits.batch, page.sessions.count)]
                start = batch.endIndex
                for (session, stored) in zip(batch, try await store.versions(of: batch.map(\.id))) {
                    switch try eviction(of: session, from: instance, stored: stored, scope: scope, table: table) {
                    case .evict: doomed.append(session.id)
                    case .keep: report.kept += 1
                    case .onlyHere:
                        report.onlyHere += 1
                        found.append(session)
                        guard report.problems.count < SessionProblem.examplesMax else { continue }
                        let other = stored.map { "store \($0.version) of generation \($0.generation)" }
                        report.problems.append(
                            SessionProblem(
                                hash: secret.sessionHash(session.id), instance: instance.name,
                                difference: "memory \(session.version), \(other ?? "not in the store")"))
                    }
                }
            }
            try await forEachConcurrently(doomed, limit: limits.sessions) { try await bridge.evict($0, from: instance) }
            report.evicted += doomed.count
            cursor = page.cursor
        } while cursor != nil
        return found
    }

    /// In `completed` requests go on meanwhile: what only memory holds may be a session that a request is making at
    /// this moment, and that is in the store before its response is released. What is there a moment later counts as
    /// kept.
    private func lookAgain(
        at sessions: [ListedSession], table: RoutingTable, store: StoreAccess, report: inout EvictionReport
    ) async throws {
        var pending = sessions.filter { $0.unserializable == 0 }
        for pass in 2...Self.evictionLooksMax where !pending.isEmpty {
            try await pause(pauseBefore(pass: pass))
            var missing: [ListedSession] = []
            for start in stride(from: 0, to: pending.count, by: limits.batch) {
                let batch = pending[start..<min(start + limits.batch, pending.count)]
                for (session, stored) in zip(batch, try await store.versions(of: batch.map(\.id))) {
                    guard let stored, stored.generation == table.generation else {
                        missing.append(session)
                        continue
                    }
                    report.onlyHere -= 1
                    report.kept += 1
                    let hash = secret.sessionHash(session.id)
                    report.problems.removeAll { $0.hash == hash }
                }
            }
            pending = missing
        }
    }

    /// With the verifier's pauses about five seconds.
    private static let evictionLooksMax = 7

    private func eviction(
        of session: ListedSession, from instance: RoutingTable.Instance, stored: StoredVersion?, scope: EvictionScope,
        table: RoutingTable
    ) throws -> Eviction {
        guard let stored, stored.generation >= table.generation else { return .onlyHere }
        guard stored.generation == table.generation else {
            throw InconclusiveError(
                "the store holds sessions of generation \(stored.generation), newer than this table's \(table.generation)"
            )
        }
        if stored.isTombstone { return .evict }
        if session.unserializable > 0 { return .onlyHere }
        if stored.version == session.version {
            return scope == .everything || stored.home != instance.name ? .evict : .keep
        }
        if stored.version.version > session.version.version { return .evict }
        // Newer than the store, or the same version made differently: a change that nobody was told of where every
        // request demands the store's exact copy; elsewhere perhaps the only one.
        return SessionComparison.demandsExactCopy(StableHash.hash(session.id), table: table) ? .evict : .onlyHere
    }
}
