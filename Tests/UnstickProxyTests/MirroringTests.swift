import BridgeContract
import ControlAPI
import MemorySessionStore
import NIOCore
import NIOHTTP1
import NIOPosix
import SessionStore
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Mirror step")
struct MirroringTests {
    let outage = StoreError(code: .unavailable, message: "switched off by the test")

    @Test("a response is held until its mirror write is durable")
    func held() async throws {
        try await ProxyFixture.with(phase: .mirroring) { fixture in
            let browser = Browser(fixture)
            fixture.faults.hold([.save])
            async let answer = browser.increment()
            await fixture.faults.untilHeld(1)
            #expect(browser.cookies.isEmpty)
            fixture.faults.release()
            let count = try await answer.count
            #expect(count == 1)
        }
    }

    @Test("in mirroring a store outage makes sessions dirty, the application keeps serving, and repair is automatic")
    func outageInMirroring() async throws {
        try await ProxyFixture.with(phase: .mirroring) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            fixture.faults.fail(FaultyStore.Operation.all, with: outage)
            for expected in 2...4 {
                let count = try await browser.increment().count
                #expect(count == expected)
            }
            await fixture.link.waitForReport { $0.dirtySessions == 1 && $0.store == .down }
            fixture.faults.heal()
            await fixture.link.waitForReport { $0.dirtySessions == 0 && $0.store == .up }
            #expect(try await fixture.stored(browser)?.version.version == 4)
        }
    }

    @Test("a logout during a store outage reaches the store afterwards")
    func logoutDuringOutage() async throws {
        try await ProxyFixture.with(phase: .mirroring) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            let id = try #require(browser.cookies["session"])
            fixture.faults.fail(FaultyStore.Operation.all, with: outage)
            try await browser.logout()
            fixture.faults.heal()
            await fixture.link.waitForReport { $0.dirtySessions == 0 && $0.store == .up }
            #expect(try await fixture.stored(id)?.isTombstone == true)
        }
    }

    @Test("on the way to externalized a store outage answers 503 instead of making a session dirty silently")
    func refusesOnRequest() async throws {
        try await ProxyFixture.with(phase: .mirroring, storeErrors: .refuse) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            fixture.faults.fail(FaultyStore.Operation.writes, with: outage)
            let answer = try await browser.increment()
            #expect(answer.status == 503)
            #expect(answer.headers.contains(name: "Retry-After"))
        }
    }

    @Test(
        "from externalized on a store outage answers 503 and never a stale value",
        arguments: [
            Phase.externalized, .stateless, .completed,
        ])
    func outageWithAuthority(phase: Phase) async throws {
        try await ProxyFixture.with(phase: phase) { fixture in
            let browser = Browser(fixture)
            for _ in 1...3 { try await browser.increment() }
            fixture.faults.fail(FaultyStore.Operation.all, with: outage)
            #expect(try await browser.value().status == 503)
            #expect(try await browser.increment().status == 503)
            fixture.faults.heal()
            #expect(try await browser.value().count == 3)
        }
    }

    @Test("a change whose write failed is seen by nobody unless the store has it first")
    func readIsMirrored() async throws {
        try await ProxyFixture.with(phase: .externalized, applications: 1) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            fixture.faults.fail([.save], with: outage)
            #expect(try await browser.increment().status == 503)
            fixture.faults.heal()
            let seen = try #require(try await browser.value().count)
            #expect(try await fixture.stored(browser)?.version.version == UInt64(seen))
        }
    }

    @Test("a client that goes away does not cancel the mirror step")
    func clientGone() async throws {
        try await ProxyFixture.with(phase: .mirroring, applications: 1) { fixture in
            let browser = Browser(fixture)
            try await browser.increment()
            let id = try #require(browser.cookies["session"])
            let gate = fixture.group.next().makePromise(of: Void.self)
            fixture.applications[0].memory.withLock { $0.answersAfter = gate.futureResult }
            let runs = fixture.applications[0].memory.withLock { $0.applicationRuns }
            let request = "POST /increment HTTP/1.1\r\nHost: a\r\nCookie: session=\(id)\r\nContent-Length: 0\r\n\r\n"
            try await fixture.sendAndHangUp(request) {
                while fixture.applications[0].memory.withLock({ $0.applicationRuns }) == runs { await Task.yield() }
            }
            await fixture.untilOrphaned()
            gate.succeed()
            while try await fixture.stored(id)?.version.version != 2 { await Task.yield() }
            #expect(fixture.applications[0].value(of: id) == 2)
        }
    }

    @Test("an epoch is acknowledged only when every request that began under an older one is mirrored")
    func gracePeriod() async throws {
        try await ProxyFixture.with(phase: .mirroring) { fixture in
            let browser = Browser(fixture)
            await fixture.link.waitForAcknowledgement(of: Epoch(1))
            fixture.faults.hold([.save])
            async let answer = browser.increment()
            await fixture.faults.untilHeld(1)
            let epoch = fixture.link.publish { $0.phase = .externalized }
            await fixture.link.waitForReport { $0.applied == epoch }
            #expect(fixture.link.lastReport?.acknowledged == nil)
            fixture.faults.release()
            fixture.faults.heal()
            let count = try await answer.count
            #expect(count == 1)
            await fixture.link.waitForAcknowledgement(of: epoch)
        }
    }

    @Test("in the first epoch of mirroring a session that memory lacks is gone, as in sticky")
    func noHydrationYet() async throws {
        try await ProxyFixture.with(phase: .mirroring, hydrates: false) { fixture in
            let browser = Browser(fixture)
            for _ in 1...3 { try await browser.increment() }
            for application in fixture.applications { application.memory.withLock { $0.sessions = [:] } }
            #expect(try await browser.increment().count == 1)
        }
    }

    @Test("a save of an old incarnation does not outrank what the restarted home has saved")
    func restartedHomeWins() throws {
        let old = StoredVersion(
            generation: Generation(1), version: VersionTag(version: 7, tag: 1), expiresAt: UnixMilliseconds(1),
            ttlSeconds: 1, home: "web-1", writer: "before", size: 0, isTombstone: false)
        var record = SessionRecord(
            id: "a", generation: Generation(1), version: VersionTag(version: 6, tag: 2), codec: "json",
            state: ByteBuffer(), ttlSeconds: 1, expiresAt: UnixMilliseconds(1), home: "web-1", writer: "after")
        #expect(SaveDecision.decide(record, when: .memoryWins, current: old) == .store(record.version))
        record.writer = "before"
        #expect(SaveDecision.decide(record, when: .memoryWins, current: old) == .keep(.superseded(old)))
    }
}
