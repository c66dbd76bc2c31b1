import NIOHTTP1
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Balancing of real traffic")
struct BalancingLiveTests {
    @Test(
        "an instance that joins serves, one without weight gets nothing new, and one that leaves is not asked any more")
    func runTime() async throws {
        try await ProxyFixture.with(phase: .sticky, applications: 3) { fixture in
            let third = fixture.link.table.instances[2]
            await fixture.link.waitForAcknowledgement(
                of: fixture.link.publish { $0.instances.removeLast() })
            for _ in 0..<6 { try await Browser(fixture).value() }
            #expect(fixture.upstreams[2].requests.isEmpty)
            await fixture.link.waitForAcknowledgement(
                of: fixture.link.publish {
                    $0.instances.append(third)
                    $0.instances[0].weight = 0
                })
            let before = fixture.upstreams.map(\.requests.count)
            for _ in 0..<6 { try await Browser(fixture).value() }
            let served = zip(fixture.upstreams.map(\.requests.count), before).map { $0 - $1 }
            #expect(served == [0, 3, 3])
        }
    }

    @Test("without weight an instance keeps its sessions")
    func weightless() async throws {
        try await ProxyFixture.with(phase: .sticky) { fixture in
            let browser = Browser(fixture)
            browser.cookies["UNSTICK"] = fixture.affinity("web-2")
            try await browser.increment()
            await fixture.link.waitForAcknowledgement(of: fixture.link.publish { $0.instances[1].weight = 0 })
            #expect(try await browser.increment().count == 2)
            for _ in 1...4 { try await Browser(fixture).value() }
            #expect(fixture.upstreams[1].requests.count == 2)
        }
    }

    @Test(
        "new work goes round by weight, exactly; without weights in turn",
        arguments: [
            (ProxyOptions.Balance.Method.weightedRoundRobin, [12, 8, 4]), (.roundRobin, [8, 8, 8]),
        ])
    func weights(method: ProxyOptions.Balance.Method, expected: [Int]) async throws {
        try await ProxyFixture.with(
            phase: .sticky, applications: 3, configure: { $0.balance = .init(method) }
        ) { fixture in
            await fixture.link.waitForAcknowledgement(
                of: fixture.link.publish {
                    for index in 0..<3 { $0.instances[index].weight = 3 - index }
                })
            try await fixture.converse(Array(repeating: MetricsLiveTests.get, count: 24))
            #expect(fixture.upstreams.map(\.requests.count) == expected)
        }
    }

    @Test("a session lands on the same instance from every proxy when the choice is consistent")
    func consistent() async throws {
        let consistent: (inout ProxyOptions) -> Void = { $0.balance = .init(.consistent) }
        try await ProxyFixture.with(phase: .completed, applications: 3, configure: consistent) { first in
            try await ProxyFixture.with(phase: .completed, applications: 0, threads: 2, configure: consistent) {
                second in
                await second.use(first.link.table.instances)
                for proxy in [first, second] {
                    try await proxy.converse(
                        (1...30).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\nCookie: session=s\($0)\r\n\r\n" })
                }
                let served = first.upstreams.map { $0.requests.map(\.uri) }
                #expect(served.allSatisfy { !$0.isEmpty })
                for uris in served {
                    for uri in Set(uris) { #expect(uris.count { $0 == uri } == 2) }
                }
            }
        }
    }

    @Test("beyond 64 instances: a home that is down is left for one that is not, and no other is mistaken for it")
    func manyInstances() async throws {
        try await ProxyFixture.with(phase: .sticky, applications: 1) { fixture in
            let live = fixture.upstreams[0].url
            let dead = try await TestUpstream(group: fixture.group) { _ in .text("") }
            await dead.close()
            // Of 70 only three take new work: one that is down, the one that is not 64 places behind it, and the last.
            let instances = (0..<70).map { index in
                RoutingTable.Instance(
                    name: "web-\(index)", url: index == 66 ? live : dead.url,
                    weight: [2, 66, 69].contains(index) ? 1 : 0)
            }
            await fixture.use(instances)
            try await fixture.strangers(4)
            for home in ["web-2", "web-69"] {
                let browser = Browser(fixture)
                browser.cookies["UNSTICK"] = fixture.affinity(home)
                let first = try await browser.increment().count
                #expect(first == 1 && browser.cookies["UNSTICK"] == fixture.affinity("web-66"))
                let second = try await browser.increment().count
                #expect(second == 2)
            }
        }
    }
}
