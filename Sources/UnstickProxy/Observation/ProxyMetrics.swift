import ControlAPI
import HTTPWire
import UnstickCore

/// What one event loop says of itself when somebody asks for metrics.
struct LoopSnapshot: Sendable {
    /// How the loop sees one instance.
    struct Upstream: Sendable {
        var name: String
        var isHealthy: Bool
        /// Taken out by outlier detection.
        var isEjected = false
        var breaker = Breaker.closed
        var inFlight: Int
        /// Requests that wait for a connection.
        var waiting = 0
        var connectionsOpen = 0
        var connectionsIdle = 0
    }

    enum Breaker: String, Sendable, CaseIterable { case closed, open, halfOpen = "half_open" }

    var metrics: LoopMetrics
    var counters: ProxyReport.Counters
    var dirtySessions: Int
    var dirtyOverflow: Bool
    var mirrorQueue: Int
    var store: ProxyReport.StoreHealth
    var phase: Phase
    var applied: Epoch?
    var acknowledged: Epoch?
    var isStopping: Bool
    var upstreams: [Upstream]
}

/// What is not an event loop's.
struct ProxyFacts: Sendable {
    var name: String
    /// By the certificate's name: end of validity, seconds since 1970.
    var certificates: [(name: String, expiry: Int64)] = []
    var spans: SpanTally?
    /// Access log lines that the writer could not write.
    var accessLogLost: UInt64 = 0
}

/// The proxy's metrics as Prometheus text.
enum ProxyMetrics {
    static func write(_ loops: [LoopSnapshot], _ facts: ProxyFacts, to text: inout PrometheusText) {
        var sum = LoopMetrics()
        for loop in loops { sum.add(loop.metrics) }
        text.family("unstick_proxy_info", .gauge, "Always 1; the label names the proxy.") {
            $0.sample(["name": facts.name], 1)
        }
        requests(sum, &text)
        connections(sum, &text)
        upstreams(loops, sum, &text)
        sessions(loops, sum, &text)
        routing(loops, &text)
        observation(sum, facts, &text)
    }

    // MARK: Requests

    private static func requests(_ sum: LoopMetrics, _ text: inout PrometheusText) {
        text.family(
            "unstick_proxy_requests_total", .counter,
            "Requests by instance ('-': none was asked), class of the status code and method."
        ) { family in
            for instance in sum.instances {
                for (method, label) in RequestMethod.labels.enumerated() {
                    for digit in 0..<LoopMetrics.Instance.classes {
                        let count = instance.requests[method * LoopMetrics.Instance.classes + digit]
                        // Rates need a zero to start from, at least of what everybody watches.
                        let isWatched = method == Int(RequestMethod.get.rawValue) && (2...5).contains(digit)
                        guard count > 0 || isWatched else { continue }
                        family.sample(
                            [
                                "instance": instance.name, "code": digit == 0 ? "none" : "\(digit)xx",
                                "method": "\(label)",
                            ], count)
                    }
                }
            }
        }
        text.gauge(
            "unstick_proxy_requests_in_flight", "Requests begun and not ended.",
            Int(sum.requestsBegun &- min(sum.requestsBegun, sum.requestsEnded)))
        text.counter(
            "unstick_proxy_request_bytes_total", "Bytes of requests read from clients, heads included.", sum.bytesIn)
        text.counter(
            "unstick_proxy_response_bytes_total", "Bytes of responses written to clients, heads included.",
            sum.bytesOut)
        histograms(
            "unstick_proxy_request_duration_seconds",
            "From a request's complete head to the last byte of its response.", sum.instances, \.duration, &text)
        text.family("unstick_proxy_own_answers_total", .counter, "Answers that the proxy made itself, by reason.") {
            for answer in OwnAnswer.allCases where answer != .none {
                $0.sample(["reason": "\(answer.word)"], sum.ownAnswers[Int(answer.rawValue)])
            }
        }
        text.family("unstick_proxy_retries_total", .counter, "Further tries of requests, by reason.") {
            for reason in RetryReason.allCases {
                $0.sample(["reason": "\(reason.label)"], sum.retries[Int(reason.rawValue)])
            }
        }
        text.counter("unstick_proxy_retries_denied_total", "Retries that the budget refused.", sum.retriesDenied)
        text.counter("unstick_proxy_rate_limited_total", "Requests answered 429 by a rate limit.", sum.rateLimited)
        text.counter("unstick_proxy_upgrades_total", "Connections upgraded, such as WebSocket.", sum.upgrades)
        text.counter(
            "unstick_proxy_clients_gone_total", "Requests whose client left before the answer's end.",
            sum.clientsGone)
    }

    private static func histograms(
        _ name: String, _ help: String, _ instances: [LoopMetrics.Instance],
        _ histogram: KeyPath<LoopMetrics.Instance, DurationHistogram>, _ text: inout PrometheusText
    ) {
        text.family(name, .histogram, help) { family in
            for instance in instances {
                let histogram = instance[keyPath: histogram]
                family.histogram(
                    ["instance": instance.name], bounds: DurationHistogram.boundsInSeconds,
                    counts: histogram.bucketCounts, sum: histogram.sumInSeconds)
            }
        }
    }

    private static func histogram(
        _ name: String, _ help: String, _ histogram: DurationHistogram, _ text: inout PrometheusText
    ) {
        text.family(name, .histogram, help) {
            $0.histogram(
                [:], bounds: DurationHistogram.boundsInSeconds, counts: histogram.bucketCounts,
                sum: histogram.sumInSeconds)
        }
    }

    // MARK: Connections

    private static func connections(_ sum: LoopMetrics, _ text: inout PrometheusText) {
        text.gauge(
            "unstick_proxy_client_connections_open", "Connections of clients.",
            Int(sum.connectionsAccepted &- min(sum.connectionsAccepted, sum.connectionsClosed)))
        text.counter(
            "unstick_proxy_client_connections_accepted_total", "Connections of clients that were accepted.",
            sum.connectionsAccepted)
        text.family(
            "unstick_proxy_client_connections_refused_total", .counter,
            "Connections of clients closed before a request, by reason."
        ) {
            for reason in ConnectionRefusal.allCases {
                $0.sample(["reason": "\(reason.word)"], sum.connectionsRefused[Int(reason.rawValue)])
            }
        }
        text.counter("unstick_proxy_tls_handshakes_total", "TLS handshakes completed.", sum.tlsHandshakes)
        text.counter("unstick_proxy_tls_handshake_failures_total", "TLS handshakes that failed.", sum.tlsFailures)
    }

    private static func upstreams(
        _ loops: [LoopSnapshot], _ sum: LoopMetrics, _ text: inout PrometheusText
    ) {
        var names: [String] = []
        var byName: [String: [LoopSnapshot.Upstream]] = [:]
        for upstream in loops.flatMap(\.upstreams) {
            if byName[upstream.name] == nil { names.append(upstream.name) }
            byName[upstream.name, default: []].append(upstream)
        }
        func each(
            _ name: String, _ help: String, _ value: ([LoopSnapshot.Upstream]) -> Int
        ) {
            text.family(name, .gauge, help) { family in
                for name in names { family.sample(["instance": name], value(byName[name] ?? [])) }
            }
        }
        each("unstick_proxy_upstream_up", "Whether every event loop sees the instance healthy.") {
            $0.allSatisfy(\.isHealthy) ? 1 : 0
        }
        each("unstick_proxy_upstream_ejected", "Whether outlier detection has taken the instance out.") {
            $0.contains(where: \.isEjected) ? 1 : 0
        }
        text.family(
            "unstick_proxy_upstream_breaker_state", .gauge,
            "1 for the state of the circuit breaker; the worst that any event loop sees."
        ) { family in
            for name in names {
                let states = Set((byName[name] ?? []).map(\.breaker))
                let worst: LoopSnapshot.Breaker =
                    states.contains(.open) ? .open : states.contains(.halfOpen) ? .halfOpen : .closed
                for state in LoopSnapshot.Breaker.allCases {
                    family.sample(["instance": name, "state": state.rawValue], state == worst ? 1 : 0)
                }
            }
        }
        each("unstick_proxy_upstream_requests_in_flight", "Requests forwarded and not answered to the end.") {
            $0.reduce(0) { $0 + $1.inFlight }
        }
        each("unstick_proxy_upstream_requests_waiting", "Requests that wait for a connection.") {
            $0.reduce(0) { $0 + $1.waiting }
        }
        text.family(
            "unstick_proxy_upstream_connections", .gauge, "Connections to the instance, by what they do."
        ) { family in
            for name in names {
                let all = byName[name] ?? []
                let idle = all.reduce(0) { $0 + $1.connectionsIdle }
                family.sample(["instance": name, "state": "idle"], idle)
                family.sample(
                    ["instance": name, "state": "busy"], max(0, all.reduce(0) { $0 + $1.connectionsOpen } - idle))
            }
        }
        let instances = Array(sum.instances.dropFirst())
        text.family(
            "unstick_proxy_upstream_connect_failures_total", .counter, "Connections that could not be made."
        ) { family in
            for instance in instances { family.sample(["instance": instance.name], instance.connectFailures) }
        }
        text.counter(
            "unstick_proxy_upstream_connections_opened_total", "Connections made to instances.",
            sum.upstreamConnectionsOpened)
        text.counter("unstick_proxy_upstream_ejections_total", "Ejections by outlier detection.", sum.ejections)
        text.counter(
            "unstick_proxy_upstream_breaker_openings_total", "Circuit breakers that opened.", sum.breakerOpenings)
        histograms(
            "unstick_proxy_upstream_response_duration_seconds",
            "From the request's head sent to the instance to its response head.", instances, \.response, &text)
        histograms(
            "unstick_proxy_upstream_connect_duration_seconds", "Until a new connection to the instance was there.",
            instances, \.connect, &text)
    }

    // MARK: Sessions

    private static func sessions(_ loops: [LoopSnapshot], _ sum: LoopMetrics, _ text: inout PrometheusText) {
        let counters: [(String, String, KeyPath<ProxyReport.Counters, UInt64>)] = [
            ("session_requests", "Requests with a session.", \.sessionRequests),
            ("mirrored", "Session changes written to the store.", \.mirrored),
            ("mirror_failures", "Session changes that could not be written.", \.mirrorFailures),
            ("hydrations", "Sessions given to an instance from the store.", \.hydrated),
            ("fallback_reads", "Sessions served from memory that the store lacked.", \.fallbackReads),
            ("conflicts", "Saves that another writer had overtaken.", \.conflicts),
            (
                "unserializable_sessions", "Answers whose session has attributes that cannot be serialized.",
                \.unserializable
            ),
            ("failovers", "Requests served by another instance than the first.", \.failovers),
        ]
        for (name, help, path) in counters {
            text.counter(
                "unstick_proxy_\(name)_total", help, loops.reduce(0) { $0 &+ $1.counters[keyPath: path] })
        }
        text.gauge(
            "unstick_proxy_dirty_sessions", "Sessions whose last change is not in the store.",
            loops.reduce(0) { $0 + $1.dirtySessions })
        text.gauge(
            "unstick_proxy_dirty_overflow", "Whether more were dirty than can be remembered.",
            loops.contains(where: \.dirtyOverflow) ? 1 : 0)
        text.gauge(
            "unstick_proxy_mirror_queue", "Writes to the store begun and not yet durable.",
            loops.reduce(0) { $0 + $1.mirrorQueue })
        histogram(
            "unstick_proxy_mirror_lag_seconds", "From a session's change to its being durable in the store.",
            sum.mirrorLag, &text)
        histogram(
            "unstick_proxy_store_read_duration_seconds", "Reads of a session's version.", sum.storeReads, &text)
        histogram(
            "unstick_proxy_hydrate_duration_seconds", "Giving an instance a session from the store.", sum.hydrations,
            &text)
        text.counter("unstick_proxy_store_errors_total", "Store operations that failed.", sum.storeErrors)
        // Unknown until the first operation: then there is no sample.
        text.family("unstick_proxy_store_up", .gauge, "Whether the last store operations worked.") { family in
            let known = loops.map(\.store).filter { $0 != .unknown }
            if !known.isEmpty { family.sample([:], known.contains(.down) ? 0 : 1) }
        }
    }

    // MARK: Routing

    private static func routing(_ loops: [LoopSnapshot], _ text: inout PrometheusText) {
        // The lowest that any loop is at: what all of them have done.
        guard let phase = loops.map(\.phase).min() else { return }
        text.gauge(
            "unstick_proxy_phase", "0 sticky, 1 mirroring, 2 externalized, 3 stateless, 4 completed.",
            phase.rawValue)
        text.family(
            "unstick_proxy_epoch", .gauge, "Number of the routing table that is applied, and acknowledged; 0: none."
        ) { family in
            func least(_ epochs: [Epoch?]) -> UInt64 {
                epochs.contains(nil) ? 0 : epochs.compactMap { $0?.rawValue }.min() ?? 0
            }
            family.sample(["state": "applied"], least(loops.map(\.applied)))
            family.sample(["state": "acknowledged"], least(loops.map(\.acknowledged)))
        }
    }

    // MARK: Observation itself

    private static func observation(_ sum: LoopMetrics, _ facts: ProxyFacts, _ text: inout PrometheusText) {
        text.family(
            "unstick_proxy_tls_certificate_expiry_timestamp_seconds", .gauge,
            "End of a certificate's validity, seconds since 1970."
        ) { family in
            for certificate in facts.certificates { family.sample(["name": certificate.name], certificate.expiry) }
        }
        text.counter(
            "unstick_proxy_access_log_dropped_total", "Access log lines that had no room or could not be written.",
            sum.accessLogDropped &+ facts.accessLogLost)
        guard let spans = facts.spans else { return }
        text.counter("unstick_proxy_spans_exported_total", "Spans that the collector accepted.", spans.exported)
        text.family("unstick_proxy_spans_dropped_total", .counter, "Spans that were lost, by reason.") {
            $0.sample(["reason": "queue_full"], spans.droppedQueueFull)
            $0.sample(["reason": "unreachable"], spans.droppedUnreachable)
            $0.sample(["reason": "refused"], spans.droppedRefused)
        }
        text.gauge("unstick_proxy_spans_waiting", "Spans in the export queue.", spans.waiting)
    }
}
