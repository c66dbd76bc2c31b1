import ControlAPI
import Foundation
import HTTPWire
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Metrics of the data plane")
struct LoopMetricsTests {
    @Test(
        "a duration falls into the first bucket whose bound it does not exceed",
        arguments: [
            (0, 0), (1, 0), (249_999, 0), (250_000, 0), (250_001, 1), (500_000, 1), (500_001, 2), (1_000_000, 2),
            (1_000_001, 3), (2_500_000, 3), (2_500_001, 4), (59_999_999_999, 16), (60_000_000_000, 16),
            (60_000_000_001, 17), (UInt64.max, 17),
        ] as [(UInt64, Int)])
    func buckets(_ nanoseconds: UInt64, _ bucket: Int) {
        #expect(DurationHistogram.bucket(nanoseconds) == bucket)
    }

    @Test("every bound and its neighbours fall where a plain search puts them")
    func everyBound() {
        func plain(_ value: UInt64) -> Int {
            DurationHistogram.bounds.indices.first { value <= DurationHistogram.bounds[$0] } ?? 17
        }
        for index in DurationHistogram.bounds.indices {
            let bound = DurationHistogram.bounds[index]
            for value in [bound - 1, bound, bound + 1] { #expect(DurationHistogram.bucket(value) == plain(value)) }
        }
        for shift in 0..<64 {
            let power: UInt64 = 1 << UInt64(shift)
            for value in [power - 1, power, power + 1] { #expect(DurationHistogram.bucket(value) == plain(value)) }
        }
    }

    private static func request(
        slot: UInt16, status: UInt16, _ change: (inout RequestObservation) -> Void = { _ in }
    ) -> RequestObservation {
        var request = RequestObservation()
        request.instance = slot
        request.status = status
        request.started = 1_000
        request.ended = 3_001_000
        request.bytesIn = 10
        request.bytesOut = 20
        change(&request)
        return request
    }

    @Test("an instance keeps its slot, unknown ones share the first, and there is a limit")
    func slots() {
        var metrics = LoopMetrics()
        let first = metrics.slot(of: "web-1")
        #expect(first == 1 && metrics.slot(of: "web-2") == 2 && metrics.slot(of: "web-1") == first)
        for number in 0..<2000 { _ = metrics.slot(of: "x\(number)") }
        #expect(metrics.instances.count == LoopMetrics.instancesMax + 1)
        #expect(metrics.slot(of: "one more") == LoopMetrics.noInstance)
        metrics.record(Self.request(slot: 60_000, status: 200), method: .get)
        #expect(metrics.instances[0].duration.count == 1)
    }

    @Test("loops are summed by the instance's name, whatever their slots")
    func sums() {
        var one = LoopMetrics()
        var two = LoopMetrics()
        _ = one.slot(of: "a")
        _ = two.slot(of: "b")
        let a = two.slot(of: "a")
        one.record(Self.request(slot: 1, status: 200), method: .get)
        two.record(Self.request(slot: a, status: 200), method: .get)
        two.record(Self.request(slot: a, status: 999), method: .post)
        one.retried(.refused)
        two.retried(.refused)
        two.refused(.limit)
        one.storeErrors = 3
        two.storeErrors = 4
        var sum = LoopMetrics()
        sum.add(one)
        sum.add(two)
        let instance = sum.instances.first { $0.name == "a" }
        #expect(instance?.requests[6 + 2] == 2)
        #expect(instance?.requests[Int(RequestMethod.post.rawValue) * 6] == 1)
        #expect(instance?.duration.count == 3 && instance?.duration.sum == 9_000_000)
        #expect(sum.bytesIn == 30 && sum.bytesOut == 60 && sum.requestsEnded == 3)
        #expect(sum.retries[Int(RetryReason.refused.rawValue)] == 2)
        #expect(sum.connectionsRefused[0] == 1 && sum.storeErrors == 7)
    }

    @Test("counters by reason have a place for each")
    func reasons() {
        let metrics = LoopMetrics()
        #expect(metrics.ownAnswers.count == OwnAnswer.allCases.count)
        #expect(metrics.retries.count == RetryReason.allCases.count)
        #expect(metrics.connectionsRefused.count == ConnectionRefusal.allCases.count)
        #expect(RequestMethod.labels.count == LoopMetrics.Instance.methods)
    }

    // MARK: Text

    static func text(
        _ change: (inout LoopMetrics) -> Void = { _ in }, upstream: (inout LoopSnapshot.Upstream) -> Void = { _ in }
    ) -> String {
        var metrics = LoopMetrics()
        _ = metrics.slot(of: "web-1")
        change(&metrics)
        var instance = LoopSnapshot.Upstream(name: "web-1", isHealthy: true, inFlight: 2)
        upstream(&instance)
        let loop = LoopSnapshot(
            metrics: metrics, counters: .init(), dirtySessions: 3, dirtyOverflow: false,
            mirrorQueue: 1, store: .up, phase: .mirroring, applied: Epoch(7), acknowledged: Epoch(6),
            isStopping: false, upstreams: [instance])
        var other = loop
        other.acknowledged = Epoch(7)
        other.store = .down
        var spans = SpanTally()
        spans.droppedQueueFull = 9
        var text = PrometheusText()
        ProxyMetrics.write(
            [loop, other],
            ProxyFacts(
                name: "p\"1\\\n", certificates: [("shop.example", 1_800_000_000)], spans: spans, accessLogLost: 2),
            to: &text)
        ProcessUsage.current()?.write(to: &text)
        return text.text
    }

    @Test("what happened stands in the text, summed over the loops")
    func content() {
        let text = Self.text { metrics in
            metrics.record(
                Self.request(slot: 1, status: 200) {
                    $0.answered = .init(began: 1_000, ended: 2_001_000)
                    $0.mirrored = .init(began: 5, ended: 300_005)
                }, method: .get)
            metrics.record(
                Self.request(slot: 0, status: 429) { $0.ownAnswer = .rateLimited }, method: .other)
        }
        for line in [
            #"unstick_proxy_requests_total{instance="web-1",code="2xx",method="GET"} 2"#,
            #"unstick_proxy_requests_total{instance="-",code="4xx",method="other"} 2"#,
            #"unstick_proxy_requests_total{instance="web-1",code="5xx",method="GET"} 0"#,
            #"unstick_proxy_own_answers_total{reason="rate_limited"} 2"#,
            #"unstick_proxy_request_duration_seconds_bucket{instance="web-1",le="0.0025"} 0"#,
            #"unstick_proxy_request_duration_seconds_bucket{instance="web-1",le="0.005"} 2"#,
            #"unstick_proxy_request_duration_seconds_bucket{instance="web-1",le="+Inf"} 2"#,
            #"unstick_proxy_request_duration_seconds_sum{instance="web-1"} 0.006"#,
            #"unstick_proxy_request_duration_seconds_count{instance="web-1"} 2"#,
            #"unstick_proxy_upstream_response_duration_seconds_count{instance="web-1"} 2"#,
            #"unstick_proxy_mirror_lag_seconds_bucket{le="0.0005"} 2"#,
            "unstick_proxy_dirty_sessions 6", "unstick_proxy_mirror_queue 2", "unstick_proxy_phase 1",
            #"unstick_proxy_epoch{state="applied"} 7"#, #"unstick_proxy_epoch{state="acknowledged"} 6"#,
            "unstick_proxy_store_up 0", #"unstick_proxy_upstream_up{instance="web-1"} 1"#,
            #"unstick_proxy_upstream_requests_in_flight{instance="web-1"} 4"#,
            #"unstick_proxy_info{name="p\"1\\\n"} 1"#, "unstick_proxy_access_log_dropped_total 2",
            #"unstick_proxy_spans_dropped_total{reason="queue_full"} 9"#,
            #"unstick_proxy_tls_certificate_expiry_timestamp_seconds{name="shop.example"} 1800000000"#,
        ] { #expect(text.contains("\n\(line)\n"), "\(line)") }
        #expect(!text.contains(#"instance="web-1",code="4xx",method="POST""#))
    }

    @Test("the worst that a loop sees of an instance is shown")
    func worst() {
        let text = Self.text(upstream: {
            $0.isHealthy = false
            $0.breaker = .halfOpen
            $0.isEjected = true
        })
        #expect(text.contains(#"unstick_proxy_upstream_up{instance="web-1"} 0"#))
        #expect(text.contains(#"unstick_proxy_upstream_ejected{instance="web-1"} 1"#))
        #expect(text.contains(#"unstick_proxy_upstream_breaker_state{instance="web-1",state="half_open"} 1"#))
        #expect(text.contains(#"unstick_proxy_upstream_breaker_state{instance="web-1",state="closed"} 0"#))
    }

    @Test("buckets are cumulative and end in the count")
    func cumulative() {
        var text = PrometheusText()
        text.family("x_seconds", .histogram, "X\\\n.") {
            $0.histogram(["a": "b"], bounds: [0.1, 1], counts: [1, 2, 3], sum: 1.5)
        }
        text.family("nothing", .gauge, "Left out.") { _ in }
        #expect(
            text.text == """
                # HELP x_seconds X\\\\\\n.
                # TYPE x_seconds histogram
                x_seconds_bucket{a="b",le="0.1"} 1
                x_seconds_bucket{a="b",le="1"} 3
                x_seconds_bucket{a="b",le="+Inf"} 6
                x_seconds_sum{a="b"} 1.5
                x_seconds_count{a="b"} 6

                """)
    }

    @Test("Prometheus's own checker has nothing to say")
    func promtool() throws {
        let complaints = try Promtool.check(Self.text { $0.record(Self.request(slot: 1, status: 200), method: .get) })
        #expect(complaints == "")
        // It would.
        #expect(try Promtool.check("# TYPE x counter\nx{ 1\n") != "")
    }

    @Test("no family is written twice")
    func distinct() {
        let names = Self.text().split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }
            .map { $0.split(separator: " ")[2] }
        #expect(names.count == Set(names).count && names.count > 50)
    }

    @Test("the process's own numbers come from /proc, whatever its name")
    func process() throws {
        let fields = (3...52).map { number in
            [14: "250", 15: "50", 20: "4", 22: "1000", 23: "1048576", 24: "10"][number] ?? "0"
        }
        let usage = try #require(
            ProcessUsage(
                stat: "17 (a) b (c) " + fields.joined(separator: " ") + "\n",
                systemStat: "cpu 1 2\nbtime 1700000000\n", ticksPerSecond: 100, pageBytes: 4096, openDescriptors: 3,
                descriptorLimit: nil))
        #expect(usage.cpuSeconds == 3 && usage.residentBytes == 40_960 && usage.virtualBytes == 1_048_576)
        #expect(usage.threads == 4 && usage.startTime == 1_700_000_010)
        #expect(
            ProcessUsage(
                stat: "17 (a", systemStat: "", ticksPerSecond: 100, pageBytes: 1, openDescriptors: nil,
                descriptorLimit: nil) == nil)
        let own = try #require(ProcessUsage.current())
        #expect(own.residentBytes > 1 << 20 && (own.openDescriptors ?? 0) > 2 && own.threads >= 1)
        let start = try #require(own.startTime)
        #expect(abs(start - Date().timeIntervalSince1970) < 86_400)
    }
}

/// `promtool check metrics`, of Debian's `prometheus`.
enum Promtool {
    /// What it prints; empty when all is well.
    static func check(_ text: String) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/promtool")
        process.arguments = ["check", "metrics"]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        try process.run()
        // Read beside the writing: either pipe may fill up.
        let writer = input.fileHandleForWriting
        DispatchQueue.global().async {
            try? writer.write(contentsOf: Data(text.utf8))
            try? writer.close()
        }
        let answer = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return answer.isEmpty && process.terminationStatus != 0 ? "status \(process.terminationStatus)" : answer
    }
}
