import ControlAPI
import UnstickCore

/// Prometheus text (exposition format 0.0.4) of a status report.
enum Metrics {
    static func text(_ status: StatusReport) -> String {
        var text = ""
        func family(_ name: String, _ type: String, _ help: String, _ samples: [(labels: String, value: String)]) {
            guard !samples.isEmpty else { return }
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
            for sample in samples { text += "\(name)\(sample.labels) \(sample.value)\n" }
        }
        func gauge(_ name: String, _ help: String, _ value: some CustomStringConvertible) {
            family(name, "gauge", help, [("", "\(value)")])
        }
        gauge("unstick_epoch", "Number of the routing table.", status.epoch)
        gauge(
            "unstick_phase", "0 sticky, 1 mirroring, 2 externalized, 3 stateless, 4 completed.", status.phase.rawValue)
        gauge("unstick_generation", "Number of the mirroring run.", status.generation)
        gauge("unstick_ramp_percent", "Share of sessions the table routes statelessly.", status.rampPercent)
        gauge("unstick_ramp_actual_percent", "Share of sessions every proxy routes statelessly.", status.actualPercent)
        gauge("unstick_settled", "Whether every proxy has acknowledged the epoch.", status.settled ? 1 : 0)
        gauge("unstick_uptime_seconds", "Since the coordinator started.", status.uptimeSeconds)
        gauge("unstick_operation_running", "Whether an operation runs.", status.operation == nil ? 0 : 1)
        if let coverage = status.coverage {
            gauge("unstick_sessions", "Live sessions as last verified.", coverage.sessions)
            gauge("unstick_sessions_externalized", "Of those, in the store as in memory.", coverage.externalized)
            gauge("unstick_coverage_ratio", "Share of sessions that are externalized, 0 to 1.", coverage.share)
        }
        let verdicts: [GateResult.Verdict: Int] = [.pass: 1, .refuse: 0, .inconclusive: -1]
        family(
            "unstick_gate", "gauge", "Gates of the next transition: 1 passes, 0 refuses, -1 inconclusive.",
            status.gates.map { (label(["gate": $0.name]), "\(verdicts[$0.verdict] ?? -1)") })
        instances(status, family)
        proxies(status, family)
        return text
    }

    private typealias Family = (String, String, String, [(labels: String, value: String)]) -> Void

    private static func instances(_ status: StatusReport, _ family: Family) {
        family(
            "unstick_instance_state", "gauge", "1 for the state that the instance is in.",
            status.instances.map { (label(["instance": $0.name, "state": $0.state.rawValue]), "1") })
        family(
            "unstick_instance_healthy", "gauge", "Whether a proxy sees it healthy.",
            status.instances.map { (label(["instance": $0.name]), $0.health == .healthy ? "1" : "0") })
        family(
            "unstick_instance_in_flight", "gauge", "Requests in flight over all proxies.",
            status.instances.map { (label(["instance": $0.name]), "\($0.inFlight)") })
        family(
            "unstick_instance_sessions", "gauge", "Sessions in memory as the bridge counts them.",
            status.instances.compactMap { instance in
                instance.sessions.map { (label(["instance": instance.name]), "\($0)") }
            })
    }

    private static func proxies(_ status: StatusReport, _ family: Family) {
        func each(_ name: String, _ type: String, _ help: String, _ value: (ProxyStatus) -> String) {
            family(name, type, help, status.proxies.map { (label(["proxy": $0.report.name]), value($0)) })
        }
        each("unstick_proxy_alive", "gauge", "Whether it reported within the silence limit.") { $0.isAlive ? "1" : "0" }
        each("unstick_proxy_acknowledged_epoch", "gauge", "Epoch it acknowledged last; 0: none.") {
            "\($0.report.acknowledged?.rawValue ?? 0)"
        }
        each("unstick_proxy_dirty_sessions", "gauge", "Sessions whose last change is not in the store.") {
            "\($0.report.dirtySessions)"
        }
        each("unstick_proxy_mirror_queue", "gauge", "Writes accepted and not yet durable.") {
            "\($0.report.mirrorQueue)"
        }
        let counters: [(String, String, (ProxyReport.Counters) -> UInt64)] = [
            ("requests", "Requests.", \.requests),
            ("session_requests", "Requests with a session.", \.sessionRequests),
            ("errors", "Answers of 500 and up made by the proxy.", \.proxyErrors),
            ("upstream_errors", "Answers of 500 and up from upstreams.", \.upstreamErrors),
            ("mirrored", "Session changes written to the store.", \.mirrored),
            ("mirror_failures", "Session changes that could not be written.", \.mirrorFailures),
            ("hydrated", "Sessions given to an instance from the store.", \.hydrated),
            ("fallback_reads", "Sessions served from memory that the store lacked.", \.fallbackReads),
            ("conflicts", "Saves that another writer had overtaken.", \.conflicts),
            ("unserializable", "Sessions with attributes that cannot be serialized.", \.unserializable),
            ("failovers", "Requests served by another instance than the first.", \.failovers),
        ]
        for (name, help, value) in counters {
            each("unstick_proxy_\(name)_total", "counter", help) { "\(value($0.report.counters))" }
        }
    }

    /// Escapes as the format demands: backslash, quote, line feed.
    static func label(_ labels: [String: String]) -> String {
        let parts = labels.sorted { $0.key < $1.key }.map { key, value in
            var escaped = ""
            for character in value {
                switch character {
                case "\\": escaped += "\\\\"
                case "\"": escaped += "\\\""
                case "\n": escaped += "\\n"
                default: escaped.append(character)
                }
            }
            return "\(key)=\"\(escaped)\""
        }
        return "{\(parts.joined(separator: ","))}"
    }
}
