import ControlAPI
import Synchronization
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Instances changed at run time")
struct InstanceTests {
    static let add = OperationKind.addInstance(name: "web-3", url: "http://127.0.0.1:3", weight: 2)

    @Test(
        "an instance joins in every phase, and no two proxies are ever too far apart",
        arguments: [Phase.sticky, .mirroring, .externalized, .stateless, .completed])
    func joins(phase: Phase) async throws {
        let world = try World(World.table(phase, ramp: 50))
        let status = try #require(try await world.run(Self.add))
        #expect(status.outcome?.code == .done, "\(status.outcome?.message ?? "")")
        #expect(
            world.table.instances.last
                == RoutingTable.Instance(name: "web-3", url: "http://127.0.0.1:3", weight: 2))
        #expect(world.table.epoch == Epoch(12))
        // One that was there before may hold what is stale, and cookies that name it are valid again.
        #expect(
            world.verification.script.withLock { $0.calls.contains("evict web-3 staleOnly") } == phase.mirrors)
        #expect(world.violations.isEmpty)
        #expect(try await world.run(Self.add)?.outcome?.code == .done)
        #expect(world.table.epoch == Epoch(12))
    }

    @Test("nobody sends it anything new before every proxy knows its name; if one does not, it leaves again")
    func notKnownEverywhere() async throws {
        let world = try World(World.table(.mirroring))
        world.proxies[1].isWilling = false
        let status = try #require(try await world.run(Self.add))
        #expect(status.outcome?.code == .timedOut)
        #expect(world.table.instances.map(\.name) == ["web-1", "web-2"])
        let tables = try world.entries().filter { $0.kind == .table }.compactMap(\.detail)
        #expect(tables.allSatisfy { !$0.contains("web-3") || $0.contains("draining") })
    }

    @Test("in mirroring it does not join while another one is out of service")
    func whileAnotherIsOut() async throws {
        let world = try World(World.table(.mirroring, states: [.active, .active, .drained]))
        let add = OperationKind.addInstance(name: "web-4", url: "http://127.0.0.1:4", weight: 1)
        let status = try #require(try await world.run(add))
        #expect(status.outcome?.code == .refused)
        #expect(status.outcome?.message.contains("nobody-out-of-service") == true)
        let later = try World(World.table(.externalized, states: [.active, .active, .drained]))
        #expect(try await later.run(add)?.outcome?.code == .done)
    }

    @Test("with ip-hash the set of instances stays until sessions follow their clients")
    func byAddress() async throws {
        for (phase, code) in [
            (Phase.sticky, OperationOutcome.Code.refused), (.mirroring, .refused), (.externalized, .done),
        ] {
            let world = try World(World.table(phase)) { $0.pinsByAddress = true }
            #expect(try await world.run(Self.add)?.outcome?.code == code)
        }
    }

    @Test("a drained instance that holds nothing leaves; one with sessions, or that does not answer, stays")
    func removal() async throws {
        let remove = OperationKind.removeInstance(name: "web-1", force: false)
        let world = try World(World.table(.mirroring, states: [.drained, .active]))
        world.verification.script.withLock { $0.sessions = 2 }
        let refused = try #require(try await world.run(remove))
        #expect(refused.outcome?.code == .refused)
        #expect(refused.outcome?.message.contains("0 requests in flight, 2 sessions") == true)
        world.verification.script.withLock {
            $0.descriptions["web-1"] = InstanceDescription(name: "web-1", problem: "no answer")
        }
        #expect(try await world.run(remove)?.outcome?.code == .refused)
        world.verification.script.withLock {
            $0.descriptions = [:]
            $0.sessions = 0
        }
        world.proxies[0].inFlight["web-1"] = 1
        try world.reportAll()
        #expect(try await world.run(remove)?.outcome?.code == .refused)
        world.proxies[0].inFlight = [:]
        try world.reportAll()
        #expect(try await world.run(remove)?.outcome?.code == .done)
        #expect(world.table.instances.map(\.name) == ["web-2"])
    }

    @Test("an instance in service is told to drain first, and a dead one may leave")
    func inService() async throws {
        let world = try World(World.table(.mirroring))
        await #expect(throws: APIProblem.self) { try await world.run(.removeInstance(name: "web-1", force: true)) }
        let dead = try World(World.table(.externalized, states: [.fenced, .active]))
        dead.verification.script.withLock {
            $0.descriptions["web-1"] = InstanceDescription(name: "web-1", problem: "no answer")
        }
        #expect(try await dead.run(.removeInstance(name: "web-1", force: false))?.outcome?.code == .done)
    }

    @Test("in sticky --force gives up what it holds and says how much; never the last one")
    func force() async throws {
        let world = try World(World.table(.sticky))
        world.verification.script.withLock { $0.sessions = 7 }
        let status = try #require(try await world.run(.removeInstance(name: "web-1", force: true)))
        #expect(status.outcome?.code == .done)
        #expect(status.outcome?.message.contains("7 sessions were given up") == true)
        #expect(world.table.instances.map(\.name) == ["web-2"])
        let last = try World(World.table(.sticky, states: [.active, .drained]))
        #expect(try await last.run(.removeInstance(name: "web-1", force: true))?.outcome?.code == .refused)
    }

    @Test("a weight is one epoch; the last that takes new sessions keeps its own")
    func weight() async throws {
        let world = try World(World.table(.stateless, ramp: 10))
        #expect(try await world.run(.setWeight(instance: "web-1", weight: 0))?.outcome?.code == .done)
        #expect(world.table.instances[0].weight == 0 && world.table.epoch == Epoch(11))
        let refused = try #require(try await world.run(.setWeight(instance: "web-2", weight: 0)))
        #expect(refused.outcome?.code == .refused)
        #expect(try await world.run(.setWeight(instance: "web-2", weight: 9), dryRun: true)?.outcome?.code == .done)
        #expect(world.table.instances[1].weight == 1 && world.table.epoch == Epoch(11))
    }

    // MARK: As configured

    static func follow(_ world: World, _ instances: [RoutingTable.Instance]) async {
        await world.coordinator.followInstances(InstanceSource(interval: .seconds(1)) { .wanted(instances) })
    }

    /// Lets the coordinator do what it wants to, until there is nothing more.
    static func settle(_ world: World) async throws {
        for _ in 0..<20 {
            while try world.stepProxies() {}
            await world.coordinator.advanceRoster()
            guard let operation = world.coordinator.currentOperation() else { return }
            _ = try await world.drive(operation.id)
        }
    }

    @Test("a changed file becomes operations, one after the other: weight, drain, removal, join")
    func followed() async throws {
        let world = try World(World.table(.externalized))
        let three = RoutingTable.Instance(name: "web-3", url: "http://127.0.0.1:3")
        var one = world.table.instances[0]
        one.weight = 4
        await Self.follow(world, [one, three])
        try await Self.settle(world)
        #expect(world.table.instances == [one, three])
        let intents = try world.entries().filter { $0.kind == .intent }
        #expect(
            intents.map(\.message) == [
                "instances weight is asked for", "drain is asked for", "instances remove is asked for",
                "instances add is asked for",
            ])
        #expect(intents.allSatisfy { $0.by == "configuration" })
    }

    @Test("a look-up that fails, or answers nothing, changes nothing")
    func unknown() async throws {
        let world = try World(World.table(.externalized))
        await Self.follow(world, [])
        await world.coordinator.followInstances(
            InstanceSource(interval: .seconds(1)) { .unknown(reason: "no such name") })
        try await Self.settle(world)
        #expect(world.table == World.table(.externalized))
    }

    @Test("what is refused is tried again later, not at once; pausing automation holds it")
    func patience() async throws {
        let world = try World(World.table(.mirroring, states: [.active, .active, .drained]))
        let four = RoutingTable.Instance(name: "web-4", url: "http://127.0.0.1:4")
        await Self.follow(world, world.table.instances + [four])
        try await Self.settle(world)
        #expect(try world.entries().count { $0.kind == .intent } == 1)
        _ = try world.coordinator.setAutomation(AutomationRequest(paused: true, by: "ops"), from: nil)
        world.time.advance(by: .seconds(11))
        try world.reportAll()
        try await Self.settle(world)
        #expect(try world.entries().count { $0.kind == .intent } == 1)
        _ = try world.coordinator.setAutomation(AutomationRequest(paused: false, by: "ops"), from: nil)
        try await Self.settle(world)
        #expect(try world.entries().count { $0.kind == .intent } == 2)
    }

    @Test("after a restart the file's old wishes do not undo what operators did, and its new ones are carried out")
    func restart() async throws {
        let world = try World(World.table(.externalized, states: [.active, .active, .drained]))
        #expect(try await world.run(.removeInstance(name: "web-3", force: false))?.outcome?.code == .done)
        try await world.restart()
        try await Self.settle(world)
        #expect(world.table.instances.map(\.name) == ["web-1", "web-2"])
        world.options.instances.append(RoutingTable.Instance(name: "web-5", url: "http://127.0.0.1:5"))
        try await world.restart()
        try await Self.settle(world)
        #expect(world.table.instances.map(\.name) == ["web-1", "web-2", "web-5"])
    }
}
