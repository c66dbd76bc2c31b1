import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing
import UnstickCore

@testable import UnstickTelemetry

func span(_ number: UInt64, name: String = "GET") -> Span {
    Span(
        trace: TraceID(high: 0x0af7_6519_16cd_43dd, low: 0x8448_eb21_1c80_319c)!, id: SpanID(number)!, parent: nil,
        name: name, kind: .server, startNanoseconds: 1_700_000_000_123_456_789,
        endNanoseconds: 1_700_000_000_223_456_789)
}

@Suite("Spans to a collector", .timeLimit(.minutes(1)))
struct SpanExporterTests {
    private func options(_ endpoint: String) -> SpanExporter.Options {
        var options = SpanExporter.Options(endpoint: endpoint, instance: "p1", version: "1")
        options.interval = .milliseconds(10)
        options.retryFirst = .milliseconds(5)
        options.retryTotal = .seconds(20)
        return options
    }

    /// Runs an exporter while `body` does.
    private func withExporter(_ options: SpanExporter.Options, _ body: (SpanExporter) async throws -> Void) async throws
    {
        let http = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let exporter = SpanExporter(
            options: options, http: http, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let run = Task { await exporter.run() }
        let result: Result<Void, any Error>
        do { result = .success(try await body(exporter)) } catch { result = .failure(error) }
        run.cancel()
        await run.value
        try await http.shutdown()
        try result.get()
    }

    /// Looks at the tally until it is as wanted; the time limit ends what never is.
    private func wait(_ exporter: SpanExporter, _ condition: (SpanTally) -> Bool) async throws {
        while !condition(exporter.tally) { try await Task.sleep(for: .milliseconds(5)) }
    }

    private func setScript(_ collector: Collector, _ steps: String) async throws {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(collector.port)/script")
        request.method = .POST
        request.body = .bytes(ByteBuffer(string: steps))
        _ = try await HTTPClient.shared.execute(request, timeout: .seconds(5))
    }

    @Test("OpenTelemetry's own messages read every part of a span")
    func content() async throws {
        try await Collector.with { collector in
            try await withExporter(options(collector.endpoint)) { exporter in
                var full = span(1, name: "a\"b\\c\u{1}\u{7f}é")
                full.parent = SpanID(0xb7ad_6b71_6920_3331)
                full.traceState = "rojo=1"
                full.kind = .client
                full.status = .error("it \"broke\"\n")
                full.attributes = [
                    .init("text", .text("é\t\u{0}x")), .init("number", .integer(.min)), .init("truth", .boolean(true)),
                ]
                exporter.record([full, span(2)])
                let lines = try await collector.next(2)
                let line = lines[0]
                #expect(line["trace"] as? String == "0af7651916cd43dd8448eb211c80319c")
                #expect(line["id"] as? String == "0000000000000001" && line["parent"] as? String == "b7ad6b7169203331")
                #expect(line["state"] as? String == "rojo=1" && line["name"] as? String == full.name)
                #expect(line["kind"] as? String == "SPAN_KIND_CLIENT")
                #expect(line["status"] as? String == "STATUS_CODE_ERROR")
                #expect(line["message"] as? String == "it \"broke\"\n")
                #expect((line["start"] as? NSNumber)?.uint64Value == full.startNanoseconds)
                #expect((line["end"] as? NSNumber)?.uint64Value == full.endNanoseconds)
                let attributes = try #require(line["attributes"] as? [String: Any])
                #expect(attributes["text"] as? String == "é\t\u{0}x" && attributes["truth"] as? Bool == true)
                #expect((attributes["number"] as? NSNumber)?.int64Value == .min)
                let resource = try #require(line["resource"] as? [String: Any])
                #expect(resource["service.name"] as? String == "unstick-proxy")
                #expect(resource["service.instance.id"] as? String == "p1")
                #expect(lines[1]["parent"] as? String == "" && lines[1]["kind"] as? String == "SPAN_KIND_SERVER")
                #expect(lines[1]["status"] as? String == "STATUS_CODE_UNSET")
                try await wait(exporter) { $0.exported == 2 && $0.waiting == 0 }
            }
        }
    }

    @Test("what may pass is tried again, until it is taken", arguments: [429, 502, 503, 504])
    func retries(_ status: Int) async throws {
        try await Collector.with { collector in
            try await setScript(collector, "[{\"status\":\(status)},{\"status\":\(status)}]")
            try await withExporter(options(collector.endpoint)) { exporter in
                exporter.record([span(1)])
                let lines = try await collector.next(3)
                #expect(lines[0]["answered"] as? Int == status && lines[1]["answered"] as? Int == status)
                #expect(lines[2]["id"] as? String == "0000000000000001")
                try await wait(exporter) { $0.exported == 1 }
                #expect(exporter.tally.droppedRefused == 0)
            }
        }
    }

    @Test("what the collector refuses is not sent again, and counted", arguments: [400, 401, 404, 500])
    func refused(_ status: Int) async throws {
        try await Collector.with { collector in
            try await setScript(collector, "[{\"status\":\(status)}]")
            try await withExporter(options(collector.endpoint)) { exporter in
                exporter.record([span(1), span(2)])
                try await wait(exporter) { $0.droppedRefused == 2 }
                exporter.record([span(3)])
                let lines = try await collector.next(2)
                #expect(lines[1]["id"] as? String == "0000000000000003")
            }
        }
    }

    @Test("spans that the collector takes only in part are counted apart")
    func partialSuccess() async throws {
        try await Collector.with { collector in
            try await setScript(
                collector,
                #"[{"status":200,"body":"{\"partialSuccess\":{\"rejectedSpans\":\"2\",\"errorMessage\":\"x\"}}"}]"#)
            try await withExporter(options(collector.endpoint)) { exporter in
                exporter.record([span(1), span(2), span(3)])
                try await wait(exporter) { $0.exported == 1 && $0.droppedRefused == 2 }
            }
        }
    }

    @Test("a collector that is not there costs the spans when the time is up, and nothing else")
    func unreachable() async throws {
        // Nothing listens at port 1.
        var options = options("http://127.0.0.1:1/v1/traces")
        options.retryTotal = .milliseconds(50)
        try await withExporter(options) { exporter in
            exporter.record([span(1), span(2)])
            try await wait(exporter) { $0.droppedUnreachable == 2 && $0.waiting == 0 }
        }
    }

    @Test("what waits at the end is still sent")
    func shutdown() async throws {
        try await Collector.with { collector in
            var options = options(collector.endpoint)
            options.interval = .seconds(3600)
            try await withExporter(options) { $0.record([span(7)]) }
            let lines = try await collector.next(1)
            #expect(lines[0]["id"] as? String == "0000000000000007")
        }
    }

    @Test("a full batch goes at once, in batches of the given size")
    func batches() async throws {
        try await Collector.with { collector in
            var options = options(collector.endpoint)
            options.interval = .seconds(3600)
            options.batchSize = 4
            try await withExporter(options) { exporter in
                for number in 1...8 { exporter.record([span(UInt64(number))]) }
                let ids = try await collector.next(8).compactMap { $0["id"] as? String }
                #expect(ids == (1...8).map { SpanID($0)!.description })
            }
        }
    }
}

@Suite("Waiting spans and their retries")
struct SpanQueueTests {
    @Test("what has no room is dropped as a whole request, and counted")
    func limit() {
        var queue = SpanQueue(limit: 3)
        queue.append([span(1), span(2)])
        queue.append([span(3), span(4)])
        #expect(queue.spans.count == 2 && queue.dropped == 2)
        queue.append([span(5)])
        #expect(queue.take(2).map(\.id.value) == [1, 2])
        queue.putBack([span(2)])
        #expect(queue.take(10).map(\.id.value) == [2, 5])
        #expect(queue.take(10).isEmpty)
    }

    @Test("the wait doubles up to its limit, and ends with the time")
    func backOff() {
        var retry = ExportRetry(first: .seconds(1), longest: .seconds(4), total: .seconds(30))
        var waits: [Duration] = []
        for _ in 0..<4 {
            guard case .retry(let delay, "down") = retry.decide(.failed("down"), elapsed: .zero, jitter: 1) else {
                Issue.record("no retry")
                return
            }
            waits.append(delay)
        }
        #expect(waits == [.seconds(1), .seconds(2), .seconds(4), .seconds(4)])
        #expect(retry.decide(.failed("down"), elapsed: .seconds(27), jitter: 1) == .giveUp("down"))
        #expect(
            retry.decide(.failed("down"), elapsed: .seconds(27), jitter: 0)
                == .retry(after: .seconds(2), reason: "down"))
    }

    @Test("the collector's own wait is kept, unless it is longer than the batch may wait")
    func retryAfter() {
        var retry = ExportRetry(first: .seconds(1), longest: .seconds(4), total: .seconds(30))
        #expect(
            retry.decide(.answered(503, retryAfter: 7), elapsed: .zero, jitter: 0)
                == .retry(after: .seconds(7), reason: "status 503"))
        #expect(retry.decide(.answered(429, retryAfter: 31), elapsed: .zero, jitter: 0) == .giveUp("status 429"))
        #expect(retry.decide(.answered(503, retryAfter: .max), elapsed: .zero, jitter: 0) == .giveUp("status 503"))
        #expect(
            retry.decide(.answered(502, retryAfter: -5), elapsed: .zero, jitter: 1)
                == .retry(after: .seconds(4), reason: "status 502"))
    }

    @Test(
        "only what the specification calls retryable is",
        arguments: [
            (400, false), (401, false), (413, false), (429, true), (500, false), (501, false), (502, true), (503, true),
            (504, true),
        ])
    func statuses(_ status: Int, _ isRetried: Bool) {
        var retry = ExportRetry()
        switch retry.decide(.answered(status, retryAfter: nil), elapsed: .zero, jitter: 0) {
        case .retry: #expect(isRetried)
        case .refused(let reason): #expect(!isRetried && reason == "status \(status)")
        default: Issue.record("neither")
        }
        #expect(retry.decide(.accepted(rejected: 3), elapsed: .zero, jitter: 0) == .done(rejected: 3))
    }

    @Test(
        "the number of refused spans is read in both spellings",
        arguments: [
            ("{}", 0), ("", 0), (#"{"partialSuccess":{}}"#, 0), (#"{"partialSuccess":{"rejectedSpans":"12"}}"#, 12),
            (#"{"partialSuccess": { "rejectedSpans" : 5 }}"#, 5), (#"{"partialSuccess":{"rejectedSpans":null}}"#, 0),
        ])
    func partial(_ answer: String, _ count: Int) {
        #expect(PartialSuccess.rejectedSpans(in: answer) == count)
    }
}
