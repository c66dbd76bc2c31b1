import NIOCore
import NIOHTTP1
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Retries of real traffic")
struct RetryLiveTests {
    @Test("an instance that refuses connections costs work without a home nothing: another does it, once")
    func otherInstance() async throws {
        try await ProxyFixture.with(phase: .sticky, configure: { $0.balance = .roundRobin }) { fixture in
            await fixture.upstreams[0].close()
            for _ in 1...6 {
                let count = try await Browser(fixture).increment().count
                #expect(count == 1)
            }
            #expect(fixture.upstreams[1].requests.count == 6)
            let page = await fixture.metrics()
            let refused = page.of("web-1", "upstream_connect_failures_total") ?? 0
            #expect(refused >= 2)
            #expect(page.nonzero("retries_total") == ["{reason=\"refused\"}": refused])
            #expect(page.requests("web-2", "2xx", "POST") == 6)
        }
    }

    @Test(
        "a home without a substitute, and the last instance there is, are tried again after a pause",
        arguments: [Phase.mirroring, .sticky])
    func sameInstance(phase: Phase) async throws {
        try await ProxyFixture.with(
            phase: phase, applications: phase == .sticky ? 1 : 2,
            configure: {
                $0.resilience.retries.count = 10
                $0.resilience.retries.delay = .milliseconds(400)
                $0.resilience.retries.delayMax = .milliseconds(400)
            }
        ) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            let home = try fixture.home(of: browser)
            let application = fixture.applications[home]
            await fixture.upstreams[home].close()
            try await fixture.dropConnections()
            async let answer = browser.increment()
            try await fixture.untilMetrics("the first try") { $0["retries_total{reason=\"refused\"}"] ?? 0 >= 1 }
            let again = try await TestUpstream(group: fixture.group, port: fixture.upstreams[home].port) {
                application.answer($0)
            }
            let count = try await answer.count
            #expect(count == 2)
            #expect(application.memory.withLock { $0.applicationRuns } == 2)
            await again.close()
        }
    }

    @Test("one that does not come back is given up after so many tries, with 503 and Retry-After")
    func givesUp() async throws {
        try await ProxyFixture.with(
            phase: .mirroring,
            configure: {
                $0.resilience.retries.count = 2
                $0.resilience.retries.delay = .milliseconds(1)
            }
        ) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            let home = try fixture.home(of: browser)
            await fixture.upstreams[home].close()
            try await fixture.dropConnections()
            let answer = try await browser.increment()
            #expect(answer.status == 503 && answer.headers["Retry-After"] == ["1"])
            let page = await fixture.metrics()
            #expect(page.of("web-\(home + 1)", "upstream_connect_failures_total") == 3)
            #expect(page["retries_total{reason=\"refused\"}"] == 2)
            #expect(page.nonzero("own_answers_total") == ["{reason=\"connect_failed\"}": 1])
            #expect(fixture.applications[1 - home].memory.withLock { $0.applicationRuns } == 0)
        }
    }

    struct Repeated: Sendable {
        var method: HTTPMethod
        var key = false
        var body = ""
        var status: Int
        var seen: Int
    }

    @Test(
        "a kept connection that the instance closed: what may be repeated is, with its body; what may not is not",
        arguments: [
            Repeated(method: .GET, status: 200, seen: 2), Repeated(method: .PUT, body: "whole", status: 200, seen: 2),
            Repeated(method: .POST, key: true, body: "whole", status: 200, seen: 2),
            Repeated(method: .POST, body: "whole", status: 502, seen: 1), Repeated(method: .POST, status: 502, seen: 1),
        ])
    func staleConnection(_ repeated: Repeated) async throws {
        try await ProxyFixture.with(phase: .sticky, applications: 0) { fixture in
            let calls = Mutex(0)
            let upstream = try await TestUpstream(group: fixture.group) { request in
                guard request.uri == "/second" else { return .text("first") }
                let call = calls.withLock { count in
                    count += 1
                    return count
                }
                return call == 1 ? UpstreamAnswer(hangsUp: true) : UpstreamAnswer(body: request.body)
            }
            await fixture.use([.init(name: "web-1", url: upstream.url)])
            let length =
                repeated.body.isEmpty && repeated.method == .GET
                ? "" : "Content-Length: \(repeated.body.utf8.count)\r\n"
            let answers = try await fixture.converse([
                "GET /first HTTP/1.1\r\nHost: a\r\n\r\n",
                "\(repeated.method.rawValue) /second HTTP/1.1\r\nHost: a\r\n\(length)"
                    + (repeated.key ? "Idempotency-Key: \"k\"\r\n" : "") + "\r\n\(repeated.body)",
            ])
            #expect(answers[1].status == repeated.status)
            if repeated.status == 200 { #expect(answers[1].body == repeated.body) }
            #expect(calls.withLock { $0 } == repeated.seen)
            let page = await fixture.metrics()
            #expect(page["retries_total{reason=\"stale_connection\"}"] == (repeated.seen == 2 ? 1 : 0))
            await upstream.close()
        }
    }

    @Test("a fresh connection that is closed without an answer is not tried again: the application may have acted")
    func unanswered() async throws {
        try await ProxyFixture.with(phase: .sticky, applications: 0) { fixture in
            let upstream = try await TestUpstream(group: fixture.group) { _ in UpstreamAnswer(hangsUp: true) }
            await fixture.use([.init(name: "web-1", url: upstream.url), .init(name: "web-2", url: upstream.url)])
            #expect(try await Browser(fixture).request(.GET, "/").status == 502)
            #expect(upstream.requests.count == 1)
            await upstream.close()
        }
    }

    @Test("when all instances are down the budget bounds the tries, and what it refuses is counted")
    func budget() async throws {
        try await ProxyFixture.with(
            phase: .sticky, applications: 1,
            configure: {
                $0.resilience.retries.budgetPercent = 0
                $0.resilience.retries.budgetMinimum = 1
                $0.resilience.retries.delay = .milliseconds(1)
            }
        ) { fixture in
            await fixture.upstreams[0].close()
            try await fixture.strangers(20, get: 503)
            let page = await fixture.metrics()
            // Ten within ten seconds: three for each of the first three, one for the fourth.
            #expect(page["retries_total{reason=\"refused\"}"] == 10)
            #expect(page.of("web-1", "upstream_connect_failures_total") == 30)
            #expect(page["retries_denied_total"] == 17)
        }
    }
}
