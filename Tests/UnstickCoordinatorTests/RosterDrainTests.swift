import ControlAPI
import Synchronization
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Draining what the configuration does not want any more")
struct RosterDrainTests {
    @Test("sessions that do not end hold up no operator: the drain is given up for a while, and nothing is dropped")
    func neverEmpty() async throws {
        let world = try World(World.table(.sticky))
        world.verification.script.withLock { $0.sessions = 3 }
        await InstanceTests.follow(world, [world.table.instances[1]])
        try await InstanceTests.settle(world)
        #expect(world.table.instances[0].state == .draining)
        #expect(world.coordinator.currentOperation() == nil)
        #expect(try await world.run(.setWeight(instance: "web-2", weight: 5))?.outcome?.code == .done)
        world.verification.script.withLock { $0.sessions = 0 }
        world.time.advance(by: .seconds(700))
        try world.reportAll()
        try await InstanceTests.settle(world)
        #expect(world.table.instances.map(\.name) == ["web-2"])
    }
}
