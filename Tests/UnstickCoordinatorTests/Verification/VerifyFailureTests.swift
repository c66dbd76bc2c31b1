import BridgeContract
import ControlAPI
import MemorySessionStore
import NIOCore
import SessionStore
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Verification that cannot know", .timeLimit(.minutes(2)))
struct VerifyFailureTests {
    @Test("an instance that cannot be reached makes it inconclusive; the others are counted")
    func unreachable() async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 4, "state")
            await fleet.bridges[1].stop()
            let report = await fleet.verify()
            #expect(!report.isComplete && report.problemCount == 0)
            #expect(report.inconclusive.count == 1 && report.inconclusive[0].hasPrefix("web-2: "))
            #expect(report.instances[0].externalized == 1)
        }
    }

    @Test("a name that no instance has, and no instance at all, are inconclusive")
    func nobody() async throws {
        try await Fleet.with { fleet in
            #expect(await fleet.verify(["web-9"]).inconclusive.contains("no instance is called 'web-9'"))
            var table = fleet.table
            table.instances = []
            #expect(await !fleet.verify(table: table).isComplete)
        }
    }

    @Test(
        "a store that fails makes it inconclusive, and the reason stands there once",
        arguments: [FaultyStore.Operation.version, .save])
    func store(operation: FaultyStore.Operation) async throws {
        try await Fleet.with { fleet in
            fleet.bridges[0].hold("a", 4, "state")
            fleet.bridges[1].hold("b", 4, "state")
            fleet.store.fail([operation], with: StoreError(code: .unavailable, message: "down"))
            let report = await fleet.verify()
            #expect(!report.isComplete && report.inconclusive == ["store unavailable: down"], "\(report)")
        }
    }

    @Test("a store that never answers is given up after its deadline")
    func silentStore() async throws {
        var limits = Verifier.Limits()
        limits.store = .milliseconds(30)
        try await Fleet.with(limits: limits) { fleet in
            fleet.bridges[0].hold("a", 4, "state")
            fleet.store.hold([.version])
            let report = await fleet.verify()
            #expect(report.inconclusive == ["store timedOut: no answer within 30 ms"])
            fleet.store.heal()
        }
    }

    @Test(
        "a process that was replaced during the crawl makes it inconclusive",
        arguments: ["instance", "sessions/"])
    func restarted(at resource: String) async throws {
        try await Fleet.with(1) { fleet in
            let bridge = fleet.bridges[0]
            bridge.hold("a", 4, "state")
            // Either nothing is exported, or the first export is what tells.
            if resource == "instance" { try await fleet.keep("a", 4, "state") }
            bridge.onRequest { request in
                if request.target.contains("sessions?") && resource == "instance" { bridge.restart(as: "inst-b") }
                if request.target.contains("sessions/") && resource == "sessions/" {
                    bridge.restart(as: "inst-b")
                    return nil
                }
                if resource == "sessions/", request.target.hasSuffix("instance") { bridge.restart(as: "inst-a") }
                return nil
            }
            let report = await fleet.verify()
            #expect(!report.isComplete && report.inconclusive.first?.contains("two processes answered") == true)
        }
    }

    @Test("a listing that changes while it is paged misses no session that stays")
    func pagingUnderChange() async throws {
        var limits = Verifier.Limits()
        limits.page = 7
        try await Fleet.with(1, limits: limits) { fleet in
            let bridge = fleet.bridges[0]
            for number in 0..<100 { bridge.hold("stay-\(number)", 1, "state \(number)") }
            let turn = Shared(0)
            bridge.onRequest { request in
                guard request.target.contains("sessions?") else { return nil }
                let turn = turn.update { turn in
                    turn += 1
                    return turn
                }
                for number in 0..<5 {
                    bridge.hold("come-\(turn)-\(number)", 1, "x")
                    bridge["come-\(turn - 1)-\(number)"] = nil
                }
                return nil
            }
            let report = await fleet.verify()
            #expect(report.isComplete, "\(report)")
            for number in 0..<100 { #expect(await fleet.stored("stay-\(number)") != nil) }
        }
    }

    @Test("more sessions to look at again than can be remembered make it inconclusive")
    func recheckLimit() async throws {
        var limits = Verifier.Limits()
        limits.recheck = 5
        try await Fleet.with(1, limits: limits) { fleet in
            for number in 0..<10 { fleet.bridges[0].hold("s\(number)", 1, "state") }
            let report = await fleet.verify(backfill: false)
            #expect(report.inconclusive == ["more than 5 sessions wait to be looked at again"])
        }
    }

    @Test("reports carry 20 examples and count all")
    func examples() async throws {
        try await Fleet.with(1) { fleet in
            for number in 0..<30 {
                fleet.bridges[0].hold("s\(number)", 1, "state")
                try await fleet.keep("s\(number)", 1, "other")
            }
            let report = await fleet.verify()
            #expect(report.problemCount == 30 && report.problems.count == 20)
        }
    }

    @Test("no report carries a session id")
    func secrecy() async throws {
        try await Fleet.with { fleet in
            let id = "very-secret-id"
            fleet.bridges[0].hold(id, 1, "state")
            fleet.bridges[1].hold(id, 1, "other")
            fleet.bridges[1].onRequest { $0.target.contains("sessions/") ? .init(status: 500) : nil }
            let report = await fleet.verify()
            #expect(report.problemCount >= 1)
            #expect(!"\(report)".contains(id))
            #expect(report.problems.allSatisfy { $0.hash == fleet.secret.sessionHash(id) })
        }
    }

    @Test("a cancelled verification is inconclusive")
    func cancelled() async throws {
        try await Fleet.with(1) { fleet in
            fleet.bridges[0].hold("a", 1, "state")
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return await fleet.verify()
            }
            #expect(await task.value.inconclusive.contains { $0.contains("cancelled") })
        }
    }

    @Test("progress is told at most four times a second and never as complete")
    func progress() async throws {
        try await Fleet.with(1) { fleet in
            for number in 0..<2000 { fleet.bridges[0].hold("s\(number)", 1, "state") }
            let told = Shared<[Coverage]>([])
            let report = await fleet.verifier.verify(
                table: fleet.table, instances: nil, backfill: true, passes: 2,
                progress: { coverage in told.update { $0.append(coverage) } })
            #expect(report.isComplete)
            // The test's clock stands still.
            #expect(told.value.count == 1 && told.value.allSatisfy { !$0.isComplete })
        }
    }

    @Test("10,000 sessions on three instances", .timeLimit(.minutes(3)))
    func tenThousand() async throws {
        try await Fleet.with(3) { fleet in
            for number in 0..<10_000 {
                fleet.bridges[number % 3].hold("session-\(number)", UInt64(number % 9 + 1), "state \(number)")
            }
            let first = await fleet.verify()
            #expect(first.isComplete && first.backfilled == 10_000, "\(first)")
            let second = await fleet.verify()
            #expect(second.isComplete && second.backfilled == 0 && second.externalized == 10_000)
            var table = fleet.table
            table.phase = .externalized
            for number in 0..<10_000 where number % 10 == 0 { fleet.bridges[number % 3]["session-\(number)"] = nil }
            let home = await fleet.repatriate(table: table)
            #expect(home.isComplete && home.imported == 1000 && home.sessions == 10_000, "\(home)")
        }
    }
}
