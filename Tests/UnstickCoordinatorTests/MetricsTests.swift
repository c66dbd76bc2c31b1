import ControlAPI
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Metrics of the control plane")
struct MetricsTests {
    private static func status(_ change: (inout StatusReport) -> Void = { _ in }) -> StatusReport {
        var report = ProxyReport(
            name: "p\"1", incarnation: "x", listen: "127.0.0.1:1", acknowledged: Epoch(6), applied: Epoch(7),
            dirtySessions: 3, mirrorQueue: 2)
        report.counters.requests = 11
        report.counters.hydrated = 5
        var status = StatusReport(
            migration: "shop", phase: .externalized, epoch: Epoch(7), generation: Generation(2), rampPercent: 25,
            actualPercent: 10, settled: false, time: UnixMilliseconds(2000), uptimeSeconds: 9,
            coverage: Coverage(
                sessions: 8, externalized: 6, recheck: 1, verifiedAt: UnixMilliseconds(1500), isComplete: true),
            operation: nil,
            instances: [
                InstanceStatus(
                    name: "web-1", url: "http://127.0.0.1:1", weight: 3, state: .draining, health: .unhealthy,
                    incarnation: nil, framework: nil, sessions: 4, onlyHere: nil, inFlight: 2, requests: 1, note: nil)
            ],
            proxies: [ProxyStatus(report: report, silentMilliseconds: 1500, isAlive: true)],
            gates: [
                GateResult(name: "store-durable", verdict: .pass, found: "", demanded: ""),
                GateResult(name: "dirty-sessions", verdict: .inconclusive, found: "", demanded: ""),
            ], store: "up")
        change(&status)
        return status
    }

    private static func text(_ status: StatusReport) -> String {
        var text = PrometheusText()
        Metrics.write(status, to: &text)
        return "\n" + text.text
    }

    @Test(
        "what the status says stands in the text",
        arguments: [
            "unstick_phase 2", #"unstick_migration_info{name="shop",phase="externalized"} 1"#, "unstick_epoch 7",
            "unstick_generation 2", "unstick_ramp_ratio 0.25", "unstick_ramp_actual_ratio 0.1", "unstick_settled 0",
            "unstick_past_point_of_no_return 0", "unstick_uptime_seconds 9", "unstick_sessions 8",
            "unstick_sessions_externalized 6", "unstick_sessions_recheck 1", "unstick_coverage_ratio 0.75",
            "unstick_verification_complete 1", "unstick_verification_timestamp_seconds 1.5",
            #"unstick_gate{gate="store-durable",verdict="pass"} 1"#,
            #"unstick_gate{gate="dirty-sessions",verdict="pass"} 0"#,
            #"unstick_gate{gate="dirty-sessions",verdict="inconclusive"} 1"#, "unstick_gates_open 0",
            "unstick_operation_running 0", #"unstick_instance_state{instance="web-1",state="draining"} 1"#,
            #"unstick_instance_state{instance="web-1",state="active"} 0"#,
            #"unstick_instance_healthy{instance="web-1"} 0"#, #"unstick_instance_in_flight{instance="web-1"} 2"#,
            #"unstick_instance_sessions{instance="web-1"} 4"#, #"unstick_instance_weight{instance="web-1"} 3"#,
            "unstick_proxies 1", #"unstick_proxy_alive{proxy="p\"1"} 1"#,
            #"unstick_proxy_silence_seconds{proxy="p\"1"} 1.5"#,
            #"unstick_proxy_acknowledged_epoch{proxy="p\"1"} 6"#,
            #"unstick_reported_dirty_sessions{proxy="p\"1"} 3"#, #"unstick_reported_mirror_queue{proxy="p\"1"} 2"#,
            #"unstick_reported_requests_total{proxy="p\"1"} 11"#,
            #"unstick_reported_hydrations_total{proxy="p\"1"} 5"#,
        ])
    func content(_ line: String) {
        #expect(Self.text(Self.status()).contains("\n\(line)\n"))
    }

    @Test("what is not known has no sample")
    func unknown() {
        let text = Self.text(
            Self.status {
                $0.coverage = nil
                $0.proxies = []
            })
        for name in ["unstick_sessions", "unstick_coverage", "unstick_instance_sessions_only_here", "unstick_reported"]
        {
            #expect(!text.contains("\n\(name)") || name == "unstick_sessions" && !text.contains("\nunstick_sessions "))
        }
        #expect(text.contains("\nunstick_proxies 0\n"))
    }

    @Test("gates are open when every one passes; one that cannot be judged is not passed")
    func gates() {
        let text = Self.text(Self.status { $0.gates.removeLast() })
        #expect(text.contains("\nunstick_gates_open 1\n"))
    }

    @Test("the operation that runs is named")
    func operation() {
        let text = Self.text(
            Self.status {
                $0.operation = OperationStatus(
                    id: 4, kind: .mirror, by: "ops", reason: nil, dryRun: false, startedAt: UnixMilliseconds(1),
                    progress: "", step: 1, steps: 2, plan: [], outcome: nil, phase: .sticky, epoch: Epoch(1))
            })
        #expect(text.contains("\nunstick_operation_running 1\n"))
        #expect(text.contains("\nunstick_operation_info{id=\"4\",command=\"mirror\"} 1\n"))
    }
}
