import BridgeContract
import Foundation
import HTTPWire
import NIOCore
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

/// Keeps what it is given.
final class SpanList: SpanSink {
    private let list = Mutex<[[Span]]>([])
    func record(_ spans: [Span]) { list.withLock { $0.append(spans) } }
    var tally: SpanTally { SpanTally() }
    var requests: [[Span]] { list.withLock { $0 } }
}

@Suite("A loop's observer")
struct LoopObserverTests {
    static func observer(_ options: ObservationOptions) -> LoopObserver {
        LoopObserver(
            options: options, secretParameters: ["sid"], proxyName: "p1", now: .uptimeNanoseconds(5_000_000_000),
            clock: { UnixMilliseconds(1_700_000_000_000) }, random: ObservationRandom(seed: 1, 2)
        ) { "hash-of-\($0.count)" }
    }

    /// Begins a request with `head`, and gives what the instance would get of the identifying fields.
    static func begin(
        _ observer: LoopObserver, _ fields: String, isTrusted: Bool = true,
        _ change: (inout RequestObservation) -> Void = { _ in }, finish: Bool = false
    ) throws -> (lines: String, dropped: [String], response: String, request: RequestObservation) {
        let text = "GET /a?sid=SECRET HTTP/1.1\r\nHost: shop.example:8443\r\n\(fields)\r\n"
        return try withBytes(text) { bytes in
            var head = RequestHead()
            let isComplete = try head.parse(bytes)
            #expect(isComplete)
            var request = RequestObservation()
            request.started = 5_000_000_000
            observer.began(&request, head: head, bytes: bytes, isTrusted: isTrusted)
            change(&request)
            var (lines, response) = (ByteBuffer(), ByteBuffer())
            observer.writeRequestLines(request, head: bytes, to: &lines)
            observer.writeResponseLines(request, head: bytes, to: &response)
            let dropped = head.headers.filter { observer.drops($0, of: request, in: bytes) }
            if finish {
                observer.finished(
                    request, head: head, bytes: bytes, client: Array("192.0.2.7".utf8), sessionID: "abc")
            }
            return (
                String(buffer: lines), dropped.map { $0.name.text(in: bytes).lowercased() },
                String(buffer: response), request
            )
        }
    }

    private static let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"

    @Test("nothing configured: counted, and nothing is changed")
    func quiet() throws {
        let observer = Self.observer(ObservationOptions())
        #expect(!observer.rewritesFields)
        let result = try Self.begin(observer, Self.parent + "X-Request-ID: a\r\n", finish: true)
        #expect(result.lines.isEmpty && result.dropped.isEmpty && result.request.trace == nil)
        #expect(observer.metrics.requestsBegun == 1 && observer.metrics.requestsEnded == 1)
    }

    @Test("an id is passed on from a peer that is trusted, and made otherwise")
    func requestIDs() throws {
        var options = ObservationOptions()
        options.requestID = .init()
        let observer = Self.observer(options)
        let trusted = try Self.begin(observer, "x-request-id: abc-1\r\n")
        #expect(trusted.lines == "X-Request-ID: abc-1\r\n" && trusted.dropped == ["x-request-id"])
        #expect(trusted.response.isEmpty)
        let stranger = try Self.begin(observer, "x-request-id: abc-1\r\n", isTrusted: false)
        #expect(!stranger.lines.contains("abc-1") && stranger.dropped == ["x-request-id"])
        #expect(stranger.lines.utf8.count == "X-Request-ID: ".count + 34)
        let bad = try Self.begin(observer, "X-Request-ID: a b\r\n")
        #expect(!bad.lines.contains("a b"))
        #expect(try Self.begin(observer, "").lines != (try Self.begin(observer, "").lines))
        #expect(try Self.begin(observer, "X-Request-IE: a\r\nX-Request_ID: b\r\n").dropped.isEmpty)
    }

    @Test("the client is told the id when that is wanted, under the configured name")
    func response() throws {
        var options = ObservationOptions()
        options.requestID = .init()
        options.requestID?.header = "Correlation"
        options.requestID?.onResponse = true
        options.requestID?.trust = .everybody
        let result = try Self.begin(Self.observer(options), "correlation: q\r\n", isTrusted: false)
        #expect(result.response == "Correlation: q\r\n" && result.lines == "Correlation: q\r\n")
    }

    private static func tracing(_ list: SpanList, _ change: (inout ObservationOptions.Tracing) -> Void = { _ in })
        -> ObservationOptions
    {
        var options = ObservationOptions()
        options.tracing = .init(sink: list)
        options.tracing?.sample = 0
        if var tracing = options.tracing {
            change(&tracing)
            options.tracing = tracing
        }
        return options
    }

    @Test("a caller's trace goes on, with its state, and its traceparent is replaced")
    func goesOn() throws {
        let observer = Self.observer(Self.tracing(SpanList()))
        let result = try Self.begin(observer, Self.parent + "tracestate: a=1\r\n")
        #expect(result.lines.hasPrefix("traceparent: 00-0af7651916cd43dd8448eb211c80319c-"))
        #expect(!result.lines.contains("b7ad6b7169203331") && result.lines.hasSuffix("-01\r\n"))
        #expect(result.dropped == ["traceparent"])
    }

    @Test("a state that is none is left out, its trace goes on")
    func badState() throws {
        let observer = Self.observer(Self.tracing(SpanList()))
        let result = try Self.begin(observer, Self.parent + "Tracestate: A=1\r\n")
        #expect(result.dropped == ["traceparent", "tracestate"])
        #expect(result.lines.contains("0af7651916cd43dd8448eb211c80319c"))
    }

    @Test(
        "otherwise a trace begins here and no state is passed on",
        arguments: [
            "tracestate: a=1\r\n", "traceparent: 00-bad\r\ntracestate: a=1\r\n",
            parent + parent + "tracestate: a=1\r\n",
        ])
    func begins(_ fields: String) throws {
        let observer = Self.observer(Self.tracing(SpanList()))
        let result = try Self.begin(observer, fields)
        #expect(result.dropped.contains("tracestate"))
        #expect(!result.lines.contains("0af7651916cd43dd8448eb211c80319c") && result.lines.hasSuffix("-00\r\n"))
    }

    @Test("a stranger's trace is not gone on with where strangers are not believed")
    func stranger() throws {
        let observer = Self.observer(Self.tracing(SpanList()) { $0.trust = .trustedPeers })
        #expect(try !Self.begin(observer, Self.parent, isTrusted: false).lines.contains("0af7651916cd43dd"))
        #expect(try Self.begin(observer, Self.parent, isTrusted: true).lines.contains("0af7651916cd43dd"))
    }

    @Test("spans: the server's with a child for each part of the work")
    func spans() throws {
        let list = SpanList()
        let observer = Self.observer(Self.tracing(list))
        let slot = observer.slot(of: "web-1", host: "::1", port: 5001)
        let result = try Self.begin(
            observer, Self.parent + "User-Agent: curl\r\ntracestate: a=1\r\nTraceState: b=2\r\n",
            { request in
                request.instance = slot
                request.status = 404
                request.ended = 5_010_000_000
                request.phase = .externalized
                request.storeRead = .init(began: 5_000_000_000, ended: 5_001_000_000)
                request.connected = .init(began: 5_002_000_000, ended: 5_002_000_000)
                request.answered = .init(began: 5_002_000_000, ended: 5_008_000_000)
                request.mirrored = .init(began: 5_008_000_000, ended: 5_009_000_000)
                request.retries = 2
            }, finish: true)
        let spans = try #require(list.requests.first)
        let trace = try #require(result.request.trace)
        #expect(spans.map(\.name) == ["GET", "unstick.store.read", "GET", "unstick.mirror"])
        #expect(spans.map(\.kind) == [.server, .internal, .client, .internal])
        #expect(spans.dropFirst().allSatisfy { $0.parent == trace.server })
        #expect(spans[0].parent?.description == "b7ad6b7169203331" && spans[0].id == trace.server)
        #expect(spans[2].id == trace.upstream && Set(spans.map(\.id)).count == 4)
        #expect(Set(spans.map(\.trace)).count == 1 && spans.allSatisfy { $0.traceState == "a=1,b=2" })
        #expect(spans[0].startNanoseconds == 1_700_000_000_000_000_000)
        #expect(spans[0].endNanoseconds == 1_700_000_000_010_000_000)
        #expect(spans[2].startNanoseconds == 1_700_000_000_002_000_000)
        func value(_ span: Span, _ key: String) -> Span.Value? { span.attributes.first { $0.key == key }?.value }
        #expect(value(spans[0], "http.request.method") == .text("GET"))
        #expect(value(spans[0], "url.path") == .text("/a") && value(spans[0], "url.query") == nil)
        #expect(value(spans[0], "server.address") == .text("shop.example"))
        #expect(value(spans[0], "server.port") == .integer(8443))
        #expect(value(spans[0], "client.address") == .text("192.0.2.7"))
        #expect(value(spans[0], "unstick.session") == .text("hash-of-3"))
        #expect(value(spans[0], "http.response.status_code") == .integer(404))
        // The client's mistake is the caller's failure only.
        #expect(spans[0].status == .unset && spans[2].status == .error(""))
        #expect(value(spans[2], "error.type") == .text("404"))
        #expect(value(spans[2], "url.full") == .text("http://[::1]:5001/a"))
        #expect(value(spans[2], "http.request.resend_count") == .integer(2))
        for attribute in spans.flatMap(\.attributes) { #expect(!"\(attribute.value)".contains("SECRET")) }
    }

    @Test("without the sampled flag nothing is recorded, by choice of the share otherwise")
    func sampling() throws {
        let list = SpanList()
        let observer = Self.observer(Self.tracing(list) { $0.sample = 1 })
        _ = try Self.begin(observer, Self.parent.replacing("-01\r\n", with: "-00\r\n"), finish: true)
        #expect(list.requests.isEmpty)
        _ = try Self.begin(observer, "", finish: true)
        #expect(list.requests.count == 1)
    }

    @Test("made from the proxy's options it hides the session's parameter and shows the contract's hash")
    func fromOptions() async throws {
        try await AccessLogWriterTests.withFile { path in
            let writer = try AccessLogWriterTests.writer(path)
            var options = ProxyOptions(
                name: "p1", listenHost: "127.0.0.1", listenPort: 0, threads: 1, secret: ProxyFixture.secret,
                instances: [])
            options.session.urlParameter = "sid"
            options.observation.accessLog = .init(writer: writer)
            let observer = LoopObserver(options) { UnixMilliseconds(0) }
            _ = try Self.begin(observer, "", { $0.status = 200 }, finish: true)
            observer.tick(now: .uptimeNanoseconds(6_000_000_000))
            await writer.flush()
            let line = try String(contentsOfFile: path, encoding: .utf8)
            #expect(line.contains("\"session\":\"\(ProxyFixture.secret.sessionHash("abc"))\""))
            #expect(!line.contains("SECRET"))
        }
    }

    @Test("a request is logged with the hash of its session, never the id")
    func logged() async throws {
        try await AccessLogWriterTests.withFile { path in
            let writer = try AccessLogWriterTests.writer(path)
            var options = ObservationOptions()
            options.accessLog = .init(writer: writer)
            let observer = Self.observer(options)
            _ = try Self.begin(observer, "", { $0.status = 200 }, finish: true)
            observer.finished(
                RequestObservation(), head: RequestHead(), isUnderstood: false,
                bytes: UnsafeRawBufferPointer(start: nil, count: 0), client: [], sessionID: nil)
            observer.tick(now: .uptimeNanoseconds(6_000_000_000))
            await writer.flush()
            let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
            #expect(lines.count == 2)
            #expect(lines[0].contains(#""session":"hash-of-3""#) && lines[0].contains(#""query":"sid=-""#))
            #expect(lines[0].contains(#""time":"2023-11-14T22:13:20.000Z""#))
            for line in lines { _ = try JSONSerialization.jsonObject(with: Data(line.utf8)) }
        }
    }
}
