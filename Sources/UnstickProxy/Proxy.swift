public import ControlAPI
import HTTPWire
public import Logging
import NIOCore
import NIOPosix
public import SessionStore
import SocketLoop
import Synchronization
public import UnstickCore
import UnstickCrypto

/// The data plane: listens, routes, mirrors, and follows the coordinator's tables.
public final class Proxy: Sendable {
    private let options: ProxyOptions
    private let store: any SessionStore
    private let link: any CoordinatorLink
    private let clock: WallClock
    private let logger: Logger
    private let incarnation = SecureRandom.hex(byteCount: 8)

    private let group: SocketLoopGroup
    private let loops: [NIOLoopBound<ProxyLoop>]
    private let board: AcknowledgementBoard
    private let state = Mutex(State())
    private let connections: ConnectionCount
    /// One closure for all connections.
    private let connectionClosed: @Sendable () -> Void
    private let acknowledgements: AsyncStream<Void>
    private let acknowledgementSignal: AsyncStream<Void>.Continuation
    private let stopRequests: AsyncStream<Void>
    private let stopSignal: AsyncStream<Void>.Continuation

    private struct State {
        var port: Int?
        var table: RoutingTable?
    }

    /// Prepares the event loops; ``run(onReady:)`` serves.
    public init(
        options: ProxyOptions, store: any SessionStore, link: any CoordinatorLink, logger: Logger,
        clock: @escaping WallClock
    ) async throws {
        self.options = options
        self.store = store
        self.link = link
        self.logger = logger
        self.clock = clock
        let connections = ConnectionCount()
        self.connections = connections
        connectionClosed = { connections.leave() }
        (acknowledgements, acknowledgementSignal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (stopRequests, stopSignal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        let threads = max(1, options.threads)
        group = try SocketLoopGroup(threads: threads, name: "proxy")
        let board = AcknowledgementBoard(loops: threads)
        self.board = board
        let signal = acknowledgementSignal
        let provisional = RoutingTable(
            epoch: Epoch(0), phase: .externalized, generation: .none, instances: options.instances)
        var loops: [NIOLoopBound<ProxyLoop>] = []
        let pendingLogouts = PendingLogouts()
        let limits = options.resilience.rateLimits
        let rateLimiter =
            limits.isEmpty
            ? nil
            : RateLimiter(
                limits, clients: options.resilience.rateLimitClients, seed: .random(in: 0 ... .max))
        for (index, eventLoop) in group.loops.enumerated() {
            let seed = SecureRandom.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let bound = try? await eventLoop.submit {
                NIOLoopBound(
                    ProxyLoop(
                        eventLoop: eventLoop, options: options, store: store, clock: clock, logger: logger,
                        provisional: provisional, seed: seed, pendingLogouts: pendingLogouts,
                        rateLimiter: rateLimiter
                    ) { acknowledged in
                        if board.update(loop: index, acknowledged: acknowledged) { signal.yield() }
                    }, eventLoop: eventLoop)
            }.get()
            if let bound { loops.append(bound) }
        }
        self.loops = loops
    }

    /// For tests, which look into pools.
    var loopsForTests: [NIOLoopBound<ProxyLoop>] { loops }

    /// The port it listens on, once it does.
    public var port: Int? { state.withLock { $0.port } }

    /// Asks ``run(onReady:)`` to stop gracefully: no new connections, requests in flight end within the shutdown limit.
    public func stop() { stopSignal.yield() }

    /// Serves until ``stop()`` or cancellation. Throws when the address cannot be listened on.
    public func run(onReady: @escaping @Sendable (_ port: Int) -> Void = { _ in }) async throws {
        do {
            try await serve(onReady: onReady)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try? await group.shutdownGracefully()
    }

    private func serve(onReady: @escaping @Sendable (_ port: Int) -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            // Bound before the coordinator hears of this proxy: one that cannot listen must not register and then hold
            // up every step. Connections are accepted only once there is something to route by.
            let server = try await listen()
            let port = server.localAddress.port
            state.withLock { $0.port = port }
            let repeating = startRepeatingTasks()
            await waitForFirstTable()
            try await server.start()
            logger.info("listening", metadata: ["address": "\(options.listenHost):\(port)"])
            tasks.addTask { await self.follow() }
            tasks.addTask { await self.reportForEver() }
            onReady(port)
            await withTaskCancellationHandler {
                for await _ in stopRequests { break }
            } onCancel: {
                stopSignal.yield()
            }
            try? await server.close()
            await drain()
            for task in repeating { task.cancel() }
            tasks.cancelAll()
        }
    }

    // MARK: Listening

    /// One loop accepts and hands the connections to all in turn.
    private func listen() async throws -> Listener {
        let loops = loops
        let limit = options.limits.connections
        let turn = Turn()
        return try await Listener.bind(host: options.listenHost, port: options.listenPort, loop: group.loops[0]) {
            descriptor, address in
            guard self.connections.admit(limit: limit) else { return Socket.refuse(descriptor) }
            let index = turn.next(of: loops.count)
            let bound = loops[index]
            if index == 0 { return self.serve(descriptor, from: address, on: bound.value) }
            bound.eventLoop.execute { self.serve(descriptor, from: address, on: bound.value) }
        }
    }

    private func serve(_ descriptor: Int32, from address: InternetAddress, on loop: ProxyLoop) {
        let socket = Socket(descriptor: descriptor, loop: loop.eventLoop, onClose: connectionClosed)
        let peer = address.hostBytes.withUnsafeBytes { NetworkAddress(networkBytes: $0) }
        let identity = ClientIdentity(
            peer: peer, peerPort: UInt16(truncatingIfNeeded: address.port),
            localPort: UInt16(truncatingIfNeeded: port ?? 0), under: loop.forwardingPolicy)
        loop.serve(socket, of: identity)
    }

    /// Whose turn it is; used on the accepting loop only.
    private final class Turn: @unchecked Sendable {
        private var last = -1

        func next(of count: Int) -> Int {
            last = (last + 1) % count
            return last
        }
    }

    /// Waits for requests in flight, up to the shutdown limit.
    private func drain() async {
        for bound in loops { bound.eventLoop.execute { bound.value.stop() } }
        let deadline = ContinuousClock.now + options.timeouts.shutdown
        while ContinuousClock.now < deadline {
            var open = 0
            for bound in loops {
                open += (try? await bound.eventLoop.submit { bound.value.connectionCount }.get()) ?? 0
            }
            if open == 0 { return }
            try? await Task.sleep(for: .milliseconds(20))
        }
        logger.warning("requests still in flight are cut off", metadata: ["limit": "\(options.timeouts.shutdown)"])
        for bound in loops {
            try? await bound.eventLoop.submit { bound.value.closeEverything() }.get()
        }
    }

    // MARK: Periodic work

    private func startRepeatingTasks() -> [RepeatedTask] {
        var tasks: [RepeatedTask] = []
        for bound in loops {
            tasks.append(
                bound.eventLoop.scheduleRepeatedTask(
                    initialDelay: .milliseconds(500), delay: .milliseconds(500)
                ) { _ in
                    bound.value.tick()
                })
        }
        guard let first = loops.first else { return tasks }
        let all = loops
        let options = options.health
        // Checks are few and far between: they run on a loop of NIO's own, whose result goes to every loop here.
        let checking = MultiThreadedEventLoopGroup.singleton.next()
        let monitor = checking.submit {
            NIOLoopBound(
                HealthMonitor(options: options, eventLoop: checking) { name, healthy, reason in
                    for bound in all {
                        bound.eventLoop.execute {
                            bound.value.healthChecked(name, healthy: healthy, reason: reason)
                        }
                    }
                }, eventLoop: checking)
        }
        tasks.append(
            first.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: TimeAmount(options.interval)) { _ in
                let instances = first.value.table.table.instances
                monitor.whenSuccess { $0.value.checkAll(instances) }
            })
        return tasks
    }

    // MARK: Control

    /// Gives the coordinator a moment at the start; without it the proxy serves as phase 2, with the store's own word
    /// on the generation.
    private func waitForFirstTable() async {
        let deadline = ContinuousClock.now + options.timeouts.firstTable
        repeat {
            if let reply = try? await link.report(await report()) {
                await apply(reply.table)
                return
            }
            try? await Task.sleep(for: .milliseconds(100))
        } while ContinuousClock.now < deadline && !Task.isCancelled
        logger.warning("the coordinator does not answer: serving as phase externalized until it does")
        await applyStoreGeneration()
    }

    private func applyStoreGeneration() async {
        guard let first = loops.first,
            let generation = try? await store.generation(on: first.eventLoop).get()
        else { return }
        for bound in loops { bound.eventLoop.execute { bound.value.applyProvisional(generation: generation) } }
    }

    private func apply(_ table: RoutingTable) async {
        let isNews = state.withLock { state in
            guard state.table.map({ $0.epoch < table.epoch }) ?? true else { return false }
            state.table = table
            return true
        }
        guard isNews else { return }
        logger.info(
            "routing table",
            metadata: ["epoch": "\(table.epoch)", "phase": "\(table.phase)", "ramp": "\(table.rampPercent)"])
        for bound in loops { bound.eventLoop.execute { bound.value.apply(table) } }
    }

    /// Follows the coordinator's tables by long polls.
    private func follow() async {
        while !Task.isCancelled {
            let known = state.withLock { $0.table?.epoch }
            do {
                if let table = try await link.table(newerThan: known, patience: .seconds(10)) { await apply(table) }
            } catch {
                if known == nil { await applyStoreGeneration() }
                try? await Task.sleep(for: .milliseconds(500))
            }
        }
    }

    /// Reports once a second, and at once when an epoch's grace period has ended.
    private func reportForEver() async {
        let signal = acknowledgementSignal
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: .seconds(1))
                    signal.yield()
                }
            }
            for await _ in acknowledgements {
                if Task.isCancelled { break }
                guard let reply = try? await link.report(await report()) else { continue }
                await apply(reply.table)
                if reply.clearDirtyOverflow {
                    for bound in loops { bound.eventLoop.execute { bound.value.dirty.clearOverflow() } }
                }
            }
            group.cancelAll()
        }
    }

    /// What the coordinator is told.
    private func report() async -> ProxyReport {
        var parts: [ProxyLoop.Part] = []
        for bound in loops {
            if let part = try? await bound.eventLoop.submit({ bound.value.takePart() }).get() { parts.append(part) }
        }
        return ProxyLoop.Part.merge(
            parts, name: options.name, incarnation: incarnation,
            listen: "\(options.listenHost):\(port ?? options.listenPort)", acknowledged: board.acknowledged,
            applied: state.withLock { $0.table?.epoch })
    }
}

/// Client connections of all loops.
private final class ConnectionCount: Sendable {
    private let count = Atomic<Int>(0)

    func admit(limit: Int) -> Bool {
        guard count.wrappingAdd(1, ordering: .relaxed).newValue <= limit else {
            leave()
            return false
        }
        return true
    }

    func leave() { count.wrappingSubtract(1, ordering: .relaxed) }
}
