import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Health monitor", .timeLimit(.minutes(1)))
struct HealthMonitorTests {
    /// A monitor's report.
    struct Verdict: Sendable, Equatable {
        var name: String
        var healthy: Bool
        var reason: String?
    }

    /// Runs a monitor over the instances until `count` verdicts are there, on a loop of its own.
    private func verdicts(
        _ instances: [RoutingTable.Instance], count: Int,
        _ change: @Sendable (inout ProxyOptions.Health) -> Void = { _ in },
        transport: HealthMonitor.TransportHandlers? = nil
    ) async throws -> [Verdict] {
        var options = ProxyOptions.Health()
        options.interval = .milliseconds(100)
        options.unhealthyInterval = .milliseconds(20)
        options.timeout = .milliseconds(500)
        options.fall = 1
        change(&options)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let enough = loop.makePromise(of: Void.self)
        let list = Mutex<[Verdict]>([])
        let deadline = loop.scheduleTask(in: .seconds(10)) { enough.fail(ChannelError.connectTimeout(.seconds(10))) }
        let settings = options
        nonisolated(unsafe) let transport = transport
        let monitor = try await loop.submit {
            let monitor = HealthMonitor(options: settings, eventLoop: loop, seed: 1, transport: transport) {
                name, healthy, reason in
                let seen = list.withLock {
                    $0.append(Verdict(name: name, healthy: healthy, reason: reason))
                    return $0.count
                }
                if seen == count { enough.succeed() }
            }
            monitor.watch(instances)
            return NIOLoopBound(monitor, eventLoop: loop)
        }.get()
        let result = await enough.futureResult.result()
        try await loop.submit { monitor.value.stop() }.get()
        deadline.cancel()
        try await group.shutdownGracefully()
        try result.get()
        return list.withLock { $0 }
    }

    private func withUpstream(
        _ answer: @escaping @Sendable (ReceivedRequest) -> UpstreamAnswer,
        _ body: (TestUpstream, RoutingTable.Instance) async throws -> Void
    ) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let upstream = try await TestUpstream(group: group, answer: answer)
        do {
            try await body(upstream, RoutingTable.Instance(name: "a", url: upstream.url, weight: 1))
        } catch {
            await upstream.close()
            try await group.shutdownGracefully()
            throw error
        }
        await upstream.close()
        try await group.shutdownGracefully()
    }

    @Test(
        "statuses are good as configured",
        arguments: [
            (200, [200...399], true), (399, [200...399], true), (404, [200...399], false), (500, [200...399], false),
            (200, [204...204], false), (204, [204...204], true), (401, [200...299, 401...401], true),
        ])
    func statuses(status: Int, good: [ClosedRange<Int>], healthy: Bool) async throws {
        try await withUpstream { _ in
            UpstreamAnswer(status: status)
        } _: { _, instance in
            let first = try await verdicts([instance], count: 1) { $0.statuses = good }.first
            #expect(first == Verdict(name: "a", healthy: healthy, reason: healthy ? nil : "answered \(status)"))
        }
    }

    @Test("the check asks for the path with the configured host, or else the instance's own")
    func request() async throws {
        try await withUpstream { _ in
            UpstreamAnswer()
        } _: { upstream, instance in
            _ = try await verdicts([instance], count: 1)
            _ = try await verdicts([instance], count: 1) {
                $0.host = "shop.example"
                $0.path = "/up?x=1"
            }
            let (first, last) = (upstream.requests.first, upstream.requests.last)
            #expect(first?.uri == "/healthz" && last?.uri == "/up?x=1")
            #expect(first?.headers["Host"] == ["127.0.0.1:\(upstream.port)"])
            #expect(last?.headers["Host"] == ["shop.example"])
            #expect(first?.headers["Connection"] == ["close"])
        }
    }

    @Test("an instance that hangs up, or never answers, or is not there, is unhealthy with the reason")
    func failures() async throws {
        try await withUpstream { _ in
            UpstreamAnswer(hangsUp: true)
        } _: { _, instance in
            let verdict = try await verdicts([instance], count: 1).first
            #expect(verdict?.reason == "closed the connection without an answer")
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        // Accepts and says nothing.
        let silent = try await ServerBootstrap(group: group).bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(silent.localAddress?.port)
        let instance = RoutingTable.Instance(name: "a", url: "http://127.0.0.1:\(port)", weight: 1)
        let mute = try await verdicts([instance], count: 1) { $0.timeout = .milliseconds(50) }.first
        #expect(mute?.healthy == false && mute?.reason == "no answer within 50 ms")
        try await silent.close()
        try await group.shutdownGracefully()
        let gone = try await verdicts([instance], count: 1).first
        #expect(gone?.healthy == false && gone?.reason?.contains("refused") == true, "\(gone?.reason ?? "")")
    }

    @Test("one instance's checks do not wait for another's, and an unhealthy one is asked more often")
    func rhythm() async throws {
        try await withUpstream { _ in
            UpstreamAnswer()
        } _: { _, good in
            let bad = RoutingTable.Instance(name: "b", url: "http://127.0.0.1:1", weight: 1)
            let seen = try await verdicts([good, bad], count: 60) {
                $0.interval = .milliseconds(500)
                $0.unhealthyInterval = .milliseconds(5)
            }
            #expect(seen.count { $0.name == "b" } > 3 * seen.count { $0.name == "a" })
            #expect(seen.contains { $0.name == "a" && $0.healthy })
        }
    }

    @Test("the pause follows the verdict, a tenth more or less")
    func pauses() {
        var options = ProxyOptions.Health()
        options.interval = .seconds(10)
        options.unhealthyInterval = .seconds(2)
        for (healthy, seconds) in [(true, 10), (false, 2), (nil, 2)] as [(Bool?, Int64)] {
            var schedule = HealthCheckSchedule(options: options, seed: 4)
            var pauses: Set<Int64> = []
            for _ in 0..<500 { pauses.insert(schedule.pause(isHealthy: healthy).nanoseconds) }
            #expect(pauses.count > 490)
            #expect(pauses.min()! >= seconds * 900_000_000 && pauses.min()! < seconds * 910_000_000)
            #expect(pauses.max()! <= seconds * 1_100_000_000 && pauses.max()! > seconds * 1_090_000_000)
        }
        options.unhealthyInterval = .seconds(60)
        var schedule = HealthCheckSchedule(options: options, seed: 4)
        #expect(schedule.pause(isHealthy: false) <= .seconds(11))
    }

    @Test("instances that are no longer watched are not reported, and a new address starts without a verdict")
    func changes() async throws {
        let answers = Mutex(0)
        try await withUpstream { _ in
            answers.withLock { $0 += 1 }
            return UpstreamAnswer()
        } _: { upstream, instance in
            let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            let loop = group.next()
            var options = ProxyOptions.Health()
            options.interval = .milliseconds(20)
            options.unhealthyInterval = .milliseconds(20)
            options.timeout = .milliseconds(500)
            options.fall = 1
            let settings = options
            let (verdicts, continuation) = AsyncStream.makeStream(of: Verdict.self)
            let monitor = try await loop.submit {
                let monitor = HealthMonitor(options: settings, eventLoop: loop, seed: 1) { name, healthy, reason in
                    continuation.yield(Verdict(name: name, healthy: healthy, reason: reason))
                }
                monitor.watch([instance])
                return NIOLoopBound(monitor, eventLoop: loop)
            }.get()
            var iterator = verdicts.makeAsyncIterator()
            let first = await iterator.next()
            #expect(first?.healthy == true)
            let moved = RoutingTable.Instance(name: "a", url: "http://127.0.0.1:1", weight: 1)
            try await loop.submit { monitor.value.watch([moved]) }.get()
            var next = await iterator.next()
            // What was reported before the move may still be in the stream.
            while next?.healthy == true { next = await iterator.next() }
            #expect(next?.healthy == false)
            let asked = answers.withLock { $0 }
            next = await iterator.next()
            next = await iterator.next()
            #expect(next?.healthy == false && answers.withLock { $0 } == asked)
            // Stopped: the loop ends though checks were planned.
            try await loop.submit { monitor.value.stop() }.get()
            try await group.shutdownGracefully()
            continuation.finish()
        }
    }

    @Test("the transport's handlers stand between socket and check, both ways")
    func transport() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let channel = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([Inversion(), PlainAnswer()])
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(channel.localAddress?.port)
        let instance = RoutingTable.Instance(name: "a", url: "http://127.0.0.1:\(port)", weight: 1)
        let through = try await verdicts(
            [instance], count: 1, transport: { $0.name == "a" ? [Inversion()] : [] })
        #expect(through.first?.healthy == true, "\(through.first?.reason ?? "")")
        let plain = try await verdicts([instance], count: 1)
        #expect(plain.first?.reason == "answered something that is not HTTP")
        try await channel.close()
        try await group.shutdownGracefully()
    }

    /// Turns every bit around: stands for TLS.
    private final class Inversion: ChannelDuplexHandler {
        typealias InboundIn = ByteBuffer
        typealias InboundOut = ByteBuffer
        typealias OutboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private func inverted(_ buffer: ByteBuffer) -> ByteBuffer {
            ByteBuffer(bytes: buffer.readableBytesView.map { ~$0 })
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            context.fireChannelRead(wrapInboundOut(inverted(unwrapInboundIn(data))))
        }

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            context.write(wrapOutboundOut(inverted(unwrapOutboundIn(data))), promise: promise)
        }
    }

    private final class PlainAnswer: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let answer = ByteBuffer(string: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
        }
    }
}

extension EventLoopFuture where Value: Sendable {
    /// Its result, failed or not.
    fileprivate func result() async -> Result<Value, any Error> {
        do { return .success(try await get()) } catch { return .failure(error) }
    }
}
