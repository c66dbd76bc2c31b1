import ControlAPI
import MemorySessionStore
import NIOCore
import Synchronization
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Operations")
struct OperationTests {
    @Test("a migration walks from sticky to completed and every proxy follows")
    func wholeWay() async throws {
        let world = try World(World.table(.sticky))
        for (kind, phase) in [
            (OperationKind.mirror, Phase.mirroring), (.externalize, .externalized),
            (.switchTo(percent: 1), .stateless), (.switchTo(percent: 100), .stateless),
        ] {
            let status = try #require(try await world.run(kind))
            #expect(status.outcome?.code == .done, "\(status.outcome?.message ?? "")")
            #expect(world.table.phase == phase)
        }
        #expect(world.table.generation == Generation(1))
        await world.coordinator.reconcile()
        world.time.advance(by: .seconds(11))
        try world.reportAll()
        let status = try #require(try await world.run(.complete(confirm: "shop")))
        #expect(status.outcome?.code == .done, "\(status.outcome?.message ?? "")")
        #expect(world.table.phase == .completed)
        #expect(
            world.verification.script.withLock { $0.calls.suffix(2) } == [
                "evict web-1 everything", "evict web-2 everything",
            ])
        #expect(world.violations.isEmpty)
    }

    @Test("a rollback to sticky walks every phase back")
    func wholeWayBack() async throws {
        let world = try World(World.table(.stateless, ramp: 50))
        let status = try #require(try await world.run(.rollback(to: .sticky)))
        #expect(status.outcome?.code == .done, "\(status.outcome?.message ?? "")")
        #expect(world.table.phase == .sticky)
        #expect(
            world.verification.script.withLock { $0.calls } == [
                "repatriate externalized", "repatriate externalizedAtHome", "repatriate externalizedAtHome",
                "repatriate mirroringCovered",
            ])
        #expect(world.table.generation == Generation(2))
        #expect(world.violations.isEmpty)
    }

    @Test("a gate that refuses before anything is published leaves the epoch as it is")
    func refusedBefore() async throws {
        let world = try World(World.table(.mirroring))
        world.verification.script.withLock { $0.problems = { _ in 3 } }
        let status = try #require(try await world.run(.externalize))
        #expect(status.outcome?.code == .refused)
        #expect(status.outcome?.message.contains("every-session-externalized") == true)
        #expect(world.table == World.table(.mirroring))
        #expect(status.outcome?.message.hasPrefix("nothing has changed") == true)
    }

    @Test("a final verification that finds something takes the refusing of store errors back")
    func refusedInTheMiddle() async throws {
        let world = try World(World.table(.mirroring))
        world.verification.script.withLock { $0.problems = { $0 == 2 ? 1 : 0 } }
        let status = try #require(try await world.run(.externalize))
        #expect(status.outcome?.code == .rolledBack)
        #expect(world.table.phase == .mirroring)
        #expect(world.table.storeErrors == .serve)
        #expect(
            world.verification.script.withLock { $0.calls } == [
                "compare all mirroringCovered/serve", "compare all mirroringCovered/refuse",
            ])
    }

    @Test("coverage grows by itself, and only then is anything hydrated")
    func covers() async throws {
        let world = try World(World.table(.sticky))
        // The verification within the operation finds something, and so does the first one in the background.
        world.verification.script.withLock { $0.problems = { $0 <= 2 ? 3 : 0 } }
        let outcome = try #require(try await world.run(.mirror)?.outcome)
        #expect(outcome.code == .done)
        #expect(outcome.message.contains("in the background"))
        #expect(!world.table.hydrates)
        await world.coordinator.verifyInBackground()
        #expect(!world.table.hydrates)
        await world.coordinator.verifyInBackground()
        #expect(world.table.hydrates)
        // Not settled: nothing is looked at, as it would not stay true.
        await world.coordinator.verifyInBackground()
        while try world.stepProxies() {}
        await world.coordinator.verifyInBackground()
        #expect(
            world.verification.script.withLock { $0.calls } == [
                "backfill all mirroringUncovered/serve", "backfill all mirroringUncovered/serve",
                "backfill all mirroringUncovered/serve", "compare all mirroringCovered/serve",
            ])
        #expect(world.violations.isEmpty)
    }

    @Test("mirror covers at once when every session reaches the store within the operation")
    func coversAtOnce() async throws {
        let world = try World(World.table(.sticky))
        #expect(try await world.run(.mirror)?.outcome?.code == .done)
        #expect(world.table.phase == .mirroring && world.table.hydrates)
        #expect(world.violations.isEmpty)
    }

    @Test("a session that a home turns out to lack after the barrier stops the rollback")
    func notHome() async throws {
        let world = try World(World.table(.externalized))
        world.verification.script.withLock { $0.imports = { $0 == 3 ? 1 : 0 } }
        #expect(try await world.run(.rollback(to: .mirroring))?.outcome?.code == .rolledBack)
        #expect(world.table.phase == .externalized)
        #expect(world.table.rehoming)
    }

    @Test("inconclusive is a refusal")
    func inconclusive() async throws {
        let world = try World(World.table(.mirroring))
        world.verification.script.withLock { $0.inconclusive = ["web-2 cannot be reached"] }
        #expect(try await world.run(.externalize)?.outcome?.code == .refused)
        #expect(try await world.run(.rollback(to: .sticky))?.outcome?.code == .refused)
        #expect(world.table.phase == .mirroring)
    }

    @Test("a rollback that is refused in the middle stops there and says where")
    func refusedBetweenPhases() async throws {
        let world = try World(World.table(.stateless, ramp: 50))
        world.verification.script.withLock { $0.strays = { $0 == 4 ? 2 : 0 } }
        let status = try #require(try await world.run(.rollback(to: .sticky)))
        #expect(status.outcome?.code == .refused)
        #expect(status.outcome?.message.hasPrefix("stopped at mirroring") == true)
        #expect(world.table.phase == .mirroring)
    }

    struct Timeout: Sendable {
        var kind: OperationKind
        var from: RoutingTable
        /// After how many tables the second proxy goes silent; 0: it never takes the first.
        var tables: Int
        var endsIn: Phase
        var code: OperationOutcome.Code
    }

    static let timeouts = [
        Timeout(kind: .mirror, from: World.table(.sticky), tables: 0, endsIn: .sticky, code: .timedOut),
        Timeout(kind: .externalize, from: World.table(.mirroring), tables: 0, endsIn: .mirroring, code: .timedOut),
        Timeout(kind: .externalize, from: World.table(.mirroring), tables: 1, endsIn: .mirroring, code: .timedOut),
        Timeout(kind: .externalize, from: World.table(.mirroring), tables: 2, endsIn: .externalized, code: .timedOut),
        Timeout(
            kind: .switchTo(percent: 5), from: World.table(.externalized), tables: 0, endsIn: .externalized,
            code: .timedOut),
        Timeout(
            kind: .rollback(to: .externalized), from: World.table(.stateless, ramp: 5), tables: 0,
            endsIn: .externalized, code: .timedOut),
        Timeout(
            kind: .rollback(to: .mirroring), from: World.table(.externalized), tables: 0, endsIn: .externalized,
            code: .timedOut),
        Timeout(
            kind: .rollback(to: .mirroring), from: World.table(.externalized), tables: 1, endsIn: .externalized,
            code: .timedOut),
        Timeout(
            kind: .rollback(to: .sticky), from: World.table(.mirroring), tables: 0, endsIn: .mirroring,
            code: .timedOut),
        Timeout(
            kind: .rollback(to: .sticky), from: World.table(.mirroring), tables: 1, endsIn: .mirroring,
            code: .timedOut),
        Timeout(
            kind: .rollback(to: .mirroring), from: World.table(.externalized), tables: 2, endsIn: .externalized,
            code: .timedOut),
    ]

    @Test("a proxy that does not acknowledge in time is named, and what can be taken back is", arguments: timeouts)
    func timesOut(example: Timeout) async throws {
        let world = try World(example.from)
        let silentAfter = Epoch(example.from.epoch.rawValue + UInt64(example.tables))
        let id = try await world.coordinator.submit(
            OperationRequest(kind: example.kind, by: "ops@test"), from: nil
        ).id
        world.start()
        var status: OperationStatus?
        while status?.outcome == nil {
            if world.proxies[1].acknowledged!.epoch >= silentAfter { world.proxies[1].isWilling = false }
            let version = world.coordinator.signal.version
            status = try await world.coordinator.operation(id)
            if status?.outcome != nil { break }
            if try world.stepProxies() { continue }
            if world.proxies[1].acknowledged!.epoch < world.table.epoch, !world.proxies[1].isWilling {
                world.time.advance(by: .seconds(61))
                try world.reportAll()
                world.coordinator.tick()
                await Task.yield()
                continue
            }
            await world.coordinator.signal.wait(after: version)
        }
        #expect(status?.outcome?.code == example.code)
        #expect(status?.outcome?.message.contains("p2") == true)
        #expect(status?.outcome?.message.contains("proxies forget p2") == true)
        #expect(world.table.phase == example.endsIn)
        #expect(world.violations.isEmpty)
        // The proxy comes back: the table relaxes by itself to what the phase should be.
        world.proxies[1].isWilling = true
        for _ in 0..<4 {
            while try world.stepProxies() {}
            await world.coordinator.reconcile()
        }
        #expect(world.table.storeErrors == .serve)
        #expect(world.table.phase != .externalized || world.table.rehoming)
        #expect(world.coordinator.status().settled)
        #expect(world.violations.isEmpty)
    }

    @Test("taking back 1 to 0 begins a new generation, because the store missed changes")
    func stickyUndo() async throws {
        let world = try World(World.table(.mirroring, hydrates: false))
        _ = try await world.store.begin(Generation(1), on: World.eventLoop).get()
        world.proxies[1].isWilling = false
        #expect(try await world.run(.rollback(to: .sticky))?.outcome?.code == .timedOut)
        #expect(world.table.phase == .mirroring)
        #expect(world.table.generation == Generation(3))
        #expect(!world.table.hydrates)
        #expect(try await world.store.generation(on: World.eventLoop).get() == Generation(3))
    }

    @Test("one operation at a time; another is told who runs what since when")
    func locked() async throws {
        let world = try World(World.table(.sticky))
        _ = try await world.coordinator.submit(OperationRequest(kind: .mirror, by: "ann@desk"), from: nil)
        do {
            _ = try await world.coordinator.submit(OperationRequest(kind: .mirror, by: "bob@desk"), from: nil)
            Issue.record("accepted")
        } catch let problem as APIProblem {
            #expect(problem.code == .locked)
            #expect(problem.message.contains("mirror by ann@desk is running since 2023-11-14T22:13:20Z"))
        }
    }

    @Test("a plan made at another epoch is stale")
    func stalePlan() async throws {
        let world = try World(World.table(.sticky))
        await #expect(throws: APIProblem.self) {
            try await world.coordinator.submit(
                OperationRequest(kind: .mirror, by: "ops", expectedEpoch: Epoch(9)), from: nil)
        }
    }

    @Test(
        "a dry run evaluates the gates and publishes nothing",
        arguments: [
            OperationKind.mirror, .rollback(to: .sticky),
        ])
    func dryRun(kind: OperationKind) async throws {
        let start = World.table(kind == .mirror ? .sticky : .mirroring)
        let world = try World(start)
        #expect(try await world.run(kind, dryRun: true)?.outcome?.code == .done)
        #expect(world.table == start)
    }

    @Test("the rollback from stateless goes through with a silent proxy and a dead store")
    func emergency() async throws {
        let world = try World(World.table(.stateless, ramp: 50))
        world.proxies[1].isSilent = true
        try await world.store.shutdown()
        let status = try #require(try await world.run(.rollback(to: .externalized)))
        #expect(status.outcome?.code == .timedOut)
        #expect(world.table.phase == .externalized)
    }

    @Test("it goes before a running operation, which is undone first")
    func preempts() async throws {
        let world = try World(World.table(.stateless, ramp: 50))
        let gate = Mutex<CheckedContinuation<Void, Never>?>(nil)
        let signal = ChangeSignal()
        world.verification.script.withLock {
            $0.hook = {
                await withCheckedContinuation { continuation in
                    gate.withLock { $0 = continuation }
                    signal.notify()
                }
            }
        }
        let first = try await world.coordinator.submit(
            OperationRequest(kind: .switchTo(percent: 80), by: "ann"), from: nil)
        world.start()
        await signal.wait(after: 0)
        // The verification hangs; the rollback does not wait for it.
        let second = try await world.coordinator.submit(
            OperationRequest(kind: .rollback(to: .externalized), by: "bob"), from: nil)
        #expect(try await world.drive(second.id)?.outcome?.code == .done)
        #expect(try await world.drive(first.id)?.outcome?.code == .rolledBack)
        #expect(world.table.phase == .externalized)
        gate.withLock { $0 }?.resume()
    }

    @Test("run owns all of it and ends when it is cancelled; the operation stays for the next start")
    func runs() async throws {
        let world = try World(World.table(.sticky))
        world.proxies[1].isWilling = false
        let coordinator = world.coordinator
        let run = Task { try await coordinator.run() }
        let id = try await coordinator.submit(OperationRequest(kind: .mirror, by: "ops"), from: nil).id
        #expect(try await coordinator.table(newerThan: Epoch(10), patience: .seconds(60))?.phase == .mirroring)
        run.cancel()
        try await run.value
        #expect(coordinator.currentOperation()?.id == id)
        world.proxies[1].isWilling = true
        try await world.restart()
        #expect(try await world.drive(id)?.outcome?.code == .done)
    }
}
