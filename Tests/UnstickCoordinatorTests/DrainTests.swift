import ControlAPI
import Synchronization
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Draining and fencing")
struct DrainTests {
    static let drain = OperationKind.drain(instance: "web-1", deadlineSeconds: 30, force: false)

    @Test("a drain ends with three zeros, having evicted the memory")
    func drained() async throws {
        let world = try World(World.table(.mirroring))
        #expect(try await world.run(Self.drain)?.outcome?.code == .done)
        #expect(world.table.instances[0].state == .drained)
        #expect(
            world.verification.script.withLock { $0.calls } == [
                "compare web-1 mirroringCovered/serve", "evict web-1 everything",
            ])
    }

    @Test("requests in flight hold up the eviction; the deadline reports and drops nothing")
    func inFlight() async throws {
        let world = try World(World.table(.mirroring))
        world.proxies[1].inFlight["web-1"] = 2
        let status = try #require(try await world.run(Self.drain))
        #expect(status.outcome?.code == .timedOut)
        #expect(status.outcome?.message.contains("2 requests in flight") == true)
        #expect(world.table.instances[0].state == .drained)
        #expect(world.verification.script.withLock { !$0.calls.contains("evict web-1 everything") })
    }

    @Test("sessions that are not in the store stop a drain before anything moves, unless it is forced")
    func force() async throws {
        let world = try World(World.table(.mirroring))
        world.verification.script.withLock { $0.problems = { _ in 4 } }
        let refused = try #require(try await world.run(Self.drain))
        #expect(refused.outcome?.code == .rolledBack)
        #expect(world.table.instances[0].state == .active)
        let forced = try #require(
            try await world.run(.drain(instance: "web-1", deadlineSeconds: 30, force: true)))
        #expect(forced.outcome?.code == .done)
        #expect(forced.outcome?.message.contains("4 sessions were given up") == true)
    }

    @Test("in sticky a drain waits for its sessions to end, and stays draining at the deadline")
    func sticky() async throws {
        let world = try World(World.table(.sticky))
        world.verification.script.withLock { $0.sessions = 3 }
        let status = try #require(try await world.run(Self.drain))
        #expect(status.outcome?.code == .timedOut)
        #expect(status.outcome?.message.contains("3 sessions remain on web-1") == true)
        #expect(world.table.instances[0].state == .draining)
        world.verification.script.withLock { $0.sessions = 0 }
        #expect(try await world.run(Self.drain)?.outcome?.code == .done)
        #expect(world.table.instances[0].state == .drained)
    }

    @Test("the last active instance is not drained")
    func last() async throws {
        let world = try World(World.table(.mirroring, states: [.active, .drained]))
        #expect(try await world.run(Self.drain)?.outcome?.code == .refused)
    }

    @Test("undrain evicts stale sessions before anything is routed there again")
    func undrain() async throws {
        let world = try World(World.table(.mirroring, states: [.drained, .active]))
        #expect(try await world.run(.undrain(instance: "web-1"))?.outcome?.code == .done)
        #expect(world.table.instances[0].state == .active)
        #expect(world.verification.script.withLock { $0.calls } == ["evict web-1 staleOnly"])
    }

    static func settle(_ world: World) throws {
        while try world.stepProxies() {}
        try world.reportAll()
    }

    @Test("an instance that dies is fenced in two epochs, and readmitted in two after its stale sessions are evicted")
    func fencing() async throws {
        let world = try World(World.table(.mirroring))
        world.verification.script.withLock {
            $0.descriptions["web-1"] = InstanceDescription(name: "web-1", problem: "connection refused")
        }
        for index in world.proxies.indices { world.proxies[index].unhealthy = ["web-1"] }
        try world.reportAll()
        var states: [RoutingTable.Instance.State] = []
        for _ in 0..<5 {
            await world.coordinator.reconcile()
            states.append(world.table.instances[0].state)
            try Self.settle(world)
        }
        #expect(states == [.active, .active, .fencing, .fenced, .fenced])
        world.verification.script.withLock { $0.descriptions = [:] }
        for index in world.proxies.indices { world.proxies[index].unhealthy = [] }
        try world.reportAll()
        states = []
        for _ in 0..<3 {
            await world.coordinator.reconcile()
            states.append(world.table.instances[0].state)
            try Self.settle(world)
        }
        #expect(states == [.fencing, .active, .active])
        #expect(world.verification.script.withLock { $0.calls } == ["evict web-1 staleOnly"])
    }

    static func look(_ name: String, dead: Bool) -> Reconciliation.Observation {
        Reconciliation.Observation(name: name, isUnhealthyEverywhere: dead, answers: !dead)
    }

    static func decide(
        _ table: RoutingTable, dead: Set<String>, looks: Int = 3, isSettled: Bool = true, isPaused: Bool = false
    ) -> Reconciliation.Action? {
        var machine = Reconciliation()
        var action: Reconciliation.Action?
        for _ in 0..<looks {
            action = machine.decide(
                table: table, isSettled: isSettled,
                observations: table.instances.map { look($0.name, dead: dead.contains($0.name)) }, failuresLimit: 3,
                isPaused: isPaused)
        }
        return action
    }

    @Test("fencing needs enough failures, another instance that lives, a store, and no pause")
    func fencingRules() {
        let mirroring = World.table(.mirroring)
        #expect(Self.decide(mirroring, dead: ["web-1"]) != nil)
        #expect(Self.decide(mirroring, dead: ["web-1"], looks: 2) == nil)
        #expect(Self.decide(mirroring, dead: ["web-1", "web-2"]) == nil)
        #expect(Self.decide(World.table(.mirroring, states: [.active, .drained]), dead: ["web-1"]) == nil)
        #expect(Self.decide(World.table(.sticky), dead: ["web-1"]) == nil)
        #expect(Self.decide(World.table(.mirroring, hydrates: false), dead: ["web-1"]) == nil)
        #expect(Self.decide(mirroring, dead: ["web-1"], isSettled: false) == nil)
        #expect(Self.decide(mirroring, dead: ["web-1"], isPaused: true) == nil)
        #expect(Self.decide(World.table(.mirroring, states: [.draining, .active]), dead: ["web-1"]) == nil)
        let fencing = World.table(.mirroring, states: [.fencing, .active])
        #expect(Self.decide(fencing, dead: ["web-1"]) != nil)
        #expect(Self.decide(fencing, dead: ["web-1"], isSettled: false) == nil)
    }

    @Test("one proxy that still sees the instance healthy keeps it")
    func oneHealthyView() async throws {
        let world = try World(World.table(.mirroring))
        world.verification.script.withLock {
            $0.descriptions["web-1"] = InstanceDescription(name: "web-1", problem: "connection refused")
        }
        world.proxies[0].unhealthy = ["web-1"]
        try world.reportAll()
        for _ in 0..<5 { await world.coordinator.reconcile() }
        #expect(world.table.instances[0].state == .active)
    }
}
