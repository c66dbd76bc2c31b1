import BridgeContract
import ControlAPI
import NIOCore
import NIOPosix
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Upgrades, live")
struct UpgradeTests {
    static let fields =
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    static let handshake = "GET /chat HTTP/1.1\r\nHost: a\r\n\(fields)\r\n"
    static let accepted =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

    /// A masked text frame "Hello" and its answer (RFC 6455 section 5.7).
    static let maskedHello = ByteBuffer(bytes: [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ])
    static let hello = ByteBuffer(bytes: [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f])

    @Test("a WebSocket passes frames both ways, counts as in flight for its life, and as nothing after it")
    func webSocket() async throws {
        try await LiveFixture.with { live in
            let (client, instance, head) = try await live.exchange(Self.handshake)
            #expect(values("Connection", in: head) == ["Upgrade"])
            #expect(values("Upgrade", in: head) == ["websocket"])
            #expect(values("Sec-WebSocket-Key", in: head) == ["dGhlIHNhbXBsZSBub25jZQ=="])
            await instance.send(Self.accepted + "\r\n")
            let answer = try await client.receiveHead()
            #expect(answer.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
            #expect(values("Connection", in: answer) == ["Upgrade"])
            #expect(values("Upgrade", in: answer) == ["websocket"])
            #expect(values("Sec-WebSocket-Accept", in: answer) == ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="])
            for _ in 1...3 {
                await client.send(Self.maskedHello)
                _ = try await instance.receive(count: Self.maskedHello.readableBytes)
                await instance.send(Self.hello)
                let text = try await client.receive(count: Self.hello.readableBytes)
                #expect(text.hasSuffix("Hello"))
            }
            #expect(try await live.proxy.inFlight() == 1)
            await client.close()
            #expect(try await instance.receiveRest() == "")
            try await live.proxy.until(0) { try await live.proxy.inFlight() }
            try await live.proxy.until(0) { try await live.proxy.connectionCount() }
        }
    }

    @Test("frames that come with the handshake, and with its answer, are not lost")
    func earlyFrames() async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange(Self.handshake + "early")
            // Nothing may go to an instance that has not switched yet.
            #expect(instance.unread == 0)
            await instance.send(Self.accepted + "\r\nhello")
            #expect(try await client.receive(through: "\r\n\r\nhello").hasPrefix("HTTP/1.1 101"))
            #expect(try await instance.receive(count: 5) == "early")
        }
    }

    @Test("what the instance sent before it closed reaches a client that reads late")
    func tunnelEnd() async throws {
        try await LiveFixture.with { live in
            // With one of these sizes the system's buffers are full, the proxy holds the rest, and sees the instance's end.
            for size in stride(from: 200_000, through: 8_000_000, by: 200_000) {
                let (client, instance, _) = try await live.exchange(Self.handshake)
                await instance.send(Self.accepted + "\r\n")
                _ = try await client.receiveHead()
                try await client.setReading(false)
                let sent = instance.post(ByteBuffer(repeating: UInt8(ascii: "x"), count: size))
                let closed = sent.flatMap { instance.channel.close() }
                try await live.proxy.turn(100)
                try await client.setReading(true)
                await client.waitUnread(atLeast: size)
                #expect(client.unread == size)
                try await closed.get()
                #expect(try await client.receiveRest().utf8.count == size)
            }
        }
    }

    @Test("an instance that refuses the upgrade is heard, and the connection goes on as HTTP")
    func refused() async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange(Self.handshake)
            await instance.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno")
            #expect(try await client.receive(through: "\r\n\r\nno").hasPrefix("HTTP/1.1 426"))
            #expect(try await live.proxy.inFlight() == 0)
            await client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await instance.receiveHead().hasPrefix("GET /next HTTP/1.1\r\n"))
            await instance.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            #expect(try await client.receive(through: "ok").hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test(
        "a 101 that nobody asked for becomes 502",
        arguments: [
            "", "Upgrade: websocket\r\n", "Connection: Upgrade\r\n", "Connection: Upgrade\r\nUpgrade: h2c\r\n",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, websocket\r\nHTTP2-Settings: AAMAAABk\r\n",
        ])
    func unasked(fields: String) async throws {
        try await LiveFixture.with { live in
            let (client, instance, head) = try await live.exchange("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
            #expect(values("Upgrade", in: head).isEmpty && values("HTTP2-Settings", in: head).isEmpty)
            await instance.send(Self.accepted + "\r\nsecret")
            let answer = try await client.receiveHead()
            #expect(answer.hasPrefix("HTTP/1.1 502"))
            // The connection to an instance that speaks something else is not used again.
            #expect(try await instance.receiveRest() == "")
            #expect(client.unread < 200)
        }
    }

    @Test("HTTP/1.0 has no upgrades")
    func http10() async throws {
        try await LiveFixture.with { live in
            let (client, instance, head) = try await live.exchange(
                "GET / HTTP/1.0\r\nHost: a\r\n\(Self.fields)\r\n")
            #expect(values("Upgrade", in: head).isEmpty)
            await instance.send(Self.accepted + "\r\n")
            #expect(try await client.receiveHead().hasPrefix("HTTP/1.1 502"))
        }
    }

    @Test(
        "an upgrade gets its session first, the bridge's word does not reach the client, and frames pass",
        arguments: [Phase.mirroring, .externalized, .stateless])
    func phases(phase: Phase) async throws {
        try await LiveFixture.with(phase: phase) { live in
            try await live.seedSession()
            let client = try await live.connect()
            await client.send(
                "GET /chat HTTP/1.1\r\nHost: a\r\nCookie: session=\(LiveFixture.sessionID)\r\n\(Self.fields)\r\n")
            let (instance, first) = try await live.upstream.acceptRequest()
            let head = try await live.hydrate(instance, first)
            #expect(values("Upgrade", in: head) == ["websocket"])
            await instance.send(Self.accepted + LiveFixture.touched + "\r\nfirst")
            let answer = try await client.receive(through: "\r\n\r\nfirst")
            #expect(answer.hasPrefix("HTTP/1.1 101"))
            #expect(!answer.lowercased().contains("unstick"))
            await client.send("ping")
            #expect(try await instance.receive(count: 4) == "ping")
            #expect(try await live.proxy.inFlight() == 1)
            await instance.close()
            #expect(try await client.receiveRest() == "")
            try await live.proxy.until(0) { try await live.proxy.inFlight() }
        }
    }

    @Test("an open WebSocket does not hold up an epoch, and stays with its instance when that is drained")
    func drain() async throws {
        try await LiveFixture.with(phase: .mirroring) { live in
            let other = try await LiveUpstream(group: live.proxy.group)
            let (client, instance, _) = try await live.exchange(Self.handshake)
            await instance.send(Self.accepted + "\(BridgeHeader.session): op=none; inst=i-1\r\n\r\n")
            _ = try await client.receiveHead()
            let epoch = live.proxy.link.publish { table in
                table.instances[0].state = .draining
                table.instances.append(RoutingTable.Instance(name: "web-2", url: other.url))
            }
            await live.proxy.link.waitForAcknowledgement(of: epoch)
            await client.send("still")
            #expect(try await instance.receive(count: 5) == "still")
            let counts = try await live.proxy.reports().map { "\($0.name) \($0.inFlight)" }
            #expect(counts == ["web-1 1", "web-2 0"])
            await client.close()
            _ = try await instance.receiveRest()
            try await live.proxy.until(0) { try await live.proxy.inFlight() }
            #expect(other.connectionCount == 0)
            await other.close()
        }
    }
}
