import ControlAPI
import NIOCore
import NIOPosix
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

/// Limits are short here and checked twice a second; what a test waits for is always the proxy's own act.
@Suite("Slow and hostile clients, live")
struct SlowClientTests {
    static let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    /// Sends one byte of this per round of the proxy's loop until the connection ends, and returns what came back.
    private func drip(
        _ client: LivePeer, _ bytes: [UInt8], in live: LiveFixture
    ) async throws -> String {
        let deadline = ContinuousClock.now + .seconds(20)
        var index = 0
        while !client.isClosed, client.unread == 0, ContinuousClock.now < deadline {
            await client.send(ByteBuffer(bytes: [bytes[index % bytes.count]]))
            index += 1
            try await live.proxy.turn(100)
        }
        return try await client.receiveRest()
    }

    @Test("a head that drips gets 408 when its time is over, however often a byte comes")
    func drippingHead() async throws {
        try await LiveFixture.with(configure: { $0.timeouts.clientHead = .milliseconds(300) }) { live in
            let client = try await live.connect()
            await client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ")
            let answer = try await drip(client, [UInt8(ascii: "x")], in: live)
            #expect(statuses(of: answer) == [408])
            #expect(values("Connection", in: answer) == ["close"])
            #expect(live.upstream.connectionCount == 0)
        }
    }

    @Test("the second request's head on a connection has its own time")
    func drippingSecondHead() async throws {
        try await LiveFixture.with(configure: { $0.timeouts.clientHead = .milliseconds(300) }) { live in
            let (client, instance, _) = try await live.exchange(Self.get)
            await instance.send(Self.ok)
            _ = try await client.receive(through: "\r\n\r\nok")
            await client.send("GET / HT")
            #expect(statuses(of: try await client.receiveRest()) == [408])
        }
    }

    @Test(
        "a body that stops gets 408, and the instance's connection is not used again",
        arguments: [
            "Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        ])
    func stoppingBody(request: String) async throws {
        try await LiveFixture.with(configure: { $0.timeouts.clientBody = .milliseconds(300) }) { live in
            let (client, instance, _) = try await live.exchange("POST / HTTP/1.1\r\nHost: a\r\n\(request)")
            #expect(statuses(of: try await client.receiveRest()).last == 408)
            _ = try await instance.receiveRest()
            try await live.proxy.until(0) { try await live.proxy.inFlight() }
        }
    }

    @Test("a body that drips gets 408 when it falls below the least rate, although it never stops")
    func drippingBody() async throws {
        try await LiveFixture.with(configure: {
            $0.timeouts.clientBody = .seconds(30)
            $0.resilience.clients.bodyRate = 1_000_000
            $0.resilience.clients.bodyRateGrace = .milliseconds(100)
            $0.resilience.clients.bodyRateWindow = .milliseconds(200)
        }) { live in
            let (client, instance, _) = try await live.exchange(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
            let answer = try await drip(client, [UInt8(ascii: "x")], in: live)
            #expect(statuses(of: answer) == [408] && answer.contains("too slowly"))
            _ = try await instance.receiveRest()
        }
    }

    @Test("an instance that does not take the body is not held against the client")
    func slowInstance() async throws {
        try await LiveFixture.with(configure: {
            $0.timeouts.clientBody = .seconds(2)
            $0.timeouts.response = .seconds(3)
            $0.resilience.clients.bodyRate = 100_000
            $0.resilience.clients.bodyRateGrace = .milliseconds(500)
            $0.resilience.clients.bodyRateWindow = .seconds(1)
        }) { live in
            let size = 48 << 20
            let (client, instance, _) = try await live.exchange(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n")
            try await instance.setReading(false)
            _ = client.post(ByteBuffer(repeating: 0, count: size))
            #expect(statuses(of: try await client.receiveRest()) == [504])
        }
    }

    @Test("an idle connection is closed without a word, before a first request and behind one")
    func idle() async throws {
        try await LiveFixture.with(configure: { $0.timeouts.idle = .seconds(2) }) { live in
            let silent = try await live.connect()
            let (client, instance, _) = try await live.exchange(Self.get)
            await instance.send(Self.ok)
            _ = try await client.receive(through: "\r\n\r\nok")
            #expect(try await client.receiveRest() == "")
            #expect(try await silent.receiveRest() == "")
            try await live.proxy.until(0) { try await live.proxy.connectionCount() }
        }
    }

    @Test("a reader that does not read stops the instance, and gets everything once it reads")
    func unreadResponse() async throws {
        try await LiveFixture.with { live in
            let client = try await live.connect(reads: false)
            await client.send(Self.get)
            let (instance, _) = try await live.upstream.acceptRequest()
            let size = 64 << 20
            await instance.send("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
            let sent = Flag()
            let sending = instance.post(ByteBuffer(repeating: UInt8(ascii: "x"), count: size))
            sending.whenSuccess { sent.raise() }
            // Long enough to carry all of it several times over.
            try await live.proxy.turn(4_000)
            #expect(!sent.isRaised)
            try await client.setReading(true)
            try await sending.get()
            _ = try await client.receiveHead()
            await client.waitUnread(atLeast: size)
            #expect(client.unread == size)
        }
    }

    @Test("an instance that does not read stops the client, and gets everything once it reads")
    func unreadRequest() async throws {
        try await LiveFixture.with { live in
            let size = 64 << 20
            let (client, instance, _) = try await live.exchange(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n")
            try await instance.setReading(false)
            let sent = Flag()
            let sending = client.post(ByteBuffer(repeating: UInt8(ascii: "x"), count: size))
            sending.whenSuccess { sent.raise() }
            try await live.proxy.turn(4_000)
            #expect(!sent.isRaised)
            try await instance.setReading(true)
            try await sending.get()
            await instance.waitUnread(atLeast: size)
            #expect(instance.unread == size)
            await instance.send(Self.ok)
            #expect(try await client.receiveHead().hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test("a client that takes nothing for too long is let go")
    func neverReading() async throws {
        try await LiveFixture.with(configure: { $0.timeouts.stream = .milliseconds(300) }) { live in
            let client = try await live.connect(reads: false)
            await client.send(Self.get)
            let (instance, _) = try await live.upstream.acceptRequest()
            await instance.send("HTTP/1.1 200 OK\r\nContent-Length: \(64 << 20)\r\n\r\n")
            _ = instance.post(ByteBuffer(repeating: UInt8(ascii: "x"), count: 64 << 20))
            _ = try await instance.receiveRest()
            try await live.proxy.until(0) { try await live.proxy.connectionCount() }
            try await live.proxy.until(0) { try await live.proxy.inFlight() }
        }
    }

    @Test("connections above the limit are closed, the others are served, and room comes back")
    func flood() async throws {
        try await withAnsweringInstance(configure: { $0.limits.connections = 20 }) { fixture, _ in
            // The fixture's own client may hold one; it has asked nothing yet.
            var admitted: [LivePeer] = []
            for _ in 1...20 { admitted.append(try await fixture.connect()) }
            try await fixture.until(20) { try await fixture.connectionCount() }
            for _ in 1...100 {
                let client = try await fixture.connect()
                await client.send(Self.get)
                #expect(try await client.receiveRest() == "")
            }
            for client in admitted {
                await client.send(Self.get)
                #expect(try await client.receive(through: "ok").hasPrefix("HTTP/1.1 200"))
            }
            await admitted[0].close()
            try await fixture.until(19) { try await fixture.connectionCount() }
            let late = try await fixture.connect()
            await late.send(Self.get)
            #expect(try await late.receive(through: "ok").hasPrefix("HTTP/1.1 200"))
        }
    }

    final class Flag: Sendable {
        private let value = Mutex(false)
        func raise() { value.withLock { $0 = true } }
        var isRaised: Bool { value.withLock { $0 } }
    }
}
