import ControlAPI
import UnstickCore

/// The coordinator's metrics as Prometheus text, from a status report.
enum Metrics {
    static func write(_ status: StatusReport, to text: inout PrometheusText) {
        migration(status, &text)
        verification(status, &text)
        operation(status, &text)
        instances(status, &text)
        proxies(status, &text)
    }

    private static func migration(_ status: StatusReport, _ text: inout PrometheusText) {
        text.family("unstick_migration_info", .gauge, "Always 1; the labels name the migration and its phase.") {
            $0.sample(["name": status.migration, "phase": status.phase.name], 1)
        }
        text.gauge(
            "unstick_phase", "0 sticky, 1 mirroring, 2 externalized, 3 stateless, 4 completed.",
            status.phase.rawValue)
        text.family("unstick_epoch", .gauge, "Number of the routing table.") { $0.sample([:], status.epoch.rawValue) }
        text.family("unstick_generation", .gauge, "Number of the mirroring run.") {
            $0.sample([:], status.generation.rawValue)
        }
        text.gauge(
            "unstick_ramp_ratio", "Share of sessions that the table routes statelessly, 0 to 1.",
            Double(status.rampPercent) / 100)
        text.gauge(
            "unstick_ramp_actual_ratio", "Share of sessions that every proxy routes statelessly, 0 to 1.",
            Double(status.actualPercent) / 100)
        text.gauge(
            "unstick_settled", "Whether every proxy has acknowledged the epoch.", status.settled ? 1 : 0)
        text.gauge(
            "unstick_past_point_of_no_return", "Whether nothing can be rolled back any more.",
            status.pastPointOfNoReturn ? 1 : 0)
        text.gauge("unstick_uptime_seconds", "Since the coordinator started.", Int(status.uptimeSeconds))
    }

    private static func verification(_ status: StatusReport, _ text: inout PrometheusText) {
        if let coverage = status.coverage {
            text.gauge("unstick_sessions", "Live sessions as last verified.", coverage.sessions)
            text.gauge(
                "unstick_sessions_externalized", "Of those, in the store at the version and tag of their home.",
                coverage.externalized)
            text.gauge(
                "unstick_sessions_recheck", "Sessions to look at again because they moved meanwhile.",
                coverage.recheck)
            text.gauge(
                "unstick_coverage_ratio", "Share of sessions that are externalized, 0 to 1.", coverage.share)
            text.gauge(
                "unstick_verification_complete", "0 while a pass runs or when it was inconclusive.",
                coverage.isComplete ? 1 : 0)
            if let time = coverage.verifiedAt {
                text.gauge(
                    "unstick_verification_timestamp_seconds", "End of the last pass, seconds since 1970.",
                    Double(time.rawValue) / 1000)
            }
        }
        // A gate that cannot be judged is neither passed nor refused.
        text.family("unstick_gate", .gauge, "Gates of the next transition: 1 for the verdict that holds.") { family in
            for gate in status.gates {
                for verdict in [GateResult.Verdict.pass, .refuse, .inconclusive] {
                    family.sample(["gate": gate.name, "verdict": verdict.rawValue], verdict == gate.verdict ? 1 : 0)
                }
            }
        }
        text.gauge(
            "unstick_gates_open", "Whether every gate of the next transition passes.",
            status.gates.allSatisfy { $0.verdict == .pass } ? 1 : 0)
    }

    private static func operation(_ status: StatusReport, _ text: inout PrometheusText) {
        text.gauge("unstick_operation_running", "Whether an operation runs.", status.operation == nil ? 0 : 1)
        guard let operation = status.operation else { return }
        text.family("unstick_operation_info", .gauge, "Always 1; the labels name the operation that runs.") {
            $0.sample(["id": "\(operation.id)", "command": operation.kind.command], 1)
        }
    }

    private static func instances(_ status: StatusReport, _ text: inout PrometheusText) {
        text.family("unstick_instance_state", .gauge, "1 for the state that the instance is in.") { family in
            for instance in status.instances {
                for state in RoutingTable.Instance.State.allCases {
                    family.sample(
                        ["instance": instance.name, "state": state.rawValue], state == instance.state ? 1 : 0)
                }
            }
        }
        func each(_ name: String, _ help: String, _ value: (InstanceStatus) -> Int?) {
            text.family(name, .gauge, help) { family in
                for instance in status.instances {
                    guard let value = value(instance) else { continue }
                    family.sample(["instance": instance.name], value)
                }
            }
        }
        each("unstick_instance_healthy", "Whether a proxy sees it healthy.") { $0.health == .healthy ? 1 : 0 }
        each("unstick_instance_in_flight", "Requests in flight over all proxies.") { $0.inFlight }
        each("unstick_instance_sessions", "Sessions in memory as the bridge counts them.") { $0.sessions }
        each("unstick_instance_sessions_only_here", "Sessions that exist only in its memory.") { $0.onlyHere }
        each("unstick_instance_weight", "Its share under the weighted balances.") { $0.weight }
    }

    /// What proxies report to the coordinator. Their own `/metrics` say more; names differ from those, so that one server
    /// may hold both, and one process may serve both.
    private static func proxies(_ status: StatusReport, _ text: inout PrometheusText) {
        text.gauge("unstick_proxies", "Registered proxies.", status.proxies.count)
        func each(
            _ name: String, _ kind: PrometheusText.Kind, _ help: String, _ value: (ProxyStatus) -> UInt64
        ) {
            text.family(name, kind, help) { family in
                for proxy in status.proxies { family.sample(["proxy": proxy.report.name], value(proxy)) }
            }
        }
        each("unstick_proxy_alive", .gauge, "Whether it reported within the silence limit.") { $0.isAlive ? 1 : 0 }
        text.family("unstick_proxy_silence_seconds", .gauge, "Since its last report.") { family in
            for proxy in status.proxies {
                family.sample(["proxy": proxy.report.name], Double(proxy.silentMilliseconds) / 1000)
            }
        }
        each("unstick_proxy_acknowledged_epoch", .gauge, "Epoch it acknowledged last; 0: none.") {
            $0.report.acknowledged?.rawValue ?? 0
        }
        each("unstick_reported_dirty_sessions", .gauge, "Sessions whose last change is not in the store.") {
            UInt64($0.report.dirtySessions)
        }
        each("unstick_reported_mirror_queue", .gauge, "Writes to the store begun and not yet durable.") {
            UInt64($0.report.mirrorQueue)
        }
        let counters: [(String, String, (ProxyReport.Counters) -> UInt64)] = [
            ("requests", "Requests.", \.requests),
            ("session_requests", "Requests with a session.", \.sessionRequests),
            ("errors", "Answers of 500 and up made by the proxy.", \.proxyErrors),
            ("upstream_errors", "Answers of 500 and up from upstreams.", \.upstreamErrors),
            ("mirrored", "Session changes written to the store.", \.mirrored),
            ("mirror_failures", "Session changes that could not be written.", \.mirrorFailures),
            ("hydrations", "Sessions given to an instance from the store.", \.hydrated),
            ("fallback_reads", "Sessions served from memory that the store lacked.", \.fallbackReads),
            ("conflicts", "Saves that another writer had overtaken.", \.conflicts),
            ("unserializable_sessions", "Sessions with attributes that cannot be serialized.", \.unserializable),
            ("failovers", "Requests served by another instance than the first.", \.failovers),
        ]
        for (name, help, value) in counters {
            each("unstick_reported_\(name)_total", .counter, help) { value($0.report.counters) }
        }
    }
}
