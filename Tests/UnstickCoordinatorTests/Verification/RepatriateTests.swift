import BridgeContract
import ControlAPI
import MemorySessionStore
import NIOCore
import SessionStore
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Repatriation", .timeLimit(.minutes(2)))
struct RepatriateTests {
    @Test(
        "where memory has the authority nothing is imported: a home that lacks a session is a problem, named",
        arguments: [nil, 3] as [UInt64?])
    func checkOnly(held: UInt64?) async throws {
        try await Fleet.with(phase: .mirroring) { fleet in
            if let held { fleet.bridges[0].hold("a", held, "old") }
            try await fleet.keep("a", 5, "new")
            let report = await fleet.repatriate(passes: 2)
            #expect(!report.isComplete && report.imported == 0 && report.problemCount > 0, "\(report)")
            #expect(fleet.bridges[0]["a"]?.version.version == held)
        }
    }

    @Test(
        "a home that lacks a session or holds an older version is given the store's",
        arguments: [nil, 3] as [UInt64?])
    func bring(held: UInt64?) async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            if let held { fleet.bridges[0].hold("a", held, "old") }
            try await fleet.keep("a", 5, "new")
            let report = await fleet.repatriate()
            #expect(report.isComplete && report.imported == 1 && report.passes == 2, "\(report)")
            #expect(report.sessions == 1 && report.atHome == 1 && report.instances[0].sessions == 1)
            #expect(fleet.bridges[0]["a"]?.version.version == 5 && fleet.bridges[0]["a"]?.state == "new")
            #expect(fleet.bridges[1].count == 0)
        }
    }

    @Test("one pass that changed something is not complete: nothing has looked at it since")
    func onePass() async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            try await fleet.keep("a", 5, "new")
            let report = await fleet.repatriate(passes: 1)
            #expect(!report.isComplete && report.recheck == 1 && report.imported == 1)
            #expect(await fleet.repatriate(passes: 1).isComplete)
        }
    }

    @Test("sessions of a home that left go to the one that every proxy picks")
    func rendezvous() async throws {
        try await Fleet.with(3, phase: .externalized) { fleet in
            var table = fleet.table
            table.instances[0].state = .fenced
            await fleet.bridges[0].stop()
            for number in 0..<20 { try await fleet.keep("s\(number)", 2, "state") }
            let report = await fleet.repatriate(table: table)
            #expect(report.isComplete && report.imported == 20, "\(report)")
            for number in 0..<20 {
                let home = table.rendezvous(StableHash.hash("s\(number)"))!
                #expect(fleet.bridges[home]["s\(number)"]?.state == "state")
                #expect(fleet.bridges[3 - home]["s\(number)"] == nil)
            }
        }
    }

    @Test("memory that is newer than the store has the authority in phase mirroring, and stays")
    func newerInMirroring() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 6, "newer")
            try await fleet.keep("a", 5, "store's")
            let report = await fleet.repatriate()
            #expect(report.isComplete && report.passes == 1 && report.imported == 0)
            #expect(fleet.bridges[0].requests("PUT sessions/ID") == 0 && fleet.bridges[0]["a"]?.state == "newer")
        }
    }

    @Test(
        "memory that is newer than a store with the authority is looked at again: a refused change yields",
        arguments: [true, false])
    func newerInExternalized(isConfirmed: Bool) async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            fleet.bridges[0].hold("a", 6, "newer")
            fleet.bridges[0]["a"]?.isConfirmed = isConfirmed
            try await fleet.keep("a", 5, "store's")
            let report = await fleet.repatriate()
            #expect(report.isComplete && report.atHome == 1, "\(report)")
            #expect(fleet.bridges[0]["a"]?.state == (isConfirmed ? "newer" : "store's"))
        }
    }

    @Test("the same version made differently: refused changes yield, others are a problem", arguments: [true, false])
    func diverged(isConfirmed: Bool) async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            fleet.bridges[0].hold("a", 5, "mine")
            fleet.bridges[0]["a"]?.isConfirmed = isConfirmed
            try await fleet.keep("a", 5, "store's")
            let report = await fleet.repatriate()
            #expect(report.isComplete == !isConfirmed)
            #expect(report.problemCount == (isConfirmed ? 1 : 0))
            #expect(!isConfirmed || report.problems[0].hash == fleet.secret.sessionHash("a"))
        }
    }

    @Test(
        "copies elsewhere are evicted while the store has the authority, and only then",
        arguments: [Phase.mirroring, .externalized])
    func strays(phase: Phase) async throws {
        try await Fleet.with(phase: phase) { fleet in
            fleet.bridges[0].hold("a", 5, "new")
            fleet.bridges[1].hold("a", 4, "old")
            fleet.bridges[1].hold("only", 1, "nowhere else")
            try await fleet.keep("a", 5, "new")
            let report = await fleet.repatriate()
            #expect(report.isComplete)
            #expect((fleet.bridges[1]["a"] == nil) == (phase == .externalized))
            #expect(report.instances[1].evicted == (phase == .externalized ? 1 : 0))
            #expect(fleet.bridges[1]["only"] != nil)
        }
    }

    @Test(
        "copies of sessions that ended are evicted, or they would live on", arguments: [Phase.mirroring, .externalized])
    func tombstones(phase: Phase) async throws {
        try await Fleet.with(phase: phase) { fleet in
            fleet.bridges[0].hold("a", 5, "state")
            try await fleet.entomb("a", 6)
            let report = await fleet.repatriate()
            #expect(report.isComplete && report.evicted == 1 && report.sessions == 0)
            #expect(fleet.bridges[0]["a"] == nil)
        }
    }

    @Test("a logout whose tombstone comes after the import takes the copy out again", arguments: [true, false])
    func logoutMeanwhile(beforeAnswer: Bool) async throws {
        let bury = Shared<(@Sendable () async throws -> Void)?>(nil)
        try await Fleet.with(phase: .externalized, pause: { _ in try await bury.value?() }) { fleet in
            try await fleet.keep("a", 5, "state")
            if beforeAnswer {
                let records = fleet.records
                let loop = fleet.verifier.eventLoopGroup.next()
                var tombstone = fleet.record("a", 6, "")
                tombstone.isTombstone = true
                let stone = tombstone
                fleet.bridges[0].onRequest { request in
                    if request.method == "PUT" { _ = records.destroy(stone, on: loop) }
                    return nil
                }
            } else {
                bury.value = { try await fleet.entomb("a", 6) }
            }
            let report = await fleet.repatriate(passes: 4)
            #expect(report.isComplete, "\(report)")
            #expect(fleet.bridges[0]["a"] == nil)
            if beforeAnswer { #expect(report.passes == 2) }
        }
    }

    @Test("records of older generations stay where they are")
    func generations() async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            try await fleet.keep("a", 5, "old run", generation: Generation(6))
            fleet.bridges[0].hold("b", 1, "new run")
            try await fleet.entomb("b", 9, generation: Generation(6))
            let report = await fleet.repatriate()
            #expect(report.isComplete && report.sessions == 0 && report.evicted == 0)
            #expect(fleet.bridges[0]["a"] == nil && fleet.bridges[0]["b"] != nil)
        }
    }

    @Test("sessions that begin during every pass do not keep it from ending")
    func underTraffic() async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            let bridge = fleet.bridges[0]
            let records = fleet.records
            let loop = fleet.verifier.eventLoopGroup.next()
            let turn = Shared(0)
            try await fleet.keep("first", 1, "state")
            let born = (1...9).map { fleet.record("born-\($0)", 1, "state") }
            bridge.onRequest { request in
                guard request.target.contains("sessions?") else { return nil }
                let turn = turn.update { turn in
                    turn += 1
                    return turn
                }
                // Not listed yet, but at home and in the store when the scan comes.
                bridge.hold("born-\(turn)", 1, "state")
                _ = records.save(born[turn - 1], when: .newerWins, on: loop)
                guard let first = bridge["first"] else { return .init(body: "") }
                return .init(
                    body: """
                        {"id":"first","ver":1,"tag":"\(first.version.tagHex)","ttl":1800,"size":5}
                        """)
            }
            let report = await fleet.repatriate(passes: 4)
            #expect(report.isComplete && report.passes <= 3, "\(report)")
        }
    }

    @Test("an instance that cannot be reached, one without a successor, and a failing store are inconclusive")
    func inconclusive() async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            try await fleet.keep("a", 5, "state")
            var table = fleet.table
            table.instances[0].state = .fenced
            table.instances[1].state = .fenced
            #expect(await fleet.repatriate(table: table).inconclusive.first?.contains("no instance is active") == true)
            fleet.store.fail([.scan], with: StoreError(code: .unavailable, message: "down"))
            #expect(await fleet.repatriate().inconclusive == ["store unavailable: down"])
            fleet.store.heal()
            fleet.store.fail([.load], with: StoreError(code: .unavailable, message: "down"))
            #expect(await fleet.repatriate().inconclusive == ["store unavailable: down"])
            fleet.store.heal()
            await fleet.bridges[1].stop()
            let report = await fleet.repatriate()
            #expect(!report.isComplete && report.inconclusive.first?.hasPrefix("web-2") == true)
        }
    }

    @Test("a home that restarts during the pass is inconclusive: what was listed is gone")
    func restarted() async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            let bridge = fleet.bridges[0]
            bridge.hold("a", 5, "state")
            try await fleet.keep("a", 5, "state")
            bridge.onRequest { request in
                if request.target.contains("sessions?") { bridge.restart(as: "inst-b") }
                return nil
            }
            #expect(await !fleet.repatriate().isComplete)
        }
    }
}
