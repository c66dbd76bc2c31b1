import BridgeContract
import ControlAPI
import NIOCore
import NIOPosix
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Event streams and long polls, live")
struct StreamingTests {
    static let request =
        "GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n"
        + "Cookie: session=\(LiveFixture.sessionID)\r\n\r\n"

    static func wordOf(_ phase: Phase) -> String { phase.mirrors ? LiveFixture.touched : "" }

    @Test(
        "every event passes at once, in every phase",
        arguments: [Phase.sticky, .mirroring, .externalized, .stateless, .completed], [true, false])
    func events(phase: Phase, isChunked: Bool) async throws {
        try await LiveFixture.with(phase: phase) { live in
            try await live.seedSession()
            let client = try await live.connect()
            await client.send(Self.request)
            let (instance, first) = try await live.upstream.acceptRequest()
            if phase.mirrors { _ = try await live.hydrate(instance, first) }
            let framing = isChunked ? "Transfer-Encoding: chunked\r\n" : ""
            await instance.send(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\(framing)\(Self.wordOf(phase))\r\n")
            let head = try await client.receiveHead()
            #expect(values("Content-Type", in: head) == ["text/event-stream"])
            #expect(!head.contains(BridgeHeader.session))
            for number in 1...5 {
                // Each is waited for before the next is sent: nothing is kept back.
                let event = "data: \(number)\n\n"
                let bytes = isChunked ? "\(String(event.utf8.count, radix: 16))\r\n\(event)\r\n" : event
                await instance.send(bytes)
                #expect(try await client.receive(count: bytes.utf8.count) == bytes)
            }
            #expect(try await live.proxy.inFlight() == 1)
            await instance.close()
            #expect(try await client.receiveRest() == "")
            try await live.proxy.until(0) { try await live.proxy.inFlight() }
        }
    }

    @Test("an upload passes on as it comes, before its end is known")
    func upload() async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in ["1\r\na\r\n", "3\r\nbcd\r\n", "2\r\nef"] {
                await client.send(part)
                #expect(try await instance.receive(count: part.utf8.count) == part)
            }
            // And an answer that does not wait for the rest of it.
            await instance.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            #expect(try await client.receive(through: "1\r\nx\r\n").hasPrefix("HTTP/1.1 200"))
            await client.send("\r\n0\r\n\r\n")
            #expect(try await instance.receive(through: "0\r\n\r\n") == "\r\n0\r\n\r\n")
            await instance.send("0\r\n\r\n")
            #expect(try await client.receive(through: "0\r\n\r\n") == "0\r\n\r\n")
        }
    }

    @Test(
        "a long poll whose head is out does not hold up an epoch",
        arguments: [Phase.sticky, .mirroring, .externalized, .stateless])
    func headIsOut(phase: Phase) async throws {
        try await LiveFixture.with(phase: phase) { live in
            try await live.seedSession()
            let client = try await live.connect()
            await client.send(Self.request)
            let (instance, first) = try await live.upstream.acceptRequest()
            if phase.mirrors { _ = try await live.hydrate(instance, first) }
            await instance.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\(Self.wordOf(phase))\r\npo")
            _ = try await client.receive(through: "\r\n\r\npo")
            let epoch = live.proxy.link.publish { _ in }
            await live.proxy.link.waitForAcknowledgement(of: epoch)
            #expect(try await live.proxy.inFlight() == 1)
            await instance.send("ll")
            #expect(try await client.receive(count: 2) == "ll")
        }
    }

    @Test("a long poll whose head is not out yet holds an epoch up", arguments: [Phase.sticky, .mirroring])
    func headIsAwaited(phase: Phase) async throws {
        try await LiveFixture.with(phase: phase) { live in
            try await live.seedSession()
            let client = try await live.connect()
            await client.send(Self.request)
            let (instance, first) = try await live.upstream.acceptRequest()
            if phase.mirrors { _ = try await live.hydrate(instance, first) }
            let epoch = live.proxy.link.publish { _ in }
            await live.proxy.link.waitForReport { $0.applied == epoch }
            #expect(live.proxy.link.lastReport?.acknowledged == nil)
            await instance.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\(Self.wordOf(phase))\r\npo")
            await live.proxy.link.waitForAcknowledgement(of: epoch)
            _ = try await client.receive(through: "\r\n\r\npo")
        }
    }

    @Test("with op=late it is the end of the body that an epoch waits for")
    func late() async throws {
        try await LiveFixture.with(phase: .mirroring) { live in
            try await live.seedSession()
            let client = try await live.connect()
            await client.send(Self.request)
            let (instance, first) = try await live.upstream.acceptRequest()
            _ = try await live.hydrate(instance, first)
            await instance.send(
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n"
                    + "\(BridgeHeader.session): op=late; id=\(LiveFixture.sessionID); inst=i-1\r\n\r\npo")
            // The beginning is not held back.
            _ = try await client.receive(through: "\r\n\r\npo")
            let epoch = live.proxy.link.publish { _ in }
            await live.proxy.link.waitForReport { $0.applied == epoch }
            #expect(live.proxy.link.lastReport?.acknowledged == nil)
            await instance.send("ll")
            // The proxy asks for the session, on a connection of its own.
            let (bridge, question) = try await live.upstream.acceptRequest()
            #expect(question.hasPrefix("GET /.well-known/unstick/v1/sessions/\(LiveFixture.sessionID) "))
            #expect(client.unread == 0)
            await bridge.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            #expect(try await client.receive(count: 2) == "ll")
            await live.proxy.link.waitForAcknowledgement(of: epoch)
        }
    }
}
