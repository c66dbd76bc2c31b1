import NIOCore
import SocketLoop
import Synchronization
import Testing

@Suite("The data plane's event loop", .timeLimit(.minutes(1)))
struct LoopTests {
    @Test("tasks run on the loop's thread, in the order of one thread's calls")
    func order() async throws {
        let loop = try SocketLoop(name: "test")
        let order = Mutex([Int]())
        for number in 0..<100 { loop.execute { order.withLock { $0.append(number) } } }
        let isInside = try await loop.submit { loop.inEventLoop }.get()
        #expect(isInside)
        #expect(!loop.inEventLoop)
        #expect(order.withLock { $0 } == Array(0..<100))
        try await loop.shutdownGracefully()
    }

    @Test("a task that adds a task lets the sockets have their turn, and both run")
    func nested() async throws {
        let loop = try SocketLoop(name: "test")
        let value = try await loop.flatSubmit { loop.submit { 7 } }.get()
        #expect(value == 7)
        try await loop.shutdownGracefully()
    }

    @Test("timers fire in the order of their deadlines, and cancelled ones do not")
    func timers() async throws {
        let loop = try SocketLoop(name: "test")
        let order = Mutex([String]())
        let start = NIODeadline.now()
        let cancelled = loop.scheduleTask(deadline: start + .milliseconds(1)) { order.withLock { $0.append("never") } }
        cancelled.cancel()
        let second = loop.scheduleTask(deadline: start + .milliseconds(4)) { order.withLock { $0.append("second") } }
        let first = loop.scheduleTask(deadline: start + .milliseconds(2)) { order.withLock { $0.append("first") } }
        try await first.futureResult.get()
        try await second.futureResult.get()
        #expect(order.withLock { $0 } == ["first", "second"])
        await #expect(throws: EventLoopError.self) { try await cancelled.futureResult.get() }
        try await loop.shutdownGracefully()
    }

    @Test("many timers, most of them cancelled, leave the others in order")
    func manyTimers() async throws {
        let loop = try SocketLoop(name: "test")
        let fired = Mutex([Int]())
        // Far enough away that all are in before the first is due.
        let start = NIODeadline.now() + .milliseconds(100)
        var kept: [Scheduled<Void>] = []
        for number in 0..<500 {
            let task = loop.scheduleTask(deadline: start + .microseconds(Int64((number * 7919) % 500) * 20)) {
                fired.withLock { $0.append((number * 7919) % 500) }
            }
            if number % 10 == 0 { kept.append(task) } else { task.cancel() }
        }
        for task in kept { try await task.futureResult.get() }
        let seen = fired.withLock { $0 }
        #expect(seen == seen.sorted())
        #expect(seen.count >= kept.count)
        try await loop.shutdownGracefully()
    }

    @Test("a loop that ends closes its sockets, tells their delegates, and fails what was scheduled")
    func shutdown() async throws {
        let wire = try await Wire()
        let pair = try await wire.connect()
        let told = Mutex([String]())
        let later = wire.loop.scheduleTask(in: .hours(1)) {}
        later.futureResult.whenFailure { _ in told.withLock { $0.append("timer cancelled") } }
        try await wire.loop.submit {
            pair.value.nearRecorder.when(wire.loop) { $0.isClosed }
                .whenSuccess { told.withLock { $0.append("socket closed") } }
        }.get()
        try await wire.listener.close()
        try await wire.loop.shutdownGracefully()
        #expect(told.withLock { Set($0) } == ["socket closed", "timer cancelled"])
    }

    @Test("a group hands out its loops in turn")
    func group() async throws {
        let group = try SocketLoopGroup(threads: 2, name: "test")
        let first = group.next()
        #expect(first !== group.next())
        #expect(first === group.next())
        try await group.shutdownGracefully()
    }
}
