import ControlAPI
import Foundation
import Logging
import MemorySessionStore
import NIOCore
import NIOPosix
import SessionStore
import Synchronization
import Testing
import UnstickCore

@testable import UnstickCoordinator

/// Time that moves only when a test says so.
final class ManualTime: Sendable {
    private let passed = Mutex(Duration.zero)
    var now: Duration { passed.withLock { $0 } }
    func advance(by duration: Duration) { passed.withLock { $0 += duration } }

    var clock: CoordinatorClock {
        CoordinatorClock(
            wall: { UnixMilliseconds(1_700_000_000_000 + self.now.wholeMilliseconds) }, monotonic: { self.now })
    }
}

/// Answers as a test tells it to; by default everything is well and there are no sessions left to move.
final class FakeVerification: VerificationService {
    struct Script: Sendable {
        /// Problems found by the n-th verification, from 1.
        var problems: @Sendable (Int) -> Int = { _ in 0 }
        var inconclusive: [String] = []
        var strays: @Sendable (Int) -> Int = { _ in 0 }
        /// Sessions imported by the n-th repatriation, from 1.
        var imports: @Sendable (Int) -> Int = { _ in 0 }
        var descriptions: [String: InstanceDescription] = [:]
        var sessions = 0
        var verifications = 0
        var repatriations = 0
        /// What was asked, in order.
        var calls: [String] = []
        /// Called at the beginning of every verification.
        var hook: (@Sendable () async -> Void)?
    }

    let script = Mutex(Script())

    func verify(
        table: RoutingTable, instances: [String]?, backfill: Bool, passes: Int,
        progress: @escaping @Sendable (Coverage) -> Void
    ) async -> VerificationReport {
        if let hook = script.withLock({ $0.hook }) { await hook() }
        return script.withLock { script in
            script.verifications += 1
            let level = CoexistenceLevel(table)
            script.calls.append(
                "\(backfill ? "backfill" : "compare") \(instances?.joined() ?? "all") \(level)/\(table.storeErrors)")
            return VerificationReport(
                startedAt: UnixMilliseconds(1), finishedAt: UnixMilliseconds(2), generation: table.generation,
                passes: 1, instances: [], recheck: 0, inconclusive: script.inconclusive,
                problemCount: script.problems(script.verifications), problems: [])
        }
    }

    func repatriate(
        table: RoutingTable, passes: Int, progress: @escaping @Sendable (Coverage) -> Void
    ) async -> RepatriationReport {
        script.withLock { script in
            script.repatriations += 1
            script.calls.append("repatriate \(CoexistenceLevel(table))")
            let strays = script.strays(script.repatriations)
            var counts = RepatriationReport.InstanceCounts(name: "web-1")
            counts.imported = script.imports(script.repatriations)
            return RepatriationReport(
                startedAt: UnixMilliseconds(1), finishedAt: UnixMilliseconds(2), generation: table.generation,
                passes: 1, instances: [counts], sessions: 5, atHome: 5 - strays, recheck: 0,
                inconclusive: script.inconclusive, problemCount: strays, problems: [])
        }
    }

    func evict(instance: RoutingTable.Instance, scope: EvictionScope, table: RoutingTable) async -> EvictionReport {
        script.withLock { $0.calls.append("evict \(instance.name) \(scope.rawValue)") }
        return EvictionReport(instance: instance.name)
    }

    func describe(instance: RoutingTable.Instance) async -> InstanceDescription {
        script.withLock { script in
            script.descriptions[instance.name]
                ?? InstanceDescription(name: instance.name, incarnation: "i", sessions: script.sessions)
        }
    }

    func explain(id: String, table: RoutingTable) async -> SessionExplanation {
        SessionExplanation(
            hash: "h", rampBucket: 0, inRamp: false, store: nil, memory: [], effectiveHome: nil, verdict: "nowhere")
    }
}

/// A proxy that applies a table, and acknowledges it one report later, if it is willing.
struct SimulatedProxy {
    var name: String
    var incarnation = "1"
    /// Nil: it has just started.
    var applied: RoutingTable?
    var acknowledged: RoutingTable?
    /// Whether it applies and acknowledges new tables.
    var isWilling = true
    var isSilent = false
    var unhealthy: Set<String> = []
    var inFlight: [String: Int] = [:]
    var dirty = 0
    var queue = 0
    var counters = ProxyReport.Counters()

    func report(instances: [RoutingTable.Instance]) -> ProxyReport {
        ProxyReport(
            name: name, incarnation: incarnation, listen: "127.0.0.1:1", acknowledged: acknowledged?.epoch,
            applied: applied?.epoch, dirtySessions: dirty, mirrorQueue: queue, store: .up,
            instances: instances.map { instance in
                InstanceReport(
                    name: instance.name, health: unhealthy.contains(instance.name) ? .unhealthy : .healthy,
                    reason: nil, inFlight: inFlight[instance.name] ?? 0, requests: 0)
            }, counters: counters)
    }

    /// The levels whose rules it may be following at this moment.
    var levels: Set<CoexistenceLevel> {
        guard let applied, let acknowledged else { return [] }
        return [CoexistenceLevel(applied), CoexistenceLevel(acknowledged)]
    }

    /// One step towards the table: applies it, or acknowledges what it has applied.
    mutating func step(towards table: RoutingTable) -> Bool {
        guard isWilling, !isSilent else { return false }
        if applied?.epoch != table.epoch {
            applied = table
            return true
        }
        if acknowledged?.epoch != table.epoch {
            acknowledged = table
            return true
        }
        return false
    }
}

/// A coordinator on a journal of its own, with simulated proxies.
final class World {
    let time = ManualTime()
    let store: MemorySessionStore
    let verification = FakeVerification()
    let directory: String
    var options: CoordinatorOptions
    var proxies: [SimulatedProxy]
    private(set) var journal: Journal
    private(set) var coordinator: Coordinator
    private var runner: Task<Void, Never>?
    /// Whether two proxies were ever two levels apart.
    private(set) var violations: [String] = []

    static let eventLoop = MultiThreadedEventLoopGroup.singleton.any()

    /// - Parameter table: where the migration stands; every proxy has acknowledged it.
    init(
        _ table: RoutingTable, proxies names: [String] = ["p1", "p2"],
        configure: (inout CoordinatorOptions) -> Void = { _ in }
    ) throws {
        directory = NSTemporaryDirectory() + "unstick-coordinator-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        store = MemorySessionStore(clock: time.clock.wall)
        options = CoordinatorOptions(migration: "shop", instances: table.instances)
        options.gatePatience = .zero
        options.acceptsVolatileStore = true
        options.allowsKillPoints = true
        options.soak = .seconds(10)
        configure(&options)
        proxies = names.map { SimulatedProxy(name: $0, applied: table, acknowledged: table) }
        journal = try Journal(path: directory + "/journal.db")
        var control = ControlState(table: table)
        for name in names {
            _ = try control.ledger.report(name: name, incarnation: "1", acknowledged: table.epoch)
        }
        try journal.commit([], state: control)
        coordinator = try Self.coordinator(options, store, verification, journal, time)
        try reportAll()
    }

    deinit {
        runner?.cancel()
        journal.close()
        try? FileManager.default.removeItem(atPath: directory)
    }

    private static func coordinator(
        _ options: CoordinatorOptions, _ store: any SessionStore, _ verification: FakeVerification,
        _ journal: Journal, _ time: ManualTime
    ) throws -> Coordinator {
        try Coordinator(
            options: options, store: store, verification: verification, journal: journal, eventLoop: eventLoop,
            clock: time.clock, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }), crash: {})
    }

    static func table(
        _ phase: Phase, ramp: Int = 0, hydrates: Bool = true,
        states: [RoutingTable.Instance.State] = [.active, .active]
    ) -> RoutingTable {
        RoutingTable(
            epoch: Epoch(10), phase: phase, generation: Generation(phase == .sticky ? 0 : 1), rampPercent: ramp,
            hydrates: hydrates, rehoming: phase >= .externalized,
            instances: states.enumerated().map {
                RoutingTable.Instance(
                    name: "web-\($0.offset + 1)", url: "http://127.0.0.1:\($0.offset + 1)", state: $0.element)
            })
    }

    var table: RoutingTable { coordinator.currentTable }

    /// The coordinator's process dies and a new one starts on the same journal.
    func restart() async throws {
        runner?.cancel()
        await runner?.value
        runner = nil
        journal.close()
        journal = try Journal(path: directory + "/journal.db")
        coordinator = try Self.coordinator(options, store, verification, journal, time)
        try reportAll()
    }

    func reportAll() throws {
        for proxy in proxies where !proxy.isSilent {
            _ = try coordinator.accept(proxy.report(instances: table.instances))
        }
    }

    func start() {
        guard runner == nil else { return }
        let coordinator = coordinator
        runner = Task { await coordinator.runOperations() }
    }

    /// Lets proxies take one step each towards the table. One after the other, so that they are apart for a moment.
    func stepProxies() throws -> Bool {
        var moved = false
        for index in proxies.indices {
            let table = table
            guard proxies[index].step(towards: table) else { continue }
            moved = true
            checkCoexistence()
            _ = try coordinator.accept(proxies[index].report(instances: table.instances))
        }
        return moved
    }

    private func checkCoexistence() {
        let levels = proxies.map(\.levels)
        for (index, first) in levels.enumerated() {
            for second in levels[(index + 1)...] {
                for one in first {
                    for other in second where !one.canCoexist(with: other) {
                        violations.append("\(one) beside \(other)")
                    }
                }
            }
        }
    }

    /// Drives proxies, and time when only time can help, until the operation has ended or the coordinator has died.
    /// - Returns: nil when it died.
    func drive(_ id: Int64) async throws -> OperationStatus? {
        start()
        while true {
            let version = coordinator.signal.version
            if coordinator.isHalted { return nil }
            if let status = try await coordinator.operation(id), status.outcome != nil {
                // The journal shows the last entry a moment before the coordinator dies of it.
                return coordinator.isHalted ? nil : status
            }
            if try stepProxies() { continue }
            if isWaitingForTime() {
                // A table may have been published since the proxies took their steps: time must not run out on them.
                guard isEverybodyAtTheTable else { continue }
                time.advance(by: .seconds(61))
                try reportAll()
                coordinator.tick()
                // The runner needs a thread to see it.
                await Task.yield()
                continue
            }
            await coordinator.signal.wait(after: version)
        }
    }

    /// Whether every proxy that would follow the present table has acknowledged it.
    private var isEverybodyAtTheTable: Bool {
        let epoch = table.epoch
        return proxies.allSatisfy { !$0.isWilling || $0.isSilent || $0.acknowledged?.epoch == epoch }
    }

    /// Whether the running step waits for something that no proxy will do.
    private func isWaitingForTime() -> Bool {
        coordinator.state.withLock { state in
            switch state.control.operation?.current {
            case .awaitAcknowledgements: !state.control.ledger.isSettled
            // Drafted words say that it has looked and found something left.
            case .awaitZeros, .awaitSessionsEnd: !state.progress.isEmpty
            default: false
            }
        }
    }

    func run(
        _ kind: OperationKind, dryRun: Bool = false, killAt: Int? = nil
    ) async throws -> OperationStatus? {
        let request = OperationRequest(
            kind: kind, by: "ops@test", dryRun: dryRun, killAtJournalEntry: killAt)
        // What the operation before published at its end is acknowledged by those who are willing.
        while try stepProxies() {}
        return try await drive(try await coordinator.submit(request, from: nil).id)
    }

    func entries() throws -> [JournalEntry] { try journal.entries(after: 0, limit: 1000) }
}
