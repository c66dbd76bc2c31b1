import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Rate limits of real traffic")
struct RateLimitLiveTests {
    static let get = MetricsLiveTests.get

    @Test("a client's limit is one over all event loops; others are not concerned")
    func perClient() async throws {
        try await ProxyFixture.with(
            phase: .sticky, threads: 2,
            configure: {
                $0.resilience.rateLimits = [
                    .init(name: "each", scope: .client, count: 1, period: .seconds(3600), burst: 3)
                ]
            }
        ) { fixture in
            var statuses: [Int] = []
            var refusals: [RawAnswer] = []
            // Connections go to the loops in turn.
            for _ in 1...3 {
                let answers = try await fixture.converse([Self.get, Self.get])
                statuses += answers.map(\.status)
                refusals += answers.filter { $0.status == 429 }
            }
            #expect(statuses == [200, 200, 200, 429, 429, 429])
            for refusal in refusals {
                let seconds = refusal.field("Retry-After").flatMap { Int($0) }
                #expect(seconds.map { (3000...3600).contains($0) } == true)
            }
            #expect(try await fixture.converse([Self.get], from: "127.0.0.2").map(\.status) == [200])
            let page = await fixture.metrics()
            #expect(page["rate_limited_total"] == 3)
            #expect(page.nonzero("own_answers_total") == ["{reason=\"rate_limited\"}": 3])
            #expect(fixture.upstreams.reduce(0) { $0 + $1.requests.count } == 4)
        }
    }

    @Test(
        "a route's limit counts all clients together, for its paths and methods only; the client is a trusted proxy's word"
    )
    func perRoute() async throws {
        try await ProxyFixture.with(
            phase: .sticky, applications: 1,
            configure: {
                $0.forwarding.trustedProxies = [.init(bytes: [127, 0, 0, 1], prefixLength: 32)!]
                $0.resilience.rateLimits = [
                    .init(
                        name: "writes", pathPrefix: "/increment", methods: ["POST"], scope: .route, count: 1,
                        period: .seconds(3600), burst: 1),
                    .init(
                        name: "reads", pathPrefix: "/value", scope: .client, count: 1, period: .seconds(3600), burst: 1),
                ]
            }
        ) { fixture in
            func request(_ line: String, _ client: String) -> String {
                "\(line) HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: \(client)\r\n\r\n"
            }
            let answers = try await fixture.converse([
                request("POST /increment", "192.0.2.1"), request("POST /increment", "192.0.2.2"),
                request("GET /increment", "192.0.2.2"), request("POST /incremental", "192.0.2.2"),
                request("GET /value", "192.0.2.1"), request("GET /value", "192.0.2.2"),
                request("GET /value?x", "192.0.2.1"),
            ])
            #expect(answers.map(\.status) == [200, 429, 200, 200, 200, 200, 429])
        }
    }
}
