import BridgeContract
import ControlAPI
import NIOCore
import NIOHTTP1
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Breaker, ejection and health checks of real instances")
struct ConditionLiveTests {
    @Test("the breaker opens when connections fail, a failed probe opens it again, a good one closes it")
    func breaker() async throws {
        try await ProxyFixture.with(
            phase: .sticky,
            configure: {
                $0.balance = .roundRobin
                $0.resilience.breaker.openTime = .milliseconds(50)
                $0.resilience.ejection.consecutiveGatewayErrors = nil
            }
        ) { fixture in
            await fixture.upstreams[0].close()
            try await fixture.strangers(6)
            // Three failures open it, and each probe that fails opens it again: nothing else has tried.
            func expectOneTryAnOpening(_ page: MetricsPage) {
                let openings = page["upstream_breaker_openings_total"] ?? 0
                #expect(page.of("web-1", "upstream_connect_failures_total") == openings + 2)
            }
            var page = await fixture.metrics()
            #expect(page.breaker("web-1") != "closed" && page.breaker("web-2") == "closed")
            #expect(page["upstream_breaker_openings_total"] ?? 0 >= 1)
            expectOneTryAnOpening(page)
            page = try await eventually("a failed probe") {
                // Its request is served by the other one.
                try await fixture.strangers(1)
                let page = await fixture.metrics()
                return page["upstream_breaker_openings_total"] ?? 0 >= 2 && page.breaker("web-1") == "open" ? page : nil
            }
            #expect(page.of("web-1", "upstream_up") == 0 && page.of("web-2", "upstream_up") == 1)
            expectOneTryAnOpening(page)

            let application = fixture.applications[0]
            let again = try await TestUpstream(group: fixture.group, port: fixture.upstreams[0].port) {
                application.answer($0)
            }
            page = try await eventually("a good probe") {
                try await fixture.strangers(1)
                let page = await fixture.metrics()
                return page.breaker("web-1") == "closed" ? page : nil
            }
            #expect(page.of("web-1", "upstream_up") == 1)
            expectOneTryAnOpening(page)
            let probes = again.requests.count
            try await fixture.strangers(4)
            #expect(probes == 1 && again.requests.count == 3)
            await again.close()
        }
    }

    /// A proxy before instances each of which answers 503 while it is ill, on every path or on health checks only.
    private func withPatients(
        _ count: Int, phase: Phase = .sticky, configure: (inout ProxyOptions) -> Void,
        _ body: (ProxyFixture, Patients) async throws -> Void
    ) async throws {
        let patients = Patients()
        try await ProxyFixture.with(phase: phase, applications: count, configure: configure) { fixture in
            var upstreams: [TestUpstream] = []
            for (index, application) in fixture.applications.enumerated() {
                upstreams.append(
                    try await TestUpstream(group: fixture.group) { request in
                        let isIll = patients.illness.withLock { $0[index] }
                        if isIll == .all || (isIll == .checks && request.uri == "/healthz") {
                            return UpstreamAnswer(status: 503)
                        }
                        if request.uri != "/healthz", !request.uri.hasPrefix(BridgeHeader.endpointPrefix) {
                            patients.served.withLock { $0[index, default: 0] += 1 }
                        }
                        return application.answer(request)
                    })
            }
            await fixture.use(
                upstreams.enumerated().map { .init(name: "web-\($0.offset + 1)", url: $0.element.url) })
            try await body(fixture, patients)
            for upstream in upstreams { await upstream.close() }
        }
    }

    private final class Patients: Sendable {
        enum Illness { case all, checks }
        let illness = Mutex<[Int: Illness]>([:])
        let served = Mutex<[Int: Int]>([:])

        /// Requests that each has served since the last time.
        func take(_ count: Int) -> [Int] {
            served.withLock { served in
                defer { served = [:] }
                return (0..<count).map { served[$0] ?? 0 }
            }
        }
    }

    @Test(
        "five gateway errors in a row eject an instance for new work; its sessions still go there",
        arguments: [Phase.sticky, .mirroring])
    func ejection(phase: Phase) async throws {
        try await withPatients(2, phase: phase, configure: { $0.balance = .roundRobin }) { fixture, patients in
            var atHome: Browser?
            for _ in 1...2 {
                let browser = Browser(fixture)
                try await browser.increment()
                if try fixture.home(of: browser) == 0 { atHome = browser }
            }
            let browser = try #require(atHome)
            patients.illness.withLock { $0[0] = .all }
            for _ in 1...4 { #expect(try await browser.value().status == 503) }
            #expect(await fixture.metrics().of("web-1", "upstream_ejected") == 0)
            #expect(try await browser.value().status == 503)
            let page = await fixture.metrics()
            #expect(page.of("web-1", "upstream_ejected") == 1 && page["upstream_ejections_total"] == 1)
            #expect(page.breaker("web-1") == "closed")
            patients.illness.withLock { $0[0] = nil }
            _ = patients.take(2)
            for _ in 1...4 { #expect(try await Browser(fixture).increment().status == 200) }
            #expect(patients.take(2) == [0, 4])
            // The instance's own answer, whatever it is, is better than a session lost.
            #expect(try await browser.increment().count == 2)
            #expect(patients.take(2) == [1, 0])
        }
    }

    @Test(
        "with too few healthy instances left new work goes to all of them; without a threshold it never does",
        arguments: [(50, [3, 3, 3]), (0, [0, 0, 9])])
    func panic(percent: Int, expected: [Int]) async throws {
        try await withPatients(
            3,
            configure: {
                $0.balance = .roundRobin
                $0.resilience.panicPercent = percent
                $0.health.path = "/healthz"
                $0.health.interval = .milliseconds(50)
                $0.health.unhealthyInterval = .milliseconds(50)
            }
        ) { fixture, patients in
            patients.illness.withLock { $0 = [0: .checks, 1: .checks] }
            await fixture.link.waitForReport { report in
                report.instances.count { $0.health == .unhealthy } == 2
                    && report.instances.count { $0.health == .healthy } == 1
            }
            try await fixture.strangers(9)
            #expect(patients.take(3) == expected)
        }
    }

    @Test("health checks keep new work away from an instance that goes bad, and bring it back slowly")
    func healthAndSlowStart() async throws {
        try await withPatients(
            2,
            configure: {
                $0.balance = .init(.roundRobin, slowStart: .seconds(300))
                $0.health.path = "/healthz"
                $0.health.interval = .milliseconds(50)
                $0.health.unhealthyInterval = .milliseconds(50)
            }
        ) { fixture, patients in
            patients.illness.withLock { $0[0] = .checks }
            try await fixture.untilMetrics("the verdict") {
                $0.of("web-1", "upstream_up") == 0 && $0.of("web-2", "upstream_up") == 1
            }
            try await fixture.strangers(6)
            #expect(patients.take(2) == [0, 6])
            patients.illness.withLock { $0[0] = nil }
            try await fixture.untilMetrics("the recovery") { $0.of("web-1", "upstream_up") == 1 }
            try await fixture.strangers(22)
            // A tenth of the other's share at the beginning.
            #expect(patients.take(2) == [2, 20])
        }
    }
}
