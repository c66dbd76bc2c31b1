import BridgeContract
import NIOCore
import NIOHTTP1
import SessionStore
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Request path")
struct RequestPathTests {
    @Test(
        "a client keeps its counter in every phase",
        arguments: [
            Phase.sticky, .mirroring, .externalized, .stateless, .completed,
        ])
    func counts(phase: Phase) async throws {
        try await ProxyFixture.with(phase: phase) { fixture in
            let browser = Browser(fixture)
            for expected in 1...10 {
                let incremented = try await browser.increment().count
                let read = try await browser.value().count
                #expect(incremented == expected)
                #expect(read == expected)
            }
        }
    }

    @Test("in sticky nothing of the bridge contract is sent and nothing is written to the store")
    func stickyIsPlain() async throws {
        try await ProxyFixture.with(phase: .sticky) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            try await browser.increment()
            for upstream in fixture.upstreams {
                #expect(upstream.requests.allSatisfy { !$0.headers.contains(name: BridgeHeader.session) })
            }
            #expect(try await fixture.stored(browser) == nil)
        }
    }

    @Test("in mirroring a change is in the store when its response arrives")
    func mirrored() async throws {
        try await ProxyFixture.with(phase: .mirroring) { fixture in
            let browser = Browser(fixture)
            for expected in 1...3 {
                try await browser.increment()
                #expect(try await fixture.stored(browser)?.version.version == UInt64(expected))
            }
        }
    }

    @Test("the bridge's fields never reach a client, and a client's never reach the application")
    func headersAreStripped() async throws {
        try await ProxyFixture.with(phase: .mirroring) { fixture in
            let browser = Browser(fixture)
            let answer = try await browser.increment()
            #expect(answer.headers.allSatisfy { !$0.name.lowercased().hasPrefix("unstick") })
        }
    }

    @Test(
        "an instance that restarted empty gets the session from the store",
        arguments: [
            Phase.mirroring, .externalized, .stateless,
        ])
    func hydratesOnMissing(phase: Phase) async throws {
        try await ProxyFixture.with(phase: phase) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            try await browser.increment()
            for application in fixture.applications { application.memory.withLock { $0.sessions = [:] } }
            #expect(try await browser.increment().count == 3)
        }
    }

    @Test("in externalized an instance with an older copy gets the newer one first")
    func hydratesOnStale() async throws {
        try await ProxyFixture.with(phase: .externalized) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            let id = try #require(browser.cookies["session"])
            for _ in 1...3 { try await browser.increment() }
            for application in fixture.applications {
                application.memory.withLock { memory in
                    if memory.sessions[id] != nil { memory.sessions[id] = .init(value: 1, version: 1) }
                }
            }
            #expect(try await browser.value().count == 4)
        }
    }

    @Test("in stateless a copy of the same version with another tag is replaced")
    func exactMatch() async throws {
        try await ProxyFixture.with(phase: .stateless, applications: 1) { fixture in
            let browser = Browser(fixture)
            for _ in 1...3 { try await browser.increment() }
            let id = try #require(browser.cookies["session"])
            fixture.applications[0].memory.withLock { $0.sessions[id] = .init(value: 99, version: 3) }
            #expect(try await browser.value().count == 3)
        }
    }

    @Test("in stateless the requests of one session reach every instance, and the affinity cookie stays")
    func spreads() async throws {
        try await ProxyFixture.with(phase: .stateless, applications: 3) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            let cookie = browser.cookies["UNSTICK"]
            for _ in 1...20 { try await browser.increment() }
            #expect(browser.cookies["UNSTICK"] == cookie)
            #expect(cookie != nil)
            for upstream in fixture.upstreams { #expect(upstream.requests.contains { $0.uri == "/increment" }) }
        }
    }

    @Test("in completed the affinity cookie expires")
    func cookieExpires() async throws {
        try await ProxyFixture.with(phase: .stateless) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            #expect(browser.cookies["UNSTICK"] != nil)
            let epoch = fixture.link.publish { $0.phase = .completed }
            await fixture.link.waitForAcknowledgement(of: epoch)
            #expect(try await browser.increment().count == 2)
            #expect(browser.cookies["UNSTICK"] == nil)
        }
    }

    @Test(
        "a logged-out session stays out, on every instance and with old copies about",
        arguments: [
            Phase.mirroring, .externalized, .stateless,
        ])
    func logout(phase: Phase) async throws {
        try await ProxyFixture.with(phase: phase) { fixture in
            let browser = Browser(fixture)
            for _ in 1...4 { try await browser.increment() }
            let old = browser.cookies
            let id = try #require(old["session"])
            let copies = fixture.applications.map { $0.memory.withLock { $0.sessions[id] } }
            try await browser.logout()
            // A copy that was left behind where the logout did not happen.
            for (application, copy) in zip(fixture.applications, copies) where phase != .mirroring {
                application.memory.withLock { $0.sessions[id] = copy }
            }
            browser.cookies = old
            #expect(try await browser.value().count == 0)
            #expect(try await fixture.stored(id)?.isTombstone == true)
        }
    }

    @Test("a copy of an older generation is not hydrated")
    func oldGeneration() async throws {
        try await ProxyFixture.with(phase: .mirroring) { fixture in
            let browser = Browser(fixture)
            for _ in 1...3 { try await browser.increment() }
            for application in fixture.applications { application.memory.withLock { $0.sessions = [:] } }
            let epoch = fixture.link.publish { $0.generation = Generation(2) }
            await fixture.link.waitForAcknowledgement(of: epoch)
            #expect(try await browser.increment().count == 1)
        }
    }

    @Test("in mirroring a session whose home is gone gets 503 and not another instance's copy")
    func noFailOverInMirroring() async throws {
        try await ProxyFixture.with(phase: .mirroring) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            let home = try fixture.home(of: browser)
            await fixture.upstreams[home].close()
            try await fixture.dropConnections()
            let status = try await browser.value().status
            #expect([502, 503].contains(status))
        }
    }

    @Test("in externalized another instance serves a session whose home is gone, once rehoming is allowed")
    func failsOver() async throws {
        try await ProxyFixture.with(phase: .externalized) { fixture in
            let browser = Browser(fixture)
            for _ in 1...3 { try await browser.increment() }
            let home = try fixture.home(of: browser)
            await fixture.upstreams[home].close()
            try await fixture.dropConnections()
            #expect(try await browser.increment().count == 4)
        }
    }

    @Test(
        "the reserved path is hidden in any disguise",
        arguments: [
            "/.well-known/unstick/v1/instance", "/.well-known/%75nstick/v1/sessions",
            "//.well-known/unstick/v1/sessions",
            "/x/../.well-known/unstick/v1/sessions", "/.well-known;a=b/unstick/v1/sessions",
        ])
    func reservedPath(path: String) async throws {
        try await ProxyFixture.with(phase: .sticky, applications: 1) { fixture in
            let answer = try await fixture.raw("GET \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 404"))
            #expect(fixture.upstreams[0].requests.isEmpty)
        }
    }

    @Test(
        "without a coordinator's table a proxy behaves as phase externalized while a run is open, as sticky otherwise",
        arguments: [(Generation(1), true), (Generation(2), false)])
    func withoutTable(generation: Generation, isOpen: Bool) async throws {
        try await ProxyFixture.with(phase: .mirroring, coordinatorAnswers: false, generation: generation) { fixture in
            let browser = Browser(fixture)
            for expected in 1...2 {
                let count = try await browser.increment().count
                #expect(count == expected)
            }
            let stored = try await fixture.stored(browser)
            #expect((stored?.version.version == 2) == isOpen)
            let phases = Set(fixture.upstreams.flatMap(\.requests).map { $0.attribute("phase") })
            #expect(phases == [isOpen ? "externalized" : nil])
        }
    }
}
