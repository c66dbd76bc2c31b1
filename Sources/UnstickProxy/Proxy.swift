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
    let loops: [NIOLoopBound<ProxyLoop>]
    /// One a loop, in the loops' order.
    private let entrances: [NIOLoopBound<ClientEntrance>]
    private let tlsContexts: TLSContextStore?
    private let upstreamTLS: UpstreamTLSSource
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
        var tlsPort: Int?
        var monitor: HealthMonitorReference?
        var table: RoutingTable?
    }

    /// Prepares the event loops; ``run(onReady:)`` serves. Blocks for certificates and keys.
    /// - Throws: ``TLSFileError`` for one that cannot be used; `SocketFailure` without descriptors.
    public init(
        options: ProxyOptions, store: any SessionStore, link: any CoordinatorLink, logger: Logger,
        clock: @escaping WallClock
    ) async throws {
        self.options = options
        self.store = store
        self.link = link
        self.logger = logger
        self.clock = clock
        tlsContexts = try options.tls.map { tls throws(TLSFileError) in
            try TLSContextStore(options: tls, logger: logger)
        }
        let upstreamTLS = UpstreamTLSSource(options: options.upstreamTLS, logger: logger)
        if Self.needsTLS(options.instances) { try upstreamTLS.load() }
        self.upstreamTLS = upstreamTLS
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
        let clientCounts = options.resilience.clients.connections.map {
            ClientConnectionCounts(
                limit: $0, connections: options.limits.connections, seed: .random(in: 0 ... .max))
        }
        for (index, eventLoop) in group.loops.enumerated() {
            let seed = SecureRandom.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let bound = try? await eventLoop.submit {
                NIOLoopBound(
                    ProxyLoop(
                        eventLoop: eventLoop, options: options, store: store, clock: clock, logger: logger,
                        provisional: provisional, seed: seed, pendingLogouts: pendingLogouts,
                        rateLimiter: rateLimiter, clientCounts: clientCounts, upstreamTLS: upstreamTLS
                    ) { acknowledged in
                        if board.update(loop: index, acknowledged: acknowledged) { signal.yield() }
                    }, eventLoop: eventLoop)
            }.get()
            if let bound { loops.append(bound) }
        }
        self.loops = loops
        var entrances: [NIOLoopBound<ClientEntrance>] = []
        for bound in loops {
            let contexts = tlsContexts
            let entrance = try? await bound.eventLoop.submit {
                NIOLoopBound(ClientEntrance(loop: bound.value, contexts: contexts), eventLoop: bound.eventLoop)
            }.get()
            if let entrance { entrances.append(entrance) }
        }
        self.entrances = entrances
    }

    private static func needsTLS(_ instances: [RoutingTable.Instance]) -> Bool {
        instances.contains { InstanceOrigin(url: $0.url).isSecure }
    }

    /// The port it listens on without TLS, once it does.
    public var port: Int? { state.withLock { $0.port } }
    /// The port it listens on with TLS, once it does; nil without.
    public var tlsPort: Int? { state.withLock { $0.tlsPort } }

    /// The certificates that clients are shown, for reports.
    var certificates: [TLSContextStore.CertificateStatus] { tlsContexts?.certificates ?? [] }

    /// Loads certificates and keys at once, as on SIGHUP. What cannot be loaded stays as it was and is logged.
    public func reloadCertificates() async {
        let (contexts, upstream) = (tlsContexts, upstreamTLS)
        try? await NIOThreadPool.singleton.runIfActive {
            contexts?.reload()
            upstream.reload()
        }
    }

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
            var servers = [try await listen(options.listenHost, options.listenPort, key: "listen", speaking: .plain)]
            let port = servers[0].localAddress.port
            state.withLock { $0.port = port }
            if let tls = options.tls {
                let server = try await listen(tls.listenHost, tls.listenPort, key: "tls.listen", speaking: .tls)
                state.withLock { $0.tlsPort = server.localAddress.port }
                servers.append(server)
            }
            let repeating = startRepeatingTasks()
            await startHealthChecks()
            await waitForFirstTable()
            for server in servers { try await server.start() }
            logger.info("listening", metadata: ["address": "\(options.listenHost):\(port)"])
            if let tls = options.tls, let port = tlsPort {
                logger.info("listening with TLS", metadata: ["address": "\(tls.listenHost):\(port)"])
            }
            tasks.addTask { await self.followCertificates() }
            tasks.addTask { await self.follow() }
            tasks.addTask { await self.reportForEver() }
            onReady(port)
            await withTaskCancellationHandler {
                for await _ in stopRequests { break }
            } onCancel: {
                stopSignal.yield()
            }
            for server in servers { try? await server.close() }
            await drain()
            for task in repeating { task.cancel() }
            state.withLock { $0.monitor }?.stop()
            tasks.cancelAll()
        }
    }

    // MARK: Listening

    /// One loop accepts and hands the connections to all in turn.
    /// - Parameter key: which configuration the address is from, for the error.
    private func listen(_ host: String, _ port: Int, key: String, speaking kind: ClientEntrance.Kind) async throws
        -> Listener
    {
        let entrances = entrances
        let limit = options.limits.connections
        let turn = Turn()
        do {
            return try await Listener.bind(host: host, port: port, loop: group.loops[0]) { descriptor, address in
                guard self.connections.admit(limit: limit) else {
                    entrances[0].value.isFull()
                    return Socket.refuse(descriptor)
                }
                let index = turn.next(of: entrances.count)
                let bound = entrances[index]
                let loop = self.group.loops[index]
                if index == 0 { return self.enter(descriptor, from: address, bound.value, on: loop, speaking: kind) }
                loop.execute { self.enter(descriptor, from: address, bound.value, on: loop, speaking: kind) }
            }
        } catch let error as SocketFailure {
            throw ListenFailure(key: key, address: "\(host):\(port)", code: error.code)
        }
    }

    private func enter(
        _ descriptor: Int32, from address: InternetAddress, _ entrance: ClientEntrance, on loop: SocketLoop,
        speaking kind: ClientEntrance.Kind
    ) {
        let socket = Socket(descriptor: descriptor, loop: loop, onClose: connectionClosed)
        let localPort = kind == .tls ? tlsPort : port
        let endpoints = ClientEntrance.Endpoints(
            peer: address.hostBytes.withUnsafeBytes { NetworkAddress(networkBytes: $0) },
            peerPort: UInt16(truncatingIfNeeded: address.port), localPort: UInt16(truncatingIfNeeded: localPort ?? 0))
        entrance.enter(socket, endpoints, speaking: kind)
    }

    /// Whose turn it is; used on the accepting loop only.
    private final class Turn: @unchecked Sendable {
        private var last = -1

        func next(of count: Int) -> Int {
            last = (last + 1) % count
            return last
        }
    }

    /// How long a client that does not answer the goodbye of TLS or HTTP/2 holds up a stop without requests.
    private static let farewell = Duration.seconds(1)

    /// Waits for requests in flight, up to the shutdown limit.
    private func drain() async {
        // First of all no new streams: a request that comes before the client has understood is served.
        for bound in entrances { bound.eventLoop.execute { bound.value.quiesce() } }
        for bound in loops { bound.eventLoop.execute { bound.value.stop() } }
        let begin = ContinuousClock.now
        let deadline = begin + options.timeouts.shutdown
        var lastRequest = begin
        while ContinuousClock.now < deadline {
            let requests = await sum(loops) { $0.connectionCount }
            if requests > 0 { lastRequest = .now }
            if requests == 0 {
                if await sum(entrances, { $0.count }) == 0 || ContinuousClock.now - lastRequest > Self.farewell {
                    break
                }
            }
            try? await Task.sleep(for: .milliseconds(20))
        }
        if await sum(loops, { $0.connectionCount }) > 0 {
            logger.warning(
                "requests still in flight are cut off", metadata: ["limit": "\(options.timeouts.shutdown)"])
        }
        for bound in loops { try? await bound.eventLoop.submit { bound.value.closeEverything() }.get() }
        for bound in entrances { try? await bound.eventLoop.submit { bound.value.closeEverything() }.get() }
    }

    private func sum<Each>(_ all: [NIOLoopBound<Each>], _ count: @escaping @Sendable (Each) -> Int) async -> Int {
        var total = 0
        for bound in all { total += (try? await bound.eventLoop.submit { count(bound.value) }.get()) ?? 0 }
        return total
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
        return tasks
    }

    /// Checks are few and far between: they run on a loop of NIO's own, whose results go to every loop here.
    private func startHealthChecks() async {
        let all = loops
        let options = options.health
        let checking = MultiThreadedEventLoopGroup.singleton.next()
        let tls = upstreamTLS
        let monitor = try? await checking.submit {
            NIOLoopBound(
                HealthMonitor(
                    options: options, eventLoop: checking,
                    transport: { instance in
                        let origin = InstanceOrigin(url: instance.url)
                        return origin.isSecure ? try tls.handlers(host: origin.host) : []
                    },
                    report: { name, healthy, reason in
                        for bound in all {
                            bound.eventLoop.execute {
                                bound.value.healthChecked(name, healthy: healthy, reason: reason)
                            }
                        }
                    }), eventLoop: checking)
        }.get()
        guard let monitor else { return }
        let reference = HealthMonitorReference(monitor: monitor)
        state.withLock { $0.monitor = reference }
        reference.watch(self.options.instances)
    }

    /// Follows the files of certificates and keys.
    private func followCertificates() async {
        let (contexts, upstream) = (tlsContexts, upstreamTLS)
        let interval = options.tls?.reloadInterval ?? .seconds(5)
        while (try? await Task.sleep(for: interval)) != nil {
            try? await NIOThreadPool.singleton.runIfActive {
                contexts?.reloadIfChanged()
                upstream.reloadIfChanged()
            }
        }
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
        if Self.needsTLS(table.instances) {
            let upstream = upstreamTLS
            do {
                try await NIOThreadPool.singleton.runIfActive { try upstream.load() }
            } catch {
                logger.error("instances with TLS cannot be reached: \(error)")
            }
        }
        for bound in loops { bound.eventLoop.execute { bound.value.apply(table) } }
        state.withLock { $0.monitor }?.watch(table.instances)
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
