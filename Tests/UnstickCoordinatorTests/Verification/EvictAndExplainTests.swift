import BridgeContract
import ControlAPI
import MemorySessionStore
import NIOCore
import SessionStore
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Eviction", .timeLimit(.minutes(2)))
struct EvictTests {
    private func fill(_ fleet: Fleet) async throws {
        let bridge = fleet.bridges[0]
        for id in ["equal", "older", "dead", "elsewhere", "only", "newer", "other", "past"] { bridge.hold(id, 5, id) }
        try await fleet.keep("equal", 5, "equal")
        try await fleet.keep("older", 6, "later")
        try await fleet.entomb("dead", 6)
        try await fleet.keep("elsewhere", 5, "elsewhere", home: "web-2")
        try await fleet.keep("newer", 4, "before")
        try await fleet.keep("other", 5, "made differently")
        try await fleet.keep("past", 5, "past", generation: Generation(6))
    }

    @Test("stale copies go, what the store has as it is stays, and what it lacks is never touched")
    func staleOnly() async throws {
        try await Fleet.with { fleet in
            try await fill(fleet)
            let report = await fleet.verifier.evict(
                instance: fleet.table.instances[0], scope: .staleOnly, table: fleet.table)
            #expect(
                report.evicted == 3 && report.kept == 1 && report.onlyHere == 4 && report.sessions == 8, "\(report)")
            #expect(!report.isComplete && report.problems.count == 4)
            for id in ["equal", "only", "newer", "other", "past"] { #expect(fleet.bridges[0][id] != nil) }
            for id in ["older", "dead", "elsewhere"] { #expect(fleet.bridges[0][id] == nil) }
        }
    }

    @Test("everything that the store holds goes, the rest stays")
    func everything() async throws {
        try await Fleet.with { fleet in
            try await fill(fleet)
            let report = await fleet.verifier.evict(
                instance: fleet.table.instances[0], scope: .everything, table: fleet.table)
            #expect(report.evicted == 4 && report.kept == 0 && report.onlyHere == 4)
            for id in ["only", "newer", "other", "past"] { #expect(fleet.bridges[0][id] != nil) }
        }
    }

    @Test("after completion a change that nobody was told of goes too, but nothing that the store lacks")
    func completed() async throws {
        try await Fleet.with(phase: .completed) { fleet in
            try await fill(fleet)
            fleet.bridges[0].hold("bad", 5, "bad")
            fleet.bridges[0]["bad"]?.bad = ["socket"]
            try await fleet.keep("bad", 5, "bad")
            let report = await fleet.verifier.evict(
                instance: fleet.table.instances[0], scope: .everything, table: fleet.table)
            #expect(report.evicted == 6 && report.onlyHere == 3)
            for id in ["only", "past", "bad"] { #expect(fleet.bridges[0][id] != nil) }
        }
    }

    /// Requests go on after completion: a session may be in memory and its response still on the way to the store.
    @Test("after completion what the store has a moment later is not missing there", arguments: [1, 3, 7])
    func inFlight(arrivesInPause: Int) async throws {
        let (pauses, fleetSeen) = (Shared(0), Shared<Fleet?>(nil))
        let pause: @Sendable (Duration) async throws -> Void = { _ in
            let number = pauses.update { count in
                count += 1
                return count
            }
            if number == arrivesInPause { try await fleetSeen.value?.keep("new", 1, "new") }
        }
        try await Fleet.with(1, phase: .completed, pause: pause) { fleet in
            fleetSeen.value = fleet
            fleet.bridges[0].hold("new", 1, "new")
            let report = await fleet.verifier.evict(
                instance: fleet.table.instances[0], scope: .everything, table: fleet.table)
            // Six looks; what comes later than that is missing.
            let isThere = arrivesInPause < 7
            #expect(report.onlyHere == (isThere ? 0 : 1) && report.kept == (isThere ? 1 : 0), "\(report)")
            #expect(report.problems.isEmpty == isThere)
            #expect(fleet.bridges[0]["new"] != nil)
        }
    }

    @Test("pages that shift while sessions go leave nothing behind")
    func paging() async throws {
        var limits = Verifier.Limits()
        limits.page = 3
        try await Fleet.with(1, limits: limits) { fleet in
            for number in 0..<20 {
                fleet.bridges[0].hold("s\(number)", 1, "state")
                try await fleet.keep("s\(number)", 2, "later")
            }
            let bridge = fleet.bridges[0]
            let hidden = Shared(true)
            // The first crawl is shown one page only, as by a bridge that counts positions.
            bridge.onRequest { request in
                guard request.target.contains("cursor="), hidden.value else { return nil }
                hidden.value = false
                return .init(body: "")
            }
            let report = await fleet.verifier.evict(
                instance: fleet.table.instances[0], scope: .staleOnly, table: fleet.table)
            #expect(report.isComplete && report.evicted == 20 && bridge.count == 0)
        }
    }

    @Test("an instance or a store that does not answer is inconclusive")
    func inconclusive() async throws {
        try await Fleet.with { fleet in
            try await fill(fleet)
            fleet.store.fail(with: StoreError(code: .unavailable, message: "down"))
            let instance = fleet.table.instances[0]
            let first = await fleet.verifier.evict(instance: instance, scope: .everything, table: fleet.table)
            #expect(!first.isComplete && first.evicted == 0 && fleet.bridges[0].count == 8)
            fleet.store.heal()
            await fleet.bridges[0].stop()
            #expect(await !fleet.verifier.evict(instance: instance, scope: .everything, table: fleet.table).isComplete)
        }
    }
}

@Suite("Explaining a session", .timeLimit(.minutes(2)))
struct ExplainTests {
    @Test("the verdict says where it is and what counts")
    func verdicts() async throws {
        try await Fleet.with { fleet in
            func verdict(_ id: String) async -> String {
                await fleet.verifier.explain(id: id, table: fleet.table).verdict
            }
            let web1 = fleet.bridges[0]
            #expect(await verdict("a") == "neither the store nor any instance's memory holds it")
            web1.hold("a", 4, "state")
            #expect(await verdict("a") == "only in memory: web-1 (version 4); not in the store")
            try await fleet.keep("a", 4, "state")
            #expect(await verdict("a") == "in the store at version 4, same as web-1's memory")
            web1.hold("a", 5, "next")
            #expect(await verdict("a") == "web-1's memory is at version 5, the store still at 4")
            web1.hold("a", 4, "other")
            #expect(await verdict("a").hasPrefix("the store and web-1's memory hold different contents at version 4;"))
            web1.hold("a", 3, "old")
            #expect(await verdict("a").hasPrefix("the store is at version 4, web-1's memory at 3;"))
            web1["a"] = nil
            #expect(await verdict("a") == "in the store at version 4; its home web-1's memory does not hold it")
            web1.hold("a", 4, "state")
            try await fleet.entomb("a", 5)
            #expect(
                await verdict("a")
                    == "ended: the store keeps a tombstone at version 5; left over in the memory of web-1")
            await fleet.bridges[1].stop()
            #expect(await verdict("b").hasSuffix("; web-2 could not tell"))
            fleet.store.fail(with: StoreError(code: .unavailable, message: "down"))
            #expect(await verdict("a") == "unknown: the store did not answer (store unavailable: down)")
        }
    }

    @Test("the parts are as stored and held; the id itself is nowhere")
    func parts() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[1].hold("secret-id", 4, "state")
            try await fleet.keep("secret-id", 4, "state", home: "web-2")
            let explanation = await fleet.verifier.explain(id: "secret-id", table: fleet.table)
            #expect(explanation.hash == fleet.secret.sessionHash("secret-id"))
            #expect(explanation.rampBucket == Int(StableHash.hash("secret-id") % 10_000) && !explanation.inRamp)
            #expect(explanation.store?.home == "web-2" && explanation.store?.size == 5)
            #expect(explanation.memory.map(\.instance) == ["web-1", "web-2"])
            #expect(explanation.memory.map(\.version) == [nil, explanation.store?.version])
            #expect(explanation.effectiveHome == "web-2")
            #expect(!"\(explanation)".contains("secret-id"))
        }
    }

    @Test("ids that no session can have are refused before anybody is asked", arguments: [0, 4097])
    func badID(length: Int) async throws {
        try await Fleet.with(1) { fleet in
            let id = String(repeating: "x", count: length)
            let explanation = await fleet.verifier.explain(id: id, table: fleet.table)
            #expect(explanation.verdict.hasPrefix("no session can have this id: it has \(length) bytes"))
            #expect(fleet.bridges[0].requests("GET sessions/ID") == 0)
        }
    }
}
