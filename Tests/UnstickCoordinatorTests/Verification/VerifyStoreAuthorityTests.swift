import BridgeContract
import ControlAPI
import SessionStore
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Verification where the store has the authority", .timeLimit(.minutes(2)))
struct VerifyStoreAuthorityTests {
    @Test("a home's older copy is fine", arguments: [Phase.externalized, .stateless, .completed])
    func olderAtHome(phase: Phase) async throws {
        try await Fleet.with(phase: phase) { fleet in
            fleet.bridges[0].hold("a", 4, "old")
            try await fleet.keep("a", 9, "new")
            let report = await fleet.verify()
            #expect(report.isComplete && report.instances[0].externalized == 1)
            #expect(fleet.bridges[0].requests("PUT sessions/ID") == 0)
        }
    }

    @Test("a home that is draining has given the authority to the store already in phase mirroring")
    func draining() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 4, "old")
            try await fleet.keep("a", 9, "new")
            var table = fleet.table
            table.instances[0].state = .draining
            #expect(await fleet.verify(table: table).isComplete)
        }
    }

    @Test("memory that goes on from what the store holds is saved")
    func sameWriter() async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            fleet.bridges[0].hold("a", 5, "new")
            try await fleet.keep("a", 4, "old", writer: "inst-a")
            let report = await fleet.verify()
            #expect(report.isComplete && report.backfilled == 1)
            #expect(await fleet.stored("a")?.version.version == 5)
        }
    }

    @Test("a change that the store refused is not saved; memory takes the store's")
    func refusedChange() async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            fleet.bridges[0].hold("a", 6, "refused")
            fleet.bridges[0]["a"]?.isConfirmed = false
            fleet.bridges[0]["a"]?.base = VersionTag(version: 4, tag: tag("base"))
            try await fleet.keep("a", 5, "new", writer: "inst-b")
            let report = await fleet.verify()
            #expect(report.isComplete && report.backfilled == 0 && report.instances[0].externalized == 1, "\(report)")
            #expect(await fleet.stored("a")?.version.version == 5)
            #expect(fleet.bridges[0]["a"]?.state == "new")
        }
    }

    @Test("a newer copy that neither side gives up is a problem")
    func stubborn() async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            fleet.bridges[0].hold("a", 6, "mine")
            try await fleet.keep("a", 5, "new", writer: "inst-b")
            let report = await fleet.verify()
            #expect(!report.isComplete && report.instances[0].divergent == 1 && report.recheck == 0, "\(report)")
            #expect(await fleet.stored("a")?.version.version == 5)
        }
    }

    @Test(
        "the same version made differently: an unconfirmed one yields, a confirmed one is a problem",
        arguments: [true, false])
    func sameVersion(isConfirmed: Bool) async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            fleet.bridges[0].hold("a", 5, "mine")
            fleet.bridges[0]["a"]?.isConfirmed = isConfirmed
            try await fleet.keep("a", 5, "store's")
            let report = await fleet.verify()
            #expect(report.isComplete == !isConfirmed)
            #expect(report.instances[0].divergent == (isConfirmed ? 1 : 0))
            #expect(fleet.bridges[0]["a"]?.state == (isConfirmed ? "mine" : "store's"))
        }
    }

    @Test("where every request demands the store's exact copy, a different one does not matter")
    func exact() async throws {
        try await Fleet.with(phase: .stateless) { fleet in
            fleet.bridges[0].hold("a", 5, "mine")
            try await fleet.keep("a", 5, "store's")
            var table = fleet.table
            #expect(await !fleet.verify(backfill: false, table: table).isComplete)
            table.rampPercent = 100
            #expect(await fleet.verify(backfill: false, table: table).isComplete)
        }
    }

    @Test("other instances' copies are superseded, whatever their version")
    func copies() async throws {
        try await Fleet.with(3, phase: .stateless) { fleet in
            fleet.bridges[0].hold("a", 5, "new")
            fleet.bridges[1].hold("a", 5, "new")
            fleet.bridges[2].hold("a", 7, "refused")
            try await fleet.keep("a", 5, "new")
            let report = await fleet.verify()
            #expect(report.isComplete && report.coverage.sessions == 1 && report.externalized == 1)
            #expect(report.instances.map(\.superseded) == [0, 1, 1])
        }
    }

    @Test("a session that the store lost is saved, unless somebody was faster")
    func lostByStore() async throws {
        try await Fleet.with(phase: .externalized) { fleet in
            fleet.bridges[0].hold("a", 5, "state")
            fleet.bridges[0]["a"]?.base = VersionTag(version: 4, tag: 1)
            let report = await fleet.verify()
            #expect(report.isComplete && report.backfilled == 1)
            #expect(await fleet.stored("a")?.version.version == 5)
        }
    }
}
