import BridgeContract
public import ControlAPI
import SessionStore
public import UnstickCore

extension Verifier {
    /// A pass lists every home's memory and then scans the store; it is complete when a pass changes nothing. That last
    /// pass is needed: an import may cross a logout whose tombstone is still on its way to the store, and the next pass
    /// finds the tombstone and takes the copy out again.
    ///
    /// Why it holds under traffic: once a home holds a session at the store's version, each later change goes through
    /// that home (affinity, phases 1 and 2), so its memory stays at the store's version or ahead of it.
    public func repatriate(
        table: RoutingTable, passes: Int, progress: @escaping @Sendable (Coverage) -> Void
    ) async -> RepatriationReport {
        let tally = RepatriationTally(names: table.instances.map(\.name), clock: clock, progress: progress)
        let run = RepatriationRun(verifier: self, table: table, tally: tally, store: storeAccess())
        var pass = 1
        while true {
            do {
                tally.beginPass()
                try await run.pass(pass)
                if tally.isSettled || pass >= passes { break }
                pass += 1
                try await pause(pauseBefore(pass: pass))
            } catch {
                tally.inconclusive(InconclusiveError.reason(error))
                break
            }
        }
        return tally.report(generation: table.generation, passes: pass)
    }
}

/// One repatriation (2→1 and 1→0).
struct RepatriationRun: Sendable {
    let verifier: Verifier
    let table: RoutingTable
    let tally: RepatriationTally
    let store: StoreAccess
    let incarnations = IncarnationWatch()

    private var bridge: BridgeClient { verifier.bridge }
    private var limits: Verifier.Limits { verifier.limits }

    /// What is to be done about one record, in the scan's order.
    private enum Step {
        case bring(id: String, home: Int)
        case evict(id: String, instance: Int)
    }

    func pass(_ number: Int) async throws {
        let indexes = try await indexMemories()
        var cursor: String?
        repeat {
            try Task.checkCancellation()
            let page = try await store.scan(after: cursor, limit: limits.scanPage)
            guard page.next == nil || page.next != cursor else {
                throw InconclusiveError("the store's scan does not move")
            }
            var tasks: [Step] = []
            for scanned in page.sessions { try plan(scanned, indexes, into: &tasks) }
            try await forEachConcurrently(tasks, limit: limits.sessions * max(1, min(indexes.count, limits.instances)))
            {
                switch $0 {
                case .bring(let id, let home): try await bring(id, home: home)
                case .evict(let id, let instance):
                    try await bridge.evict(id, from: table.instances[instance])
                    tally.evicted(from: instance)
                }
            }
            tally.reportProgress()
            cursor = page.next
        } while cursor != nil
        // What was found at home or brought there is in the memory of the process that listed it, or gone with it.
        for index in indexes.keys { try await checkIncarnation(of: index) }
    }

    /// Nothing is routed to drained and fenced instances; they may be dead, and are nobody's home.
    private func indexMemories() async throws -> [Int: MemoryIndex] {
        let routable = table.instances.indices.filter { table.instances[$0].state.isRoutable }
        return try await withThrowingTaskGroup(of: (Int, MemoryIndex).self) { group in
            for index in routable { group.addTask { (index, try await indexMemory(of: index)) } }
            var indexes: [Int: MemoryIndex] = [:]
            for try await (index, memory) in group { indexes[index] = memory }
            return indexes
        }
    }

    private func checkIncarnation(of index: Int) async throws {
        let instance = table.instances[index]
        try incarnations.check(try await bridge.instance(instance).incarnation, of: instance.name)
    }

    private func indexMemory(of index: Int) async throws -> MemoryIndex {
        try await checkIncarnation(of: index)
        var memory = MemoryIndex()
        var cursor: String?
        repeat {
            try Task.checkCancellation()
            let page = try await bridge.sessions(of: table.instances[index], after: cursor, limit: limits.page)
            memory.insert(page.sessions)
            cursor = page.cursor
        } while cursor != nil
        return memory
    }

    private func plan(
        _ scanned: ScannedSession, _ indexes: [Int: MemoryIndex], into tasks: inout [Step]
    ) throws {
        let stored = scanned.stored
        guard stored.generation == table.generation else { return }
        let key = MemoryIndex.key(scanned.id)
        if stored.isTombstone {
            // Once memory has the authority, a copy that a logout elsewhere left behind would let the session live on.
            for (index, memory) in indexes where memory[key] != nil {
                tasks.append(.evict(id: scanned.id, instance: index))
            }
            return
        }
        guard let home = table.effectiveHome(recorded: stored.home, sessionHash: StableHash.hash(scanned.id)) else {
            throw InconclusiveError("no instance is active that could be the home of a session")
        }
        let storeDecides = SessionComparison.storeDecides(home: stored.home, table: table)
        let held = indexes[home]?[key]
        if held == stored.version || (!storeDecides && held.map { $0.version > stored.version.version } ?? false) {
            tally.session(of: home, isAtHome: true)
        } else {
            tasks.append(.bring(id: scanned.id, home: home))
        }
        // In phase 1 a copy elsewhere is not looked at: its memory has the authority, and the store may know it late.
        guard table.phase.storeHasAuthority else { return }
        for (index, memory) in indexes where index != home && memory[key] != nil {
            tasks.append(.evict(id: scanned.id, instance: index))
        }
    }

    /// Gives the home what the store holds, unless it has that or something newer by now.
    ///
    /// Where memory has the authority nothing is given: an import that is late would bring back a logout, or put an old
    /// version into a home that restarted and went on.
    private func bring(_ id: String, home: Int) async throws {
        guard let record = try await live(id) else { return }
        let instance = table.instances[home]
        let storeDecides = SessionComparison.storeDecides(home: record.home, table: table)
        guard storeDecides else { return try await look(for: record, home: home) }
        // Many moved, or began, after the listing and are at home: an import would count them as brought there, and a check
        // of the homes would refuse for traffic alone.
        if case .session(let change, _, _) = try await bridge.export(id, from: instance) {
            let isNewer = change.version.version > record.version.version
            let now = isNewer && storeDecides ? try await store.version(of: id)?.version : record.version
            if change.version == now || (isNewer && !storeDecides) {
                tally.session(of: home, isAtHome: true)
                return
            }
        }
        let phase = storeDecides ? max(table.phase, .externalized) : table.phase
        let held = try await bridge.import(record, into: instance, phase: phase)
        if let held, held.version > record.version.version {
            // Ahead of the store even after a look: a change on its way, or one made outside of any request.
            tally.session(of: home, isAtHome: true)
            return
        }
        tally.session(of: home, isAtHome: held == record.version)
        guard held == record.version else {
            tally.work()
            let what = held.map { "memory \($0)" } ?? "its home does not take it"
            tally.problem(
                SessionProblem(
                    hash: verifier.secret.sessionHash(id), instance: instance.name,
                    difference: "\(what), store \(record.version)"))
            return
        }
        tally.imported(into: home)
        // The session may have ended between the store's answer and the import.
        if try await live(id) == nil {
            try await bridge.evict(id, from: instance)
            tally.evicted(from: home)
        }
    }

    /// Whether the home has the session by now: it may have begun after the listing.
    private func look(for record: SessionRecord, home: Int) async throws {
        let instance = table.instances[home]
        var memory: VersionTag?
        if case .session(let change, _, _) = try await bridge.export(record.id, from: instance) {
            memory = change.version
        }
        if let memory, memory == record.version || memory.version > record.version.version {
            return tally.session(of: home, isAtHome: true)
        }
        // Ended, or ahead of what was just read?
        guard let now = try await live(record.id), now.version == record.version else { return tally.work() }
        tally.session(of: home, isAtHome: false)
        tally.work()
        tally.problem(
            SessionProblem(
                hash: verifier.secret.sessionHash(record.id), instance: instance.name,
                difference: "\(memory.map { "memory \($0)" } ?? "not in its home's memory"), store \(record.version)"))
    }

    private func live(_ id: String) async throws -> SessionRecord? {
        guard let record = try await store.load(id), !record.isTombstone, record.generation == table.generation else {
            return nil
        }
        return record
    }
}
