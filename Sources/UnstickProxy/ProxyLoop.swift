import BridgeContract
import ControlAPI
import HTTPWire
import Logging
import NIOCore
import SessionStore
import SocketLoop
import UnstickCore
import UnstickCrypto

/// Everything that the requests of one event loop share. Bound to its loop: no locks, nothing shared with other loops
/// but the store.
final class ProxyLoop {
    let eventLoop: SocketLoop
    let options: ProxyOptions
    let store: any SessionStore
    let clock: WallClock
    let logger: Logger
    private let upstreamTLS: UpstreamTLSSource

    private(set) var table: LoopTable
    private var pools: [String: UpstreamPool] = [:]
    private(set) var ledger = EpochLedger()
    var balancer: Balancer
    var counters = ProxyReport.Counters()
    var responseLatency = LatencyHistogram()
    var mirrorLatency = LatencyHistogram()
    var copies = CopyMap()
    var recentTouches = TouchMap()
    let dirty: DirtySet
    let pendingLogouts: PendingLogouts
    /// Heads are written here and sent at once: what a socket does not take it copies, so the memory is free again.
    private var headScratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 * 1024, alignment: 16)
    /// Lines that a response's head gets.
    private var responseScratch = ByteBuffer()
    var lastStoreWarning = NIODeadline.uptimeNanoseconds(0)
    var storeHealth = ProxyReport.StoreHealth.unknown
    /// Mirror writes begun and not durable yet.
    var mirrorsInFlight = 0
    private(set) var isStopping = false
    private var connections: [ClientConnection] = []
    /// Exchanges whose client has gone and whose mirror step is not done.
    private var orphans: [ObjectIdentifier: Exchange] = [:]
    /// Exchanges without work.
    private var spareExchanges: [Exchange] = []
    private static let spareExchangesMax = 256

    let forwardingPolicy: ForwardingPolicy
    let marks: MarkReader
    let observer: LoopObserver
    var retries: Retries
    /// Shared by the proxy's loops; nil: no limits.
    let rateLimiter: RateLimiter?
    /// Shared by the proxy's loops; nil: a client may have any number of connections.
    let clientCounts: ClientConnectionCounts?
    /// What the instances that take new sessions can do, all together.
    private(set) var fleet = FleetCondition()
    private var nextComparison: NIODeadline
    private var random: UInt64
    let waits: Waits
    /// `Via` in responses; nil: none.
    let responseVia: [UInt8]?
    /// Requests carry lines about the client's certificate, and nobody else's.
    let tellsClientCertificates: Bool

    private var authenticationSecond: Int64 = 0
    private var authentication = ""
    private var bridgePrefix = BridgePrefix()
    private var bridgeScratch: [UInt8] = []
    /// Told when a grace period may have ended or a table was applied.
    private let acknowledgementMayHaveMoved: @Sendable (Epoch?) -> Void

    init(
        eventLoop: SocketLoop, options: ProxyOptions, store: any SessionStore, clock: @escaping WallClock,
        logger: Logger, provisional: RoutingTable, seed: UInt64, pendingLogouts: PendingLogouts,
        rateLimiter: RateLimiter?, clientCounts: ClientConnectionCounts?, upstreamTLS: UpstreamTLSSource,
        acknowledgementMayHaveMoved: @escaping @Sendable (Epoch?) -> Void
    ) {
        self.eventLoop = eventLoop
        self.options = options
        self.store = store
        self.clock = clock
        self.logger = logger
        self.upstreamTLS = upstreamTLS
        self.acknowledgementMayHaveMoved = acknowledgementMayHaveMoved
        forwardingPolicy = ForwardingPolicy(options.forwarding)
        marks = MarkReader(session: options.session, affinity: options.affinity)
        observer = LoopObserver(options, clock: clock)
        balancer = Balancer(options.balance, seed: seed)
        retries = Retries(options: options.resilience.retries, loops: max(1, options.threads), seed: seed)
        self.rateLimiter = rateLimiter
        self.clientCounts = clientCounts
        nextComparison = eventLoop.tickTime + TimeAmount(options.resilience.ejection.interval)
        random = StableHash.mix(seed)
        waits = Waits(options.timeouts)
        responseVia = forwardingPolicy.additions.contains(.viaInResponses) ? forwardingPolicy.pseudonym : nil
        tellsClientCertificates = options.tls.map { $0.clientCertificateHeader != .none } ?? false
        self.pendingLogouts = pendingLogouts
        dirty = DirtySet(limit: options.limits.dirtySessions, pendingLogouts: pendingLogouts)
        table = LoopTable(table: provisional, isProvisional: true, pools: [], affinityValues: [], affinity: .init())
        table = makeTable(provisional, isProvisional: true)
        recount()
    }

    deinit { headScratch.deallocate() }

    /// At most one round of the event loop old.
    var now: NIODeadline { eventLoop.tickTime }

    /// Connections, and exchanges whose client has gone.
    var connectionCount: Int { connections.count + orphans.count }
    var orphanCount: Int { orphans.count }

    // MARK: Tables and epochs

    /// Uses a newer table for every request that begins from now on. Older ones are ignored.
    func apply(_ newer: RoutingTable) {
        guard table.isProvisional || newer.epoch > table.table.epoch else { return }
        // Indices may mean other instances from now on.
        if newer.instances.map(\.name) != table.table.instances.map(\.name) { copies.clear() }
        table = makeTable(newer, isProvisional: false)
        balancer.adopt(table, now: now.uptimeNanoseconds)
        recount()
        ledger.apply(newer.epoch)
        let live = Set(newer.instances.map(\.name))
        for (name, pool) in pools where !live.contains(name) {
            pool.closeIdle()
            pools[name] = nil
            // A counter must not fall when an instance leaves.
            observer.metrics.upstreamConnectionsOpened &+= pool.connectionsOpened
        }
        acknowledgementMayHaveMoved(ledger.acknowledged)
    }

    /// The store's generation, for a proxy that does not know the coordinator's table.
    func applyProvisional(generation: Generation) {
        guard table.isProvisional, table.table.generation != generation else { return }
        var provisional = table.table
        provisional.generation = generation
        // Without a run under way the others route as in `sticky`, and what this one wrote or believed of the store
        // would outlive logouts that it does not see.
        provisional.phase = generation.isOpen ? .externalized : .sticky
        table = makeTable(provisional, isProvisional: true)
    }

    private func makeTable(_ table: RoutingTable, isProvisional: Bool) -> LoopTable {
        let pools = table.instances.map { instance in
            let origin = InstanceOrigin(url: instance.url)
            let slot = observer.slot(of: instance.name, host: origin.host, port: origin.port)
            if let pool = self.pools[instance.name], pool.origin == origin {
                pool.update(weight: instance.weight)
                return pool
            }
            let pool = UpstreamPool(
                name: instance.name, origin: origin, weight: instance.weight, eventLoop: eventLoop,
                limits: options.limits, timeouts: options.timeouts, tls: upstreamTLS,
                condition: InstanceCondition(options: options.resilience), metricsSlot: slot)
            self.pools[instance.name] = pool
            return pool
        }
        let affinity = table.instances.map {
            Array("\($0.name)~\(options.secret.affinitySignature(instance: $0.name))".utf8)
        }
        return LoopTable(
            table: table, isProvisional: isProvisional, pools: pools, affinityValues: affinity,
            affinity: options.affinity)
    }

    func requestBegan(under table: LoopTable) {
        ledger.begin(table.isProvisional ? nil : table.table.epoch)
    }

    func requestMirrored(under table: LoopTable) {
        if ledger.end(table.isProvisional ? nil : table.table.epoch) {
            acknowledgementMayHaveMoved(ledger.acknowledged)
        }
    }

    func pool(named name: String) -> UpstreamPool? { pools[name] }

    // MARK: Instances' conditions

    /// Leave to send a request to the instance; nil when it should not get this one.
    func permit(_ claim: HomeClaim, of pool: UpstreamPool) -> InstanceCondition.Permit? {
        let couldTake = pool.condition.mayTakeNewWork
        let permit = pool.condition.begin(claim, fleet: fleet, now: now)
        // The leave may have been the last one of a half-open circuit.
        if pool.condition.mayTakeNewWork != couldTake { recount() }
        return permit
    }

    func settle(_ permit: InstanceCondition.Permit, of pool: UpstreamPool, _ outcome: InstanceOutcome) {
        random = StableHash.mix(random)
        let wasEjected = pool.condition.isEjected
        let openings = pool.condition.breaker.openings
        defer { observer.metrics.breakerOpenings &+= pool.condition.breaker.openings &- openings }
        guard pool.condition.end(permit, outcome: outcome, fleet: fleet, now: now, random: random) else { return }
        if pool.condition.isEjected, !wasEjected { observer.metrics.ejections &+= 1 }
        conditionChanged(of: pool)
    }

    func abandon(_ permit: InstanceCondition.Permit, of pool: UpstreamPool) {
        if pool.condition.abandon(permit) { conditionChanged(of: pool) }
    }

    /// The health monitor's word.
    func healthChecked(_ name: String, healthy: Bool, reason: String?) {
        guard let pool = pools[name], pool.condition.healthChecked(healthy: healthy, reason: reason) else { return }
        conditionChanged(of: pool)
    }

    /// One that may take new work again begins slowly.
    private func conditionChanged(of pool: UpstreamPool) {
        recount()
        if pool.condition.mayTakeNewWork, let index = table.index(named: pool.name) {
            balancer.warmUp(index, now: now.uptimeNanoseconds)
        }
    }

    private func recount() {
        var conditions: [InstanceCondition] = []
        for (index, pool) in table.pools.enumerated() where table.acceptsNewSessions(index) {
            conditions.append(pool.condition)
        }
        fleet = FleetCondition(conditions, options: options.resilience)
        for pool in table.pools { pool.isHealthy = fleet.mayChoose(pool.condition) }
    }

    private func tickConditions() {
        var changed: [UpstreamPool] = []
        for pool in table.pools where pool.condition.tick(now: now) { changed.append(pool) }
        for pool in changed { conditionChanged(of: pool) }
        guard now >= nextComparison else { return }
        nextComparison = now + TimeAmount(options.resilience.ejection.interval)
        var conditions = table.pools.map(\.condition)
        let (_, ejected) = FleetCondition.compare(&conditions, options: options.resilience, now: now)
        for (pool, condition) in zip(table.pools, conditions) { pool.condition = condition }
        observer.metrics.ejections &+= UInt64(ejected.count)
        if !ejected.isEmpty { recount() }
    }

    // MARK: Memory

    /// Lets lines for a response's head be written and then used, in memory that is the same for every caller.
    func withResponseLines<Result>(
        _ write: (inout ByteBuffer) -> Void, then use: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        responseScratch.clear()
        write(&responseScratch)
        return responseScratch.withUnsafeReadableBytes { use($0) }
    }

    /// Memory for a head that is written and sent at once; the same for every caller.
    func headMemory(_ size: Int) -> UnsafeMutableRawBufferPointer {
        if headScratch.count < size {
            headScratch.deallocate()
            headScratch = .allocate(byteCount: size * 2, alignment: 16)
        }
        return headScratch
    }

    // MARK: Bridge headers

    /// `auth=` changes once a second; the contract lets it live for 60.
    private func currentAuthentication() -> String {
        let second = clock().seconds
        if second != authenticationSecond {
            authenticationSecond = second
            authentication = options.secret.proxyAuthentication(at: second)
        }
        return authentication
    }

    /// The bridge contract's request header lines, in memory that is used again for the next request.
    func bridgeLines(phase: Phase, generation: Generation, expectation: BridgeExpectation, inlineState: ByteBuffer?)
        -> [UInt8]
    {
        let authentication = currentAuthentication()
        if bridgePrefix.second != authenticationSecond || bridgePrefix.phase != phase
            || bridgePrefix.generation != generation
        {
            bridgePrefix = BridgePrefix(second: authenticationSecond, phase: phase, generation: generation)
            bridgePrefix.bytes.append(contentsOf: "\(BridgeHeader.session): ".utf8)
            BridgeRequest.append(
                authentication: authentication, phase: phase, generation: generation, to: &bridgePrefix.bytes)
        }
        bridgeScratch.removeAll(keepingCapacity: true)
        bridgeScratch.append(contentsOf: bridgePrefix.bytes)
        BridgeRequest.append(expectation, to: &bridgeScratch)
        bridgeScratch.append(0x0d)
        bridgeScratch.append(0x0a)
        if let inlineState {
            bridgeScratch.append(contentsOf: "\(BridgeHeader.state): ".utf8)
            bridgeScratch += inlineState.withUnsafeReadableBytes { Base64URL.encode($0) }
            bridgeScratch.append(0x0d)
            bridgeScratch.append(0x0a)
        }
        return bridgeScratch
    }

    /// The part of the bridge's header that many requests share.
    private struct BridgePrefix {
        var second: Int64 = -1
        var phase = Phase.sticky
        var generation = Generation.none
        var bytes: [UInt8] = []
    }

    // MARK: Connections

    /// Serves a client's connection until it ends.
    func serve(_ stream: ByteStream, of identity: ClientIdentity, security: ClientSecurity = .plaintext) {
        let connection = ClientConnection(loop: self, stream: stream, identity: identity, security: security)
        connection.index = connections.count
        connections.append(connection)
        stream.delegate = connection
        if !security.isHTTP2 { observer.metrics.connectionsAccepted &+= 1 }
    }

    func remove(_ connection: ClientConnection) {
        let index = connection.index
        guard index >= 0 else { return }
        connection.index = -1
        if !connection.security.isHTTP2 { observer.metrics.connectionsClosed &+= 1 }
        let last = connections.removeLast()
        if last !== connection {
            connections[index] = last
            last.index = index
        }
    }

    func borrowExchange() -> Exchange {
        spareExchanges.popLast() ?? Exchange(loop: self)
    }

    func giveBack(_ exchange: Exchange) {
        if spareExchanges.count < Self.spareExchangesMax { spareExchanges.append(exchange) }
    }

    /// Keeps the exchange of a client that has gone until its mirror step is done.
    func registerOrphan(_ exchange: Exchange) {
        orphans[ObjectIdentifier(exchange)] = exchange
    }

    func unregisterOrphan(_ exchange: Exchange) {
        if !orphans.isEmpty { orphans[ObjectIdentifier(exchange)] = nil }
    }

    /// Checks deadlines, repairs dirty sessions. Called twice a second.
    func tick() {
        let now = now
        for connection in connections { connection.checkDeadline(now: now) }
        for exchange in orphans.values { exchange.checkDeadline(now: now) }
        for pool in pools.values { pool.expire(now: now) }
        tickConditions()
        observer.tick(now: now)
        repairDirtySessions()
    }

    /// Lets what is in flight end and closes the rest.
    func stop() {
        isStopping = true
        for connection in connections { connection.closeIfIdle() }
        observer.tick(now: now)
    }

    func closeEverything() {
        for connection in connections { connection.abort() }
        for exchange in orphans.values { exchange.abort() }
        for pool in pools.values { pool.closeIdle() }
        observer.tick(now: now)
    }

    /// What the report says of the instances.
    func instanceReports() -> [InstanceReport] {
        table.pools.map { pool in
            InstanceReport(
                name: pool.name,
                health: pool.condition.activeHealth == nil && pool.condition.mayTakeNewWork
                    ? .unknown : (pool.condition.mayTakeNewWork ? .healthy : .unhealthy),
                reason: pool.trouble,
                inFlight: pool.inFlight,
                requests: pool.requests)
        }
    }
}
