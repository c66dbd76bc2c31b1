import MemorySessionStore
import NIOCore
import NIOHTTP1
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Request ids and traces of real traffic")
struct TracingLiveTests {
    static let caller = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"

    static func get(_ fields: String) -> String { "GET /value HTTP/1.1\r\nHost: a:81\r\n\(fields)\r\n" }

    @Test(
        "a request id is taken from whom it is trusted, and the client is told it, also with the proxy's own answers",
        arguments: [true, false])
    func requestIDs(isTrusted: Bool) async throws {
        try await ProxyFixture.with(
            phase: .sticky, applications: 1,
            configure: {
                $0.observation.requestID = .init()
                $0.observation.requestID?.onResponse = true
                if isTrusted { $0.forwarding.trustedProxies = [.init(bytes: [127, 0, 0, 1], prefixLength: 32)!] }
            }
        ) { fixture in
            let answers = try await fixture.converse([
                Self.get("X-Request-ID: theirs\r\n"), Self.get(""),
                MetricsLiveTests.reserved.replacing("\r\n\r\n", with: "\r\nX-Request-ID: theirs-2\r\n\r\n"),
            ])
            let told = answers.map { $0.fields("X-Request-ID") }
            #expect(told.allSatisfy { $0.count == 1 })
            #expect((told[0] == ["theirs"]) == isTrusted && (told[2] == ["theirs-2"]) == isTrusted)
            #expect(told[1][0].utf8.count == 32)
            let received = fixture.upstreams[0].requests.map { $0.headers["X-Request-ID"] }
            #expect(received == Array(told.prefix(2)))
        }
    }

    @Test("a trace is gone on with where the caller is trusted, and begins here otherwise")
    func trust() async throws {
        let spans = SpanList()
        try await ProxyFixture.with(
            phase: .sticky, applications: 1,
            configure: {
                $0.observation.tracing = .init(sink: spans)
                $0.observation.tracing?.trust = .trustedPeers
                $0.observation.tracing?.sample = 1
            }
        ) { fixture in
            try await fixture.converse([Self.get(Self.caller + "tracestate: a=1\r\n")])
            let headers = try #require(fixture.upstreams[0].requests.first).headers
            #expect(headers["tracestate"].isEmpty)
            #expect(headers.first(name: "traceparent")?.contains("0af7651916cd43dd8448eb211c80319c") == false)
            let server = try #require(try await Self.requests(1, of: spans)[0].first)
            #expect(server.parent == nil)
        }
    }

    @Test("sticky: the server's span below the caller's, the instance's below it, with the ids that travel")
    func sticky() async throws {
        let spans = SpanList()
        try await ProxyFixture.with(
            phase: .sticky, applications: 1, configure: { $0.observation.tracing = .init(sink: spans) }
        ) { fixture in
            let answer = try await fixture.converse([Self.get(Self.caller + "tracestate: a=1\r\n")])[0]
            #expect(answer.field("traceparent") == nil)
            let all = try await Self.requests(1, of: spans)[0]
            try #require(all.map(\.name) == ["GET", "GET"] && all.map(\.kind) == [.server, .client])
            let (server, upstream) = (all[0], all[1])
            #expect(server.parent?.value == 0xb7ad_6b71_6920_3331)
            #expect(server.trace.high == 0x0af7_6519_16cd_43dd && upstream.trace == server.trace)
            #expect(upstream.parent == server.id && all.allSatisfy { $0.traceState == "a=1" })
            let headers = try #require(fixture.upstreams[0].requests.first).headers
            let id = String(upstream.id.value, radix: 16)
            let padded = String(repeating: "0", count: 16 - id.count) + id
            #expect(headers["traceparent"] == ["00-0af7651916cd43dd8448eb211c80319c-\(padded)-01"])
            #expect(headers["tracestate"] == ["a=1"])
            expectInside(upstream, server)
            #expect(server.attributes.contains(.init("unstick.phase", .text("sticky"))))
            #expect(server.attributes.contains(.init("unstick.instance", .text("web-1"))))
            #expect(server.attributes.contains(.init("http.response.status_code", .integer(200))))
            #expect(server.attributes.contains(.init("server.port", .integer(81))))
            #expect(upstream.attributes.contains(.init("server.port", .integer(Int64(fixture.upstreams[0].port)))))
        }
    }

    /// The spans of so many requests. A client may have its answer a moment before the request's end is recorded.
    private static func requests(_ count: Int, of spans: SpanList) async throws -> [[Span]] {
        try await eventually("\(count) requests") { spans.requests.count >= count ? spans.requests : nil }
    }

    private func expectInside(_ child: Span, _ parent: Span, _ location: SourceLocation = #_sourceLocation) {
        #expect(
            child.startNanoseconds >= parent.startNanoseconds && child.endNanoseconds <= parent.endNanoseconds,
            sourceLocation: location)
    }

    @Test("mirroring: the write to the store is a span as long as it took, and a read has none")
    func mirroring() async throws {
        let spans = SpanList()
        try await ProxyFixture.with(
            phase: .mirroring, applications: 1,
            configure: {
                $0.observation.tracing = .init(sink: spans)
                $0.observation.tracing?.sample = 1
            }
        ) { fixture in
            let browser = Browser(fixture)
            fixture.faults.hold([.save])
            async let answer = browser.increment()
            await fixture.faults.untilHeld(1)
            try await Task.sleep(for: .milliseconds(50))
            fixture.faults.release()
            _ = try await answer
            fixture.faults.heal()
            try await browser.value()
            let requests = try await Self.requests(2, of: spans)
            #expect(requests.map { $0.map(\.name) } == [["POST", "POST", "unstick.mirror"], ["GET", "GET"]])
            let all = requests[0]
            let (server, upstream, mirror) = (all[0], all[1], all[2])
            #expect(mirror.parent == server.id && mirror.kind == .internal && mirror.trace == server.trace)
            #expect(mirror.endNanoseconds - mirror.startNanoseconds >= 45_000_000)
            #expect(mirror.startNanoseconds >= upstream.endNanoseconds)
            #expect(upstream.endNanoseconds - upstream.startNanoseconds < 45_000_000)
            expectInside(mirror, server)
        }
    }

    @Test(
        "the store's authority: the read of the version, and where the instance lacks the session its hydration",
        arguments: [Phase.externalized, .stateless])
    func storeAuthority(phase: Phase) async throws {
        let spans = SpanList()
        try await ProxyFixture.with(
            phase: phase, applications: 1,
            configure: {
                $0.observation.tracing = .init(sink: spans)
                $0.observation.tracing?.sample = 1
            }
        ) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            try await browser.value()
            fixture.applications[0].memory.withLock { $0.sessions = [:] }
            #expect(try await browser.value().count == 1)
            let requests = try await Self.requests(3, of: spans)
            let names = requests.map { $0.map(\.name) }
            #expect(names[1] == ["GET", "unstick.store.read", "GET"])
            #expect(names[2] == ["GET", "unstick.store.read", "unstick.hydrate", "GET"])
            for request in requests {
                for child in request.dropFirst() {
                    #expect(child.parent == request[0].id)
                    expectInside(child, request[0])
                }
            }
            // Every span has an id of its own.
            let ids = requests.flatMap { $0 }.map(\.id.value)
            #expect(Set(ids).count == ids.count)
        }
    }
}
