import ControlAPI
import SessionStore
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Gates")
struct GateTests {
    /// Evidence with which every gate of every transition passes.
    static func evidence(_ phase: Phase, ramp: Int = 0) throws -> GateEvidence {
        let table = World.table(phase, ramp: ramp)
        var ledger = ProxyLedger(table: table)
        var proxies: [GateEvidence.Proxy] = []
        for name in ["p1", "p2"] {
            _ = try ledger.report(name: name, incarnation: "1", acknowledged: table.epoch)
            let proxy = SimulatedProxy(name: name, applied: table, acknowledged: table)
            proxies.append(
                GateEvidence.Proxy(
                    name: name, report: proxy.report(instances: table.instances), silence: .seconds(1), answers: 100,
                    failures: 1))
        }
        var options = CoordinatorOptions(migration: "shop", instances: table.instances)
        options.responseP99Max = .seconds(1)
        options.soak = .seconds(60)
        return GateEvidence(
            table: table, ledger: ledger, proxies: proxies,
            store: .answered(
                StoreProbe(
                    description: "sqlite", isDurable: true, mayEvict: false, roundTrip: .milliseconds(2), problems: [])),
            instances: table.instances.map { InstanceDescription(name: $0.name, incarnation: "i", sessions: 0) },
            verification: report(), soak: ControlState.Soak(since: UnixMilliseconds(0), fallbackReads: [:]),
            now: UnixMilliseconds(61_000), options: options)
    }

    static func report(problems: Int = 0, recheck: Int = 0, inconclusive: [String] = []) -> VerificationReport {
        VerificationReport(
            startedAt: UnixMilliseconds(1), finishedAt: UnixMilliseconds(2), generation: Generation(1), passes: 1,
            instances: [], recheck: recheck, inconclusive: inconclusive, problemCount: problems, problems: [])
    }

    /// Every gate that any transition of the phase knows.
    static func all(_ evidence: GateEvidence) -> [GateResult] {
        let sets: [PlanStep.GateSet] = [
            .mirror, .externalize, .switchTo, .complete(confirm: "shop"), .rollbackToMirroring, .rollbackToSticky,
            .drain(instance: "web-1"), .undrain(instance: "web-1"),
        ]
        return sets.flatMap { Gates.evaluate($0, evidence) } + Gates.verified(.final, evidence)
    }

    @Test("all pass when all is well")
    func pass() throws {
        let gates = Self.all(try Self.evidence(.stateless, ramp: 100))
        #expect(gates.filter { $0.verdict != .pass }.isEmpty)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var what: String
        var gate: String
        var verdict: GateResult.Verdict
        var spoil: @Sendable (inout GateEvidence) throws -> Void
        var testDescription: String { "\(what): \(gate) \(verdict.rawValue)" }

        init(
            _ what: String, _ gate: String, _ verdict: GateResult.Verdict,
            _ spoil: @escaping @Sendable (inout GateEvidence) throws -> Void
        ) {
            self.what = what
            self.gate = gate
            self.verdict = verdict
            self.spoil = spoil
        }
    }

    static func probe(isDurable: Bool = true, mayEvict: Bool = false) -> GateEvidence.Store {
        .answered(
            StoreProbe(
                description: "s", isDurable: isDurable, mayEvict: mayEvict, roundTrip: .zero, problems: ["because"]))
    }

    static let cases = [
        Case("no proxy", "proxies-alive", .inconclusive) { $0.proxies = [] },
        Case("a silent proxy", "proxies-alive", .inconclusive) { $0.proxies[1].silence = .seconds(6) },
        Case("a proxy not heard of", "proxies-alive", .inconclusive) { $0.proxies[1].silence = nil },
        Case("an epoch not acknowledged", "proxies-acknowledged", .refuse) { evidence in
            var table = evidence.table
            table.epoch = table.epoch.next
            evidence.ledger.publish(table)
        },
        Case("another protocol", "proxies-protocol", .refuse) { $0.proxies[0].report?.protocolVersion = 9 },
        Case("an unknown protocol", "proxies-protocol", .inconclusive) { $0.proxies[0].report = nil },
        Case("a dead store", "store-reachable", .inconclusive) { $0.store = .failed("refused") },
        Case("a store not asked", "store-reachable", .inconclusive) { $0.store = nil },
        Case("a volatile store", "store-durable", .refuse) { $0.store = probe(isDurable: false) },
        Case("a store not known to be durable", "store-durable", .inconclusive) { $0.store = nil },
        Case("a store that evicts", "store-keeps", .refuse) { $0.store = probe(mayEvict: true) },
        Case("a store not known to keep", "store-keeps", .inconclusive) { $0.store = nil },
        Case("a bridge that fails", "bridges-answer", .inconclusive) { $0.instances[0].problem = "401" },
        Case("a bridge not asked", "bridges-answer", .inconclusive) { $0.instances = [] },
        Case("no verification", "every-session-externalized", .inconclusive) { $0.verification = nil },
        Case("a session amiss", "every-session-externalized", .refuse) { $0.verification = report(problems: 1) },
        Case("a session moving", "every-session-externalized", .refuse) { $0.verification = report(recheck: 1) },
        Case("an instance not seen", "every-session-externalized", .inconclusive) {
            $0.verification = report(inconclusive: ["web-1"])
        },
        Case("a write stuck", "mirror-queues-empty", .refuse) { $0.proxies[0].report?.mirrorQueue = 1 },
        Case("a queue not known", "mirror-queues-empty", .inconclusive) { $0.proxies[0].report = nil },
        Case("a dirty session", "no-dirty-sessions", .refuse) { $0.proxies[0].report?.dirtySessions = 1 },
        Case("more dirty than remembered", "no-dirty-sessions", .refuse) { $0.proxies[0].report?.dirtyOverflow = true },
        Case("dirt not known", "no-dirty-sessions", .inconclusive) { $0.proxies[0].silence = .seconds(60) },
        Case("errors", "error-rate", .refuse) { $0.proxies[0].failures = 50 },
        Case("slow answers", "latency", .refuse) { $0.proxies[0].report?.counters.responseP99Microseconds = 2_000_000 },
        Case("a ramp below 100", "ramp-complete", .refuse) { $0.table.rampPercent = 99 },
        Case("a short soak", "soak-over", .refuse) { $0.now = UnixMilliseconds(59_000) },
        Case("no soak", "soak-over", .inconclusive) { $0.soak = nil },
        Case("fallback reads", "fallback-reads-zero", .refuse) { $0.proxies[0].report?.counters.fallbackReads = 1 },
        Case("fallback reads unknown", "fallback-reads-zero", .inconclusive) { $0.soak = nil },
        Case("another name", "confirmed", .refuse) { $0.options.migration = "other" },
        Case("the last instance", "another-active-instance", .refuse) { $0.table.instances[1].state = .drained },
    ]

    @Test("each refuses what it is for, and missing data is inconclusive", arguments: cases)
    func refuses(example: Case) throws {
        var evidence = try Self.evidence(.stateless, ramp: 100)
        try example.spoil(&evidence)
        let gates = Self.all(evidence).filter { $0.name == example.gate }
        #expect(!gates.isEmpty)
        #expect(gates.allSatisfy { $0.verdict == example.verdict }, "\(gates.map(\.found))")
        #expect(!Gates.passes(gates))
    }

    @Test(
        "each transition asks for its gates",
        arguments: [
            (
                PlanStep.GateSet.mirror,
                [
                    "proxies-alive", "proxies-acknowledged", "proxies-protocol", "store-reachable", "store-durable",
                    "store-keeps", "bridges-answer",
                ]
            ),
            (
                .externalize,
                [
                    "proxies-alive", "proxies-acknowledged", "store-reachable", "store-durable", "store-keeps",
                    "bridges-answer",
                ]
            ),
            (
                .switchTo,
                ["proxies-alive", "proxies-acknowledged", "store-reachable", "bridges-answer", "error-rate", "latency"]
            ),
            (
                .complete(confirm: "shop"),
                [
                    "confirmed", "proxies-alive", "proxies-acknowledged", "store-reachable", "ramp-complete",
                    "soak-over", "fallback-reads-zero", "error-rate",
                ]
            ),
            (.rollbackToMirroring, ["proxies-alive", "proxies-acknowledged", "store-reachable", "bridges-answer"]),
            (.rollbackToSticky, ["proxies-alive", "proxies-acknowledged", "store-reachable", "bridges-answer"]),
            (
                .drain(instance: "web-1"),
                ["proxies-alive", "proxies-acknowledged", "another-active-instance", "store-reachable"]
            ),
        ] as [(PlanStep.GateSet, [String])])
    func names(set: PlanStep.GateSet, expected: [String]) throws {
        let evidence = try Self.evidence(.stateless)
        #expect(Gates.evaluate(set, evidence).map(\.name) == expected)
    }

    @Test("a verification demands queues and dirty sessions only where the authority is about to change")
    func verified() throws {
        let evidence = try Self.evidence(.mirroring)
        #expect(
            Gates.verified(.final, evidence).map(\.name) == [
                "every-session-externalized", "mirror-queues-empty", "no-dirty-sessions",
            ])
        #expect(Gates.verified(.compare, evidence).map(\.name) == ["every-session-externalized"])
    }

    @Test("writes that requests wait for are no stuck queue")
    func busyQueue() throws {
        var evidence = try Self.evidence(.mirroring)
        evidence.proxies[0].report?.mirrorQueue = 3
        evidence.proxies[0].report?.instances[0].inFlight = 3
        #expect(Gates.mirrorQueuesEmpty(evidence).verdict == .pass)
    }

    @Test("a proxy that restarted during the soak counts from zero")
    func fallbackAfterRestart() throws {
        var evidence = try Self.evidence(.stateless, ramp: 100)
        evidence.soak?.fallbackReads["p1"] = ControlState.FallbackMark(incarnation: "1", count: 7)
        evidence.proxies[0].report?.counters.fallbackReads = 7
        #expect(Gates.fallbackReadsZero(evidence).verdict == .pass)
        evidence.proxies[0].report?.incarnation = "2"
        #expect(Gates.fallbackReadsZero(evidence).verdict == .refuse)
    }
}
