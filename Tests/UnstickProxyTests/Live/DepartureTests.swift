import ControlAPI
import NIOCore
import NIOPosix
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Departures and total time, live")
struct DepartureTests {
    @Test(
        "a client that leaves frees its instance and leaves nothing behind",
        arguments: [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nha",
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        ], [nil, "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
    func leaves(request: String, answer: String?) async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange(request)
            if let answer {
                await instance.send(answer)
                if answer.hasSuffix("half") { _ = try await client.receive(through: "half") }
            }
            #expect(try await live.proxy.inFlight() == 1)
            await client.close()
            // Its connection is in the middle of a message: it is closed.
            _ = try await instance.receiveRest()
            try await live.proxy.until(0) { try await live.proxy.inFlight() }
            try await live.proxy.until(0) { try await live.proxy.connectionCount() }
            // And the next client gets another one, and its own answer.
            let (next, other, head) = try await live.exchange("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(head.hasPrefix("GET /next "))
            await other.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
            #expect(try await next.receive(through: "\r\n\r\nnext").hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test("a client that leaves between two requests leaves the instance's connection usable")
    func leavesBetween() async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await instance.send(SlowClientTests.ok)
            _ = try await client.receive(through: "\r\n\r\nok")
            await client.send("GET / HT")
            await client.close()
            try await live.proxy.until(0) { try await live.proxy.connectionCount() }
            let next = try await live.connect()
            await next.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await instance.receiveHead().hasPrefix("GET /next "))
        }
    }

    @Test("in mirroring the change of a client that has left is stored, and then nothing is left of it")
    func leavesWhileMirroring() async throws {
        try await LiveFixture.with(phase: .mirroring) { live in
            try await live.seedSession()
            let client = try await live.connect()
            await client.send("GET / HTTP/1.1\r\nHost: a\r\nCookie: session=\(LiveFixture.sessionID)\r\n\r\n")
            let (instance, first) = try await live.upstream.acceptRequest()
            _ = try await live.hydrate(instance, first)
            await client.close()
            await live.proxy.untilOrphaned()
            #expect(try await live.proxy.inFlight() == 1)
            await instance.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\(LiveFixture.touched)\r\nhalf")
            _ = try await instance.receiveRest()
            try await live.proxy.until(0) { try await live.proxy.inFlight() }
            try await live.proxy.until(0) { try await live.proxy.connectionCount() }
        }
    }

    // MARK: The whole request's time

    private func withTotal(_ body: (LiveFixture) async throws -> Void) async throws {
        try await LiveFixture.with(configure: { $0.timeouts.total = .seconds(2) }, body)
    }

    @Test(
        "a request that takes too long gets 504, and is cut off once the head is out",
        arguments: [
            ("", [504]), ("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nhalf", [200]),
        ])
    func total(answer: String, wanted: [Int]) async throws {
        try await withTotal { live in
            let (client, instance, _) = try await live.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await instance.send(answer)
            #expect(statuses(of: try await client.receiveRest()) == wanted)
            _ = try await instance.receiveRest()
            try await live.proxy.until(0) { try await live.proxy.inFlight() }
        }
    }

    @Test(
        "event streams and upgrades have all the time they want",
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n",
            UpgradeTests.accepted + "\r\n",
        ])
    func free(answer: String) async throws {
        try await withTotal { live in
            let (client, instance, _) = try await live.exchange(UpgradeTests.handshake)
            await instance.send(answer)
            _ = try await client.receiveHead()
            // Another request begins later and is cut off by the same rule: the time is over for this one too.
            let (plain, _, _) = try await live.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(statuses(of: try await plain.receiveRest()) == [504])
            await instance.send("2\r\nok\r\n")
            #expect(try await client.receive(through: "ok\r\n").hasSuffix("ok\r\n"))
        }
    }

    @Test("no answer within the response time is 504")
    func response() async throws {
        try await LiveFixture.with(configure: { $0.timeouts.response = .milliseconds(300) }) { live in
            let (client, instance, _) = try await live.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(statuses(of: try await client.receiveRest()) == [504])
            _ = try await instance.receiveRest()
        }
    }
}
