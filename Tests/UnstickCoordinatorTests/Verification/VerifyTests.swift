import BridgeContract
import ControlAPI
import MemorySessionStore
import NIOCore
import SessionStore
import Synchronization
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Verification", .timeLimit(.minutes(2)))
struct VerifyTests {
    @Test("a session that the store holds at the same version and tag is externalized")
    func equal() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 4, "state")
            try await fleet.keep("a", 4, "state")
            let report = await fleet.verify()
            #expect(report.isComplete)
            #expect(report.instances[0].externalized == 1)
            #expect(report.coverage.sessions == 1 && report.coverage.share == 1)
            #expect(fleet.bridges[0].requests("GET sessions/ID") == 0)
            #expect(report.passes == 1)
        }
    }

    @Test(
        "what the store lacks is saved with its home and writer",
        arguments: [nil, (version: 3, generation: 7), (version: 9, generation: 6)]
            as [(version: UInt64, generation: UInt64)?])
    func backfill(stored: (version: UInt64, generation: UInt64)?) async throws {
        try await Fleet.with { fleet in
            fleet.bridges[1].hold("a", 4, "new")
            if let stored {
                let generation = Generation(stored.generation)
                try await fleet.keep("a", stored.version, "old", home: "web-2", generation: generation)
            }
            let report = await fleet.verify()
            #expect(report.isComplete, "\(report)")
            #expect(report.instances[1].backfilled == 1 && report.instances[1].externalized == 1)
            let record = try #require(await fleet.stored("a"))
            #expect(record.version == VersionTag(version: 4, tag: tag("new")) && String(buffer: record.state) == "new")
            #expect(record.home == "web-2" && record.writer == "inst-a" && record.generation == Fleet.generation)
            #expect(record.codec == "json" && record.ttlSeconds == 1800)
            #expect(record.expiresAt == Fleet.now.adding(seconds: 1800))
        }
    }

    @Test("before coverage the store's copies of sessions that no memory holds are ended, and only those")
    func orphans() async throws {
        try await Fleet.with { fleet in
            var table = fleet.table
            table.hydrates = false
            fleet.bridges[0].hold("alive", 2, "state")
            fleet.bridges[1].hold("elsewhere", 2, "state")
            for id in ["alive", "elsewhere", "orphan"] { try await fleet.keep(id, 2, "state") }
            try await fleet.keep("old", 2, "state", generation: Generation(5))
            let report = await fleet.verify(table: table)
            #expect(report.isComplete, "\(report)")
            #expect(await fleet.stored("orphan")?.isTombstone == true)
            for id in ["alive", "elsewhere", "old"] { #expect(await fleet.stored(id)?.isTombstone == false) }
        }
    }

    @Test(
        "orphans are left alone once copies in the store count, and while an instance cannot be asked",
        arguments: [true, false])
    func orphansStay(covered: Bool) async throws {
        try await Fleet.with { fleet in
            var table = fleet.table
            table.hydrates = covered
            if !covered { await fleet.bridges[1].stop() }
            try await fleet.keep("orphan", 2, "state")
            _ = await fleet.verify(table: table)
            #expect(await fleet.stored("orphan")?.isTombstone == false)
        }
    }

    @Test("without backfill nothing is written, and what stays missing through two passes is unsaved")
    func unsaved() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 4, "state")
            fleet.bridges[0].hold("dead", 2, "state")
            try await fleet.entomb("dead", 3)
            let report = await fleet.verify(backfill: false)
            #expect(!report.isComplete && report.recheck == 0)
            #expect(report.instances[0].unsaved == 1 && report.instances[0].onlyHere == 1)
            #expect(report.instances[0].resurrected == 1 && fleet.bridges[0]["dead"] != nil)
            #expect(
                report.problems == [
                    SessionProblem(
                        hash: fleet.secret.sessionHash("a"), instance: "web-1",
                        difference: "memory \(VersionTag(version: 4, tag: tag("state"))), not in the store")
                ])
            #expect(await fleet.stored("a") == nil)
            #expect(fleet.store.calls(of: .save) == 0)
        }
    }

    @Test("a mirror that is still on its way is not a failure")
    func mirrorInFlight() async throws {
        let pauses = Shared(0)
        let land = Shared<(@Sendable () async throws -> Void)?>(nil)
        try await Fleet.with(pause: { _ in
            pauses.update { $0 += 1 }
            if pauses.value == 1 { try await land.value?() }
        }) { fleet in
            fleet.bridges[0].hold("a", 5, "new")
            try await fleet.keep("a", 4, "old")
            land.value = { try await fleet.keep("a", 5, "new") }
            let report = await fleet.verify(backfill: false, passes: 3)
            #expect(report.isComplete && report.passes == 2, "\(report)")
            #expect(report.instances[0].externalized == 1 && report.instances[0].moved == 1)
        }
    }

    @Test("one pass alone does not call a session unsaved: it may be moving")
    func onePass() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 5, "new")
            let report = await fleet.verify(backfill: false, passes: 1)
            #expect(!report.isComplete && report.recheck == 1 && report.problemCount == 0)
        }
    }

    @Test("a session that moves on every pass refuses, and is neither externalized nor failed")
    func alwaysMoving() async throws {
        try await Fleet.with { fleet in
            let version = Shared<UInt64>(10)
            fleet.bridges[0].hold("a", 10, "10")
            try await fleet.keep("a", 9, "9")
            let bridge = fleet.bridges[0]
            bridge.onRequest { request in
                if request.method == "GET", request.target.contains("sessions/") {
                    let next = version.update { version in
                        version += 2
                        return version
                    }
                    bridge.hold("a", next, "\(next)")
                }
                return nil
            }
            let report = await fleet.verify(backfill: false, passes: 4)
            #expect(!report.isComplete && report.recheck == 1 && report.problemCount == 0, "\(report)")
            #expect(report.instances[0].externalized == 0 && report.passes == 4)
            // Backfill catches it: the store durably takes exactly what was exported.
            let backfilled = await fleet.verify()
            #expect(backfilled.isComplete && backfilled.instances[0].backfilled == 1)
        }
    }

    @Test("a session that was listed before it changed is compared as it is now")
    func movedOn() async throws {
        try await Fleet.with { fleet in
            let bridge = fleet.bridges[0]
            bridge.hold("a", 4, "old")
            try await fleet.keep("a", 5, "new")
            bridge.onRequest { request in
                if request.target.contains("sessions/") { bridge.hold("a", 5, "new") }
                return nil
            }
            let report = await fleet.verify()
            #expect(report.isComplete && report.instances[0].externalized == 1)
        }
    }

    @Test("a store ahead of the memory that has the authority is a problem", arguments: [true, false])
    func storeAhead(backfill: Bool) async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 4, "old")
            try await fleet.keep("a", 9, "new")
            let report = await fleet.verify(backfill: backfill)
            #expect(!report.isComplete && report.instances[0].divergent == 1 && report.recheck == 0, "\(report)")
            #expect(report.problems.first?.difference.contains("with home web-1") == true)
            #expect(fleet.bridges[0]["a"]?.state == "old")
        }
    }

    @Test("the same version with another tag is a problem", arguments: ["web-1", "web-2"])
    func diverged(home: String) async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 4, "one")
            try await fleet.keep("a", 4, "other", home: home)
            let report = await fleet.verify()
            #expect(!report.isComplete && report.problemCount == 1 && report.instances[0].divergent == 1, "\(report)")
        }
    }

    @Test("two instances with live copies of the same id are a problem, not one saved over the other")
    func twoHomes() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 1, "one")
            fleet.bridges[1].hold("a", 1, "other")
            let report = await fleet.verify()
            #expect(!report.isComplete && report.problemCount == 1 && report.backfilled == 1, "\(report)")
        }
    }

    @Test("an older copy of a session at home elsewhere is superseded and not a problem")
    func superseded() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 9, "new")
            fleet.bridges[1].hold("a", 4, "old")
            try await fleet.keep("a", 9, "new")
            let report = await fleet.verify()
            #expect(report.isComplete && report.instances[1].superseded == 1 && report.instances[0].externalized == 1)
            #expect(report.coverage.sessions == 1)
        }
    }

    @Test("a copy newer than the store's, of a session at home elsewhere, is named and not saved")
    func newerThanHome() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[1].hold("a", 9, "stray")
            try await fleet.keep("a", 4, "home's")
            let report = await fleet.verify()
            #expect(!report.isComplete && report.instances[1].unsaved == 1 && report.problemCount == 1)
            #expect(await fleet.stored("a")?.version.version == 4)
        }
    }

    @Test("a drained home's last change is saved under its own name")
    func drainedHome() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 5, "last")
            try await fleet.keep("a", 4, "before")
            var table = fleet.table
            table.instances[0].state = .drained
            #expect(await fleet.verify(table: table).sessions == 0)
            let report = await fleet.verify(["web-1"], table: table)
            #expect(report.isComplete && report.instances[0].backfilled == 1 && report.instances[0].onlyHere == 0)
            #expect(await fleet.stored("a")?.home == "web-1")
        }
    }

    @Test("a copy that a logout left behind is evicted", arguments: [Phase.mirroring, .externalized, .stateless])
    func resurrected(phase: Phase) async throws {
        try await Fleet.with(phase: phase) { fleet in
            fleet.bridges[0].hold("a", 4, "state")
            try await fleet.entomb("a", 5)
            let report = await fleet.verify()
            #expect(report.isComplete && report.instances[0].resurrected == 1)
            #expect(fleet.bridges[0]["a"] == nil)
        }
    }

    @Test("a session that ended between listing and comparison is over")
    func ended() async throws {
        try await Fleet.with { fleet in
            let bridge = fleet.bridges[0]
            bridge.hold("a", 4, "state")
            bridge.onRequest { request in
                if request.target.contains("sessions/") { bridge["a"] = nil }
                return nil
            }
            let report = await fleet.verify()
            #expect(report.isComplete && report.instances[0].ended == 1 && report.coverage.sessions == 0)
        }
    }

    @Test("a session that cannot be serialized is a problem, with the attributes' names")
    func unserializable() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 4, "state")
            fleet.bridges[0]["a"]?.bad = ["cart", "socket"]
            try await fleet.keep("a", 4, "state")
            let report = await fleet.verify()
            #expect(!report.isComplete && report.instances[0].unserializable == 1)
            #expect(report.instances[0].unserializableAttributes == ["cart", "socket"])
            #expect(report.problems.first?.difference == "2 attributes cannot be serialized: cart, socket")
        }
    }

    @Test("a session that became unserializable after it was listed is a problem too")
    func unserializableLater() async throws {
        try await Fleet.with { fleet in
            let bridge = fleet.bridges[0]
            bridge.hold("a", 4, "state")
            bridge.onRequest { request in
                if request.target.contains("sessions/") { bridge["a"]?.bad = ["socket"] }
                return nil
            }
            let report = await fleet.verify()
            #expect(!report.isComplete && report.instances[0].unserializable == 1)
        }
    }

    @Test("a session whose export is not the contract's is a problem; the others are still looked at")
    func badExport() async throws {
        try await Fleet.with { fleet in
            for id in ["a", "b", "c"] { fleet.bridges[0].hold(id, 4, "state of \(id)") }
            fleet.bridges[0].onRequest { request in
                guard request.target.hasSuffix("/b") else { return nil }
                return .init(session: "op=put; id=b; ver=4; tag=00000000; ttl=1; codec=json; inst=inst-a", body: "x")
            }
            let report = await fleet.verify()
            #expect(!report.isComplete && report.problemCount == 1 && report.backfilled == 2, "\(report)")
            #expect(report.problems.first?.difference.contains("its tag does not fit") == true)
        }
    }

    @Test("a record of a newer generation makes it inconclusive")
    func newerGeneration() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 4, "state")
            try await fleet.keep("a", 4, "state", generation: Generation(8))
            let report = await fleet.verify()
            #expect(!report.isComplete && report.inconclusive.first?.contains("generation 8") == true)
        }
    }
}
