import BridgeContract
import NIOCore
import SessionStore
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Asking a bridge", .timeLimit(.minutes(2)))
struct BridgeClientTests {
    private func failure(_ body: () async throws -> Void) async -> BridgeClientError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? BridgeClientError
        }
    }

    @Test("an instance says who it is")
    func describe() async throws {
        try await Fleet.with(1) { fleet in
            fleet.bridges[0].hold("a", 1, "state")
            let description = await fleet.verifier.describe(instance: fleet.table.instances[0])
            #expect(
                description
                    == InstanceDescription(
                        name: "web-1", incarnation: "inst-a", framework: "test 1.0", bridge: "test-bridge/1",
                        sessions: 1))
        }
    }

    @Test("a wrong secret is told with where to look", arguments: [true, false])
    func unauthorized(byClock: Bool) async throws {
        try await Fleet.with(
            1, coordinatorSecret: byClock ? nil : "another secret that is also long enough",
            coordinatorClock: { Fleet.now.adding(seconds: byClock ? 90 : 0) }
        ) { fleet in
            let error = await failure { _ = try await fleet.verifier.bridge.instance(fleet.table.instances[0]) }
            #expect(error?.reason == .unauthorized && error?.instance == "web-1")
            #expect(error?.message.contains("bridge.secret-file") == true && error?.message.contains("clocks") == true)
            let report = await fleet.verify()
            #expect(!report.isComplete && report.inconclusive.first?.contains("401") == true)
        }
    }

    @Test("an application without a bridge is told from a session that is not there")
    func notInstalled() async throws {
        try await Fleet.with(1) { fleet in
            let instance = fleet.table.instances[0]
            let unknown = try await fleet.verifier.bridge.export("unknown", from: instance)
            #expect(unknown == .missing)
            fleet.bridges[0].onRequest { _ in .init(status: 404, body: "not found") }
            let bridge = fleet.verifier.bridge
            #expect(await failure { _ = try await bridge.instance(instance) }?.reason == .notInstalled)
            #expect(await failure { _ = try await bridge.export("a", from: instance) }?.reason == .notInstalled)
            #expect(await failure { try await bridge.evict("a", from: instance) }?.reason == .notInstalled)
            #expect(await fleet.verifier.describe(instance: instance).problem?.contains("is it installed?") == true)
        }
    }

    @Test(
        "an answer that stalls is given up after the deadline, before the head and in the body",
        arguments: [true, false])
    func timedOut(inBody: Bool) async throws {
        var limits = BridgeClient.Limits()
        limits.answer = .milliseconds(100)
        limits.listing = .milliseconds(100)
        try await Fleet.with(1, bridgeLimits: limits) { fleet in
            let instance = fleet.table.instances[0]
            fleet.bridges[0].onRequest { _ in .init(body: inBody ? "{\"inst\":\"inst-a\"}" : "", stalls: true) }
            let error = await failure {
                _ = try await fleet.verifier.bridge.sessions(of: instance, after: nil, limit: 10)
            }
            #expect(error?.reason == .timedOut, "\(String(describing: error))")
        }
    }

    @Test("a connection that the instance closes is tried once more")
    func closedConnection() async throws {
        try await Fleet.with(1) { fleet in
            let instance = fleet.table.instances[0]
            let calls = Shared(0)
            fleet.bridges[0].onRequest { _ in
                calls.update { calls in
                    calls += 1
                    return calls == 2
                } ? .init(hangsUp: true) : nil
            }
            _ = try await fleet.verifier.bridge.instance(instance)
            let identity = try await fleet.verifier.bridge.instance(instance)
            #expect(identity.incarnation == "inst-a")
            fleet.bridges[0].onRequest { _ in .init(hangsUp: true) }
            let error = await failure { _ = try await fleet.verifier.bridge.instance(instance) }
            #expect(error?.reason == .unreachable)
        }
    }

    @Test("a redirect is not followed: it would carry our signature elsewhere")
    func redirect() async throws {
        try await Fleet.with(1) { fleet in
            fleet.bridges[0].onRequest { _ in .init(status: 302) }
            let error = await failure { _ = try await fleet.verifier.bridge.instance(fleet.table.instances[0]) }
            #expect(error?.reason == .garbage && error?.message.contains("302") == true)
        }
    }

    @Test("a body above its limit is refused")
    func tooLong() async throws {
        var limits = BridgeClient.Limits()
        limits.pageBytes = 1000
        try await Fleet.with(1, bridgeLimits: limits) { fleet in
            for number in 0..<100 { fleet.bridges[0].hold("s\(number)", 1, "state") }
            let report = await fleet.verify()
            #expect(report.inconclusive.first?.contains("above the limit") == true)
        }
    }

    @Test(
        "an answer that is not the contract's makes the verification inconclusive",
        arguments: [
            "<html>", "{\"id\":\"a\"}", "{\"id\":\"\",\"ver\":1,\"tag\":\"00000000\",\"ttl\":1,\"size\":1}",
            "{\"cursor\":\"x\"}\n{\"cursor\":\"y\"}",
        ])
    func garbageListing(body: String) async throws {
        try await Fleet.with(1) { fleet in
            fleet.bridges[0].onRequest { $0.target.contains("sessions?") ? .init(body: body) : nil }
            let report = await fleet.verify()
            #expect(!report.isComplete && report.inconclusive.first?.hasPrefix("web-1: line ") == true, "\(report)")
        }
    }

    @Test("a cursor that does not move is refused instead of followed for ever")
    func standingCursor() async throws {
        try await Fleet.with(1) { fleet in
            fleet.bridges[0].onRequest { $0.target.contains("sessions?") ? .init(body: "{\"cursor\":\"x\"}\n") : nil }
            let report = await fleet.verify()
            #expect(report.inconclusive == ["web-1: the listing's cursor does not move"])
        }
    }

    @Test(
        "ids of any characters arrive as they are, signed as they stand on the request line",
        arguments: [
            "s%3Aabc.def+/=", "a b", "ä€😀", "../..//x", "a?b=c&d#e", "%2e%2e", "1~-_.",
            String(repeating: "x", count: 3000),
        ])
    func ids(id: String) async throws {
        try await Fleet.with(1) { fleet in
            let instance = fleet.table.instances[0]
            let bridge = fleet.verifier.bridge
            let record = fleet.record(id, 4, "state")
            let taken = try await bridge.import(record, into: instance, phase: .mirroring)
            #expect(taken == record.version)
            #expect(fleet.bridges[0][id]?.state == "state")
            guard case .session(let change, let state, "inst-a") = try await bridge.export(id, from: instance) else {
                Issue.record("no session")
                return
            }
            #expect(change.id == id && change.version == record.version && state == record.state)
            try await bridge.evict(id, from: instance)
            #expect(fleet.bridges[0].count == 0)
        }
    }

    @Test("another session's state is refused")
    func wrongID() async throws {
        try await Fleet.with(1) { fleet in
            let other = TestBridge.Session(4, "state")
            fleet.bridges[0].onRequest { _ in
                .init(
                    session: "op=put; id=b; ver=4; tag=\(other.version.tagHex); ttl=1; codec=json; inst=inst-a",
                    body: "state")
            }
            let error = await failure {
                _ = try await fleet.verifier.bridge.export("a", from: fleet.table.instances[0])
            }
            #expect(error?.reason == .garbage)
        }
    }

    @Test("an import says what memory holds afterwards: its own where that is newer")
    func importOlder() async throws {
        try await Fleet.with(1) { fleet in
            fleet.bridges[0].hold("a", 9, "newer")
            let instance = fleet.table.instances[0]
            let record = fleet.record("a", 4, "older")
            let kept = try await fleet.verifier.bridge.import(record, into: instance, phase: .mirroring)
            #expect(kept?.version == 9)
            let replaced = try await fleet.verifier.bridge.import(record, into: instance, phase: .stateless)
            #expect(replaced == record.version)
        }
    }
}
