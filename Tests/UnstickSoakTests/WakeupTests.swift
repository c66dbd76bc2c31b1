import NIOCore
import NIOPosix
import Testing

@testable import UnstickSoak

@Suite("A lane's wakeup")
struct WakeupTests {
    /// The loop takes both tasks before it runs the first, so that the second can't be taken back from it any more.
    @Test("a wakeup that another task of the same moment cancels does nothing")
    func cancelled() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let ran = loop.makePromise(of: [String].self)
        loop.execute {
            let lane = SoakLane(index: 0, loop: loop, addresses: 1, requestTimeout: .seconds(1), tls: nil)
            var events: [String] = []
            let due = NIODeadline.now()
            _ = loop.assumeIsolated().scheduleTask(deadline: due) {
                lane.cancelWakeup()
                events.append("cancelled")
            }
            lane.wake(at: due + .nanoseconds(1)) { events.append("woken") }
            _ = loop.assumeIsolated().scheduleTask(deadline: due + .nanoseconds(2)) { ran.succeed(events) }
        }
        #expect(try await ran.futureResult.get() == ["cancelled"])
    }

    @Test("a wakeup that nobody cancels comes once")
    func comes() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let ran = loop.makePromise(of: Bool.self)
        loop.execute {
            let lane = SoakLane(index: 0, loop: loop, addresses: 1, requestTimeout: .seconds(1), tls: nil)
            lane.wake(at: .now()) { ran.succeed(lane.isAsleep) }
        }
        #expect(try await ran.futureResult.get() == false)
    }
}
