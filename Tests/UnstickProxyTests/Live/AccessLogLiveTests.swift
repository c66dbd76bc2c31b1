import BridgeContract
import MemorySessionStore
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Access log of real traffic")
struct AccessLogLiveTests {
    @Test("JSON: a line per request with what was sent, by whom it was served, and hashes in place of session ids")
    func json() async throws {
        try await LogFile.with { log in
            let spans = SpanList()
            try await ProxyFixture.with(
                phase: .mirroring, applications: 1,
                configure: {
                    $0.observation.accessLog = .init(writer: log.writer)
                    $0.observation.requestID = .init()
                    $0.observation.requestID?.trust = .everybody
                    $0.observation.requestID?.onResponse = true
                    $0.observation.tracing = .init(sink: spans)
                    $0.observation.tracing?.sample = 0
                    $0.session.urlParameter = "sid"
                }
            ) { fixture in
                let browser = Browser(fixture)
                try await browser.increment()
                let id = try #require(browser.cookies["session"])
                let hash = ProxyFixture.secret.sessionHash(id)
                let fields = "Host: shop.example\r\nUser-Agent: \"q\"\r\n"
                let sent = [
                    "POST /increment HTTP/1.1\r\n\(fields)Cookie: a=b; session=\(id)\r\nContent-Length: 2\r\n\r\nxy",
                    "GET /value?q=1&sid=\(id)&z HTTP/1.1\r\n\(fields)Referer: http://r/?sid=\(id)\r\n"
                        + "X-Request-ID: mine-1\r\n"
                        + "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n\r\n",
                    "GET /v;sid=\(id)/x HTTP/1.1\r\n\(fields)\r\n",
                    "GET \(BridgeHeader.endpointPrefix)sessions/none HTTP/1.1\r\n\(fields)\r\n",
                ]
                let answers = try await fixture.converse(sent)
                try await fixture.converse(["BAD \(id)\r\nCookie: session=\(id)\r\n\r\n"])
                let entries = try await log.entries(6)
                let own = Array(entries[1...4])
                #expect(own.map { $0.number("status") } == [200, 200, 200, 404])
                #expect(own.map { $0.text("method") } == ["POST", "GET", "GET", "GET"])
                #expect(own.map { $0.number("bytes_in") } == sent.map(\.utf8.count))
                #expect(own.map { $0.number("bytes_out") } == answers.map(\.bytes))
                #expect(own.map { $0.text("instance") } == ["web-1", "web-1", "web-1", "-"])
                #expect(entries.allSatisfy { $0.text("phase") == "mirroring" })
                #expect(own.map { $0.text("session") } == [hash, hash, hash, nil])
                #expect(own.map { $0.text("own_answer") } == [nil, nil, nil, "reserved_path"])
                #expect(own.allSatisfy { $0.text("host") == "shop.example" && $0.text("user_agent") == "\"q\"" })
                #expect(entries.allSatisfy { $0.text("client") == "127.0.0.1" && $0.number("retries") == 0 })
                #expect(own.allSatisfy { $0.text("protocol") == "HTTP/1.1" })
                #expect(own.allSatisfy { $0.seconds("duration").map { $0 >= 0 && $0 < 10 } == true })
                #expect(own[1].text("query") == "q=1&sid=-&z" && own[1].text("referer") == "http://r/?sid=-")
                #expect(own[2].text("path") == "/v;sid=-/x")
                // What the client is told, what the instance is told, and what the log says are the same.
                #expect(own.map { $0.text("request_id") } == answers.map { $0.field("X-Request-ID") })
                let received = fixture.upstreams[0].requests.suffix(3)
                #expect(
                    own.prefix(3).map { $0.text("request_id") }
                        == received.map { $0.headers.first(name: "X-Request-ID") })
                #expect(own[1].text("request_id") == "mine-1")
                #expect(Set(own.map { $0.text("request_id") }).count == 4)
                #expect(own[1].text("trace_id") == "0af7651916cd43dd8448eb211c80319c")
                for (entry, request) in zip(own, received) {
                    let parts = request.headers.first(name: "traceparent")?.split(separator: "-") ?? []
                    #expect(parts.count == 4 && parts[1] == entry.text("trace_id") ?? "" && parts[3] == "00")
                    #expect(parts.count == 4 && parts[2] != "b7ad6b7169203331")
                }
                #expect(own[0].seconds("mirror") != nil && own[3].seconds("mirror") == nil)
                // A head that is none: nothing of it is told.
                #expect(entries[5].number("status") == 400 && entries[5].text("own_answer") == "bad_request")
                #expect(entries[5].text("method") == "" && entries[5].text("instance") == "-")
                #expect(!log.text.contains(id))
                #expect(spans.requests.isEmpty)
            }
        }
    }

    @Test("combined: bytes are the body's, of the proxy's own answers too")
    func combined() async throws {
        try await LogFile.with { log in
            try await ProxyFixture.with(
                phase: .sticky, applications: 1,
                configure: {
                    $0.observation.accessLog = .init(writer: log.writer)
                    $0.observation.accessLog?.format = .combined
                    $0.session.urlParameter = "sid"
                }
            ) { fixture in
                let answers = try await fixture.converse([
                    "GET /value?sid=topsecret HTTP/1.1\r\nHost: a\r\nReferer: http://r/\r\nUser-Agent: u\r\n\r\n",
                    "HEAD /value HTTP/1.1\r\nHost: a\r\n\r\n",
                    "GET \(BridgeHeader.endpointPrefix)x HTTP/1.1\r\nHost: a\r\n\r\n",
                ])
                let time = "[14/Nov/2023:22:13:20 +0000]"
                let lines = try await log.lines(3).map { line in
                    // Seconds pass between the start and the request.
                    line.replacing(/\[14\/Nov\/2023:22:1\d:\d\d \+0000\]/, with: time)
                }
                #expect(lines[0] == "127.0.0.1 - - \(time) \"GET /value?sid=- HTTP/1.1\" 200 1 \"http://r/\" \"u\"")
                #expect(lines[1] == "127.0.0.1 - - \(time) \"HEAD /value HTTP/1.1\" 200 0 \"-\" \"-\"")
                let path = "\(BridgeHeader.endpointPrefix)x"
                #expect(
                    lines[2]
                        == "127.0.0.1 - - \(time) \"GET \(path) HTTP/1.1\" 404 \(answers[2].body.utf8.count) \"-\" \"-\""
                )
            }
        }
    }

    @Test("a client that leaves, and a request that was tried again, each leave one line that says so")
    func leaversAndRetries() async throws {
        try await LogFile.with { log in
            try await ProxyFixture.with(
                phase: .mirroring, applications: 2,
                configure: {
                    $0.observation.accessLog = .init(writer: log.writer)
                    $0.balance = .roundRobin
                }
            ) { fixture in
                fixture.faults.hold([.save])
                try await fixture.sendAndHangUp(MetricsLiveTests.post) { await fixture.faults.untilHeld(1) }
                await fixture.untilOrphaned()
                fixture.faults.release()
                fixture.faults.heal()
                let gone = try await log.entries(1)[0]
                #expect(gone.flag("client_gone") && gone.number("status") == 0 && gone.number("bytes_out") == 0)
                #expect(gone.text("instance") != "-" && gone.text("method") == "POST")
                #expect(gone.seconds("mirror") != nil)

                await fixture.upstreams[1].close()
                try await fixture.strangers(2)
                let entries = try await log.entries(3)
                #expect(entries.dropFirst().compactMap { $0.number("retries") }.max() == 1)
                #expect(entries.dropFirst().allSatisfy { $0.text("instance") == "web-1" })
                #expect(entries.dropFirst().allSatisfy { $0.text("own_answer") == nil })
            }
        }
    }

    @Test("what is refused before it is routed is told under the phase of the time, and a stop loses no line")
    func stops() async throws {
        try await LogFile.with { log in
            try await ProxyFixture.with(
                phase: .stateless, configure: { $0.observation.accessLog = .init(writer: log.writer) }
            ) { fixture in
                try await fixture.converse([MetricsLiveTests.reserved])
                try await fixture.converse(["X\r\n\r\n"])
                fixture.proxy.stop()
            }
            let entries = try await log.entries(2)
            #expect(entries.map { $0.text("phase") } == ["stateless", "stateless"])
        }
    }
}
