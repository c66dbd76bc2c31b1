import ControlAPI
import UnstickCore

@testable import UnstickTerminal

/// Reports as a coordinator gives them, and screens as lines of text.
enum Reports {
    static let gates = [
        GateResult(name: "proxies-alive", verdict: .pass, found: "2 alive", demanded: "every proxy"),
        GateResult(
            name: "every-session-externalized", verdict: .refuse,
            found: "3 of 1,204 sessions are not in the store as in memory, 2 of them still moving",
            demanded: "every live session, version and digest", remedy: "`unstick verify` looks again"),
        GateResult(
            name: "bridges-answer", verdict: .inconclusive, found: "web-2: no answer", demanded: "every bridge"),
    ]

    static func instance(
        _ name: String, state: RoutingTable.Instance.State = .active, health: InstanceReport.Health = .healthy,
        sessions: Int? = 602, onlyHere: Int? = 0, inFlight: Int = 4, note: String? = nil
    ) -> InstanceStatus {
        InstanceStatus(
            name: name, url: "http://127.0.0.1:5001", weight: 1, state: state, health: health, incarnation: "a",
            framework: "django", sessions: sessions, onlyHere: onlyHere, inFlight: inFlight, requests: 9, note: note)
    }

    static func proxy(
        _ name: String, acknowledged: UInt64?, silent: Int64 = 400, alive: Bool = true, dirty: Int = 0,
        overflow: Bool = false, store: ProxyReport.StoreHealth = .up
    ) -> ProxyStatus {
        ProxyStatus(
            report: ProxyReport(
                name: name, incarnation: "i", listen: "127.0.0.1:8080", acknowledged: acknowledged.map { Epoch($0) },
                applied: nil, dirtySessions: dirty, dirtyOverflow: overflow, mirrorQueue: 2, store: store),
            silentMilliseconds: silent, isAlive: alive)
    }

    static func status(
        _ phase: Phase, ramp: Int = 0, actual: Int? = nil, epoch: UInt64 = 7, settled: Bool = true,
        coverage: Coverage? = Coverage(
            sessions: 1204, externalized: 1204, recheck: 0, verifiedAt: UnixMilliseconds(97_000), isComplete: true),
        operation: OperationStatus? = nil, instances: [InstanceStatus] = [instance("web-1"), instance("web-2")],
        proxies: [ProxyStatus] = [proxy("proxy-1", acknowledged: 7), proxy("proxy-2", acknowledged: 7)],
        gates: [GateResult] = []
    ) -> StatusReport {
        StatusReport(
            migration: "shop", phase: phase, epoch: Epoch(epoch), generation: Generation(3), rampPercent: ramp,
            actualPercent: actual ?? ramp, settled: settled, time: UnixMilliseconds(100_000), uptimeSeconds: 60,
            coverage: coverage, operation: operation, instances: instances, proxies: proxies, gates: gates,
            store: "sqlite unstick.db (WAL, synchronous=FULL)")
    }

    static func operation(_ kind: OperationKind, step: Int, of steps: Int, _ progress: String) -> OperationStatus {
        OperationStatus(
            id: 12, kind: kind, by: "ann@desk", reason: nil, dryRun: false, startedAt: UnixMilliseconds(90_000),
            progress: progress, step: step, steps: steps, plan: [], outcome: nil, phase: .mirroring, epoch: Epoch(7))
    }
}

func text(_ lines: [ScreenLine]) -> String { lines.map(\.plain).joined(separator: "\n") }
