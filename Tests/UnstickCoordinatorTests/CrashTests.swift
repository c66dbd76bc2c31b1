import ControlAPI
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("A coordinator that dies")
struct CrashTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var kind: OperationKind
        var from: RoutingTable
        /// Whether the second proxy never acknowledges, so that the operation is taken back.
        var isStuck = false
        var testDescription: String { "\(kind.command) from \(from.phase)\(isStuck ? ", taken back" : "")" }
    }

    static let cases = [
        Case(kind: .mirror, from: World.table(.sticky)),
        Case(kind: .externalize, from: World.table(.mirroring, hydrates: false)),
        Case(kind: .mirror, from: World.table(.mirroring)),
        Case(kind: .switchTo(percent: 20), from: World.table(.externalized)),
        Case(kind: .switchTo(percent: 20), from: World.table(.stateless, ramp: 10)),
        Case(kind: .rollback(to: .externalized), from: World.table(.stateless, ramp: 10)),
        Case(kind: .rollback(to: .mirroring), from: World.table(.externalized)),
        Case(kind: .rollback(to: .sticky), from: World.table(.stateless, ramp: 10)),
        Case(kind: .drain(instance: "web-1", deadlineSeconds: 30, force: false), from: World.table(.mirroring)),
        Case(kind: .drain(instance: "web-1", deadlineSeconds: 30, force: false), from: World.table(.sticky)),
        Case(kind: .undrain(instance: "web-1"), from: World.table(.mirroring, states: [.drained, .active])),
        Case(kind: InstanceTests.add, from: World.table(.mirroring)),
        Case(kind: .removeInstance(name: "web-1", force: true), from: World.table(.sticky)),
        Case(
            kind: .removeInstance(name: "web-1", force: false),
            from: World.table(.externalized, states: [.drained, .active])),
        Case(kind: .setWeight(instance: "web-1", weight: 5), from: World.table(.stateless, ramp: 10)),
        Case(kind: .mirror, from: World.table(.sticky), isStuck: true),
        Case(kind: InstanceTests.add, from: World.table(.mirroring), isStuck: true),
        Case(kind: .setWeight(instance: "web-1", weight: 5), from: World.table(.sticky), isStuck: true),
        Case(kind: .externalize, from: World.table(.mirroring), isStuck: true),
        Case(kind: .rollback(to: .sticky), from: World.table(.mirroring, hydrates: false), isStuck: true),
        Case(kind: .rollback(to: .mirroring), from: World.table(.externalized), isStuck: true),
        Case(
            kind: .drain(instance: "web-1", deadlineSeconds: 30, force: false), from: World.table(.mirroring),
            isStuck: true),
    ]

    struct End: Equatable {
        var table: RoutingTable
        var code: OperationOutcome.Code?
        init(_ world: World, _ status: OperationStatus?) {
            table = world.table
            table.epoch = Epoch(0)
            code = status?.outcome?.code
        }
    }

    static func world(_ example: Case) throws -> World {
        let world = try World(example.from)
        world.proxies[1].isWilling = !example.isStuck
        return world
    }

    @Test("at any entry of its journal comes back and ends where it would have ended", arguments: cases)
    func everyKillPoint(example: Case) async throws {
        let undisturbed = try Self.world(example)
        let expected = End(undisturbed, try await undisturbed.run(example.kind))
        let entries = try undisturbed.entries().count { $0.operation == 1 }
        #expect(expected.code == (example.isStuck ? .timedOut : .done))
        #expect(entries >= 4)
        for killAt in 1...entries {
            let world = try Self.world(example)
            let before = try? await world.run(example.kind, killAt: killAt)
            #expect(before == nil, "killed at entry \(killAt)")
            #expect(world.coordinator.isHalted)
            try await world.restart()
            let status = try await world.drive(1)
            #expect(End(world, status) == expected, "killed at entry \(killAt) of \(entries)")
            #expect(world.violations.isEmpty, "killed at entry \(killAt): \(world.violations)")
        }
    }

    @Test("a kill point is refused unless the coordinator allows it")
    func killPointsAreOptional() async throws {
        let world = try World(World.table(.sticky)) { $0.allowsKillPoints = false }
        await #expect(throws: APIProblem.self) { try await world.run(.mirror, killAt: 1) }
        #expect(!world.coordinator.isHalted)
    }

    @Test("after a restart the proxies are still registered and must be heard of before a gate passes")
    func proxiesSurvive() async throws {
        let world = try World(World.table(.sticky))
        world.proxies[1].isSilent = true
        try await world.restart()
        let status = try #require(try await world.run(.mirror))
        #expect(status.outcome?.code == .refused)
        #expect(status.outcome?.message.contains("p2 not heard of since the start") == true)
        try world.coordinator.forget(proxy: "p2", by: "ops", from: nil)
        #expect(try await world.run(.mirror)?.outcome?.code == .done)
    }

    @Test("the journal refuses a second process and changes to its entries")
    func journalIsExclusive() async throws {
        let world = try World(World.table(.sticky))
        _ = try await world.run(.mirror)
        #expect(throws: JournalError.self) { try Journal(path: world.directory + "/journal.db") }
        for sql in ["DELETE FROM entries", "UPDATE entries SET message = 'x'"] {
            #expect(throws: JournalError.self) { try world.journal.execute(sql) }
        }
        let kinds = try world.entries().map(\.kind)
        #expect(kinds.first == .intent)
        #expect(kinds.last == .outcome)
        #expect(kinds.contains(.gate) && kinds.contains(.table) && kinds.contains(.step))
    }
}
