import BridgeContract
import ControlAPI
import NIOCore
import NIOPosix
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Messages, live")
struct MessageTests {
    // MARK: Expectations and interim answers

    @Test("a client that waits gets its 100 from the proxy, once, and the instance never sees the expectation")
    func expectContinue() async throws {
        try await LiveFixture.with { live in
            let (client, instance, head) = try await live.exchange(
                "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            #expect(values("Expect", in: head).isEmpty)
            #expect(try await client.receiveHead() == "HTTP/1.1 100 Continue\r\n\r\n")
            await client.send("body")
            #expect(try await instance.receive(count: 4) == "body")
            await instance.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            // The next head is the answer's: the instance's own 100 is not a second one.
            #expect(try await client.receiveHead().hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test("a client that does not wait gets no 100")
    func bodyIsHere() async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange(
                "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody")
            _ = try await instance.receive(count: 4)
            await instance.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            #expect(try await client.receiveHead().hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test(
        "without a body, and in HTTP/1.0, an expectation means nothing",
        arguments: [
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        ])
    func expectNothing(request: String) async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange(request)
            await instance.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            #expect(try await client.receiveHead().hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test("a refusal instead of the 100 reaches the client, which then need not send the body")
    func refusedBody() async throws {
        try await LiveFixture.with { live in
            let client = try await live.connect()
            await client.send("POST /.well-known/unstick/v1/instance HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n")
            await client.send("Content-Length: 4\r\n\r\n")
            #expect(statuses(of: try await client.receiveRest()) == [404])
        }
    }

    @Test("an unknown expectation is refused with 417")
    func unknownExpectation() async throws {
        try await LiveFixture.with { live in
            let client = try await live.connect()
            await client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\nContent-Length: 4\r\n\r\nbody")
            #expect(statuses(of: try await client.receiveRest()) == [417])
            #expect(live.upstream.connectionCount == 0)
        }
    }

    @Test(
        "interim answers pass on at once, without what is the connection's or the bridge's",
        arguments: [
            Phase.sticky, .mirroring,
        ])
    func interim(phase: Phase) async throws {
        try await LiveFixture.with(phase: phase) { live in
            let (client, instance, _) = try await live.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await instance.send(
                "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
                    + "\(BridgeHeader.session): op=none; inst=i-1\r\n\(BridgeHeader.state): x\r\nKeep-Alive: 5\r\n\r\n")
            let early = try await client.receiveHead()
            #expect(early == "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
            await instance.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: b\r\n\r\n")
            #expect(try await client.receiveHead() == "HTTP/1.1 102 Processing\r\n\r\n")
            #expect(try await client.receiveHead() == "HTTP/1.1 103 Early Hints\r\nLink: b\r\n\r\n")
            await instance.send(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\(BridgeHeader.session): op=none; inst=i-1\r\n\r\nok")
            let answer = try await client.receive(through: "\r\n\r\nok")
            #expect(answer.hasPrefix("HTTP/1.1 200") && !answer.contains("Unstick"))
        }
    }

    @Test("a client of HTTP/1.0 gets no interim answer")
    func interimForHTTP10() async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
            await instance.send(
                "HTTP/1.1 103 Early Hints\r\nLink: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            #expect(statuses(of: try await client.receiveRest()) == [200])
        }
    }

    // MARK: Where bodies end

    struct Bodiless: Sendable, CustomTestStringConvertible {
        var method: String
        var answer: String
        /// Fields that the client must get, and must not get.
        var kept: [String] = []
        var dropped: [String] = []
        var testDescription: String { "\(method) → \(answer)" }
    }

    @Test(
        "an answer without a body ends with its head, whatever the head says",
        arguments: [
            Bodiless(method: "HEAD", answer: "200 OK\r\nContent-Length: 1000", kept: ["Content-Length: 1000"]),
            Bodiless(
                method: "HEAD", answer: "200 OK\r\nTransfer-Encoding: chunked", kept: ["Transfer-Encoding: chunked"]),
            Bodiless(method: "HEAD", answer: "404 Not Found"),
            Bodiless(method: "GET", answer: "204 No Content"),
            Bodiless(method: "GET", answer: "204 No Content\r\nContent-Length: 0", dropped: ["Content-Length"]),
            Bodiless(
                method: "GET", answer: "304 Not Modified\r\nContent-Length: 7\r\nETag: \"a\"", kept: ["ETag: \"a\""]),
            Bodiless(method: "GET", answer: "304 Not Modified\r\nTransfer-Encoding: chunked"),
        ])
    func bodiless(_ item: Bodiless) async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange("\(item.method) / HTTP/1.1\r\nHost: a\r\n\r\n")
            await instance.send("HTTP/1.1 \(item.answer)\r\n\r\n")
            let head = try await client.receiveHead()
            #expect(item.kept.allSatisfy { head.contains($0 + "\r\n") })
            #expect(item.dropped.allSatisfy { values($0, in: head).isEmpty })
            // Both connections go on: neither waits for content.
            await client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await instance.receiveHead().hasPrefix("GET /next "))
            await instance.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            #expect(try await client.receive(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test(
        "bytes behind an answer's end reach nobody, and the instance's connection is not used again",
        arguments: [
            ("HEAD", "200 OK\r\nContent-Length: 5\r\n\r\nwrong"),
            ("GET", "204 No Content\r\n\r\nwrong"),
            ("GET", "304 Not Modified\r\n\r\nwrong"),
            ("GET", "200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"),
            ("GET", "204 No Content\r\nContent-Length: 5\r\n\r\n"),
        ])
    func bytesBehind(method: String, answer: String) async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange("\(method) / HTTP/1.1\r\nHost: a\r\n\r\n")
            await instance.send("HTTP/1.1 \(answer)")
            _ = try await client.receiveHead()
            #expect(try await instance.receiveRest() == "")
            await client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            let (second, head) = try await live.upstream.acceptRequest()
            #expect(head.hasPrefix("GET /next "))
            await second.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            #expect(try await client.receive(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test("a body that ends with the connection ends so for the client too")
    func untilClose() async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await instance.send("HTTP/1.1 200 OK\r\n\r\nall of it")
            #expect(values("Connection", in: try await client.receiveHead()) == ["close"])
            _ = try await client.receive(through: "all of it")
            #expect(!client.isClosed)
            await instance.close()
            #expect(try await client.receiveRest() == "")
        }
    }

    @Test(
        "a body that is cut short closes the client's connection without a proper end",
        arguments: [
            "Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n",
        ])
    func cutShort(answer: String) async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await instance.send("HTTP/1.1 200 OK\r\n\(answer)")
            await instance.close()
            let text = try await client.receiveRest()
            #expect(statuses(of: text) == [200])
            #expect(!text.hasSuffix("0\r\n\r\n"))
            try await live.proxy.until(0) { try await live.proxy.inFlight() }
        }
    }

    // MARK: Chunks and trailers

    static let chunks = "3;name=value;q=\"a;b\"\r\nabc\r\n0a\r\n0123456789\r\n0\r\n"
    static let trailers =
        "X-Sum: 7\r\nUnstick-Session: v=1\r\nunstick_state: x\r\nContent-Length: 9\r\nServer-Time: 1\r\n"

    @Test("chunks pass both ways with their extensions, and trailers but for what must not stand in them")
    func chunkedBothWays() async throws {
        try await LiveFixture.with { live in
            let (client, instance, head) = try await live.exchange(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(Self.chunks)\(Self.trailers)\r\n")
            #expect(values("Transfer-Encoding", in: head) == ["chunked"])
            let request = try await instance.receive(through: "\r\n\r\n")
            #expect(request == Self.chunks + "X-Sum: 7\r\nServer-Time: 1\r\n\r\n")
            await instance.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
            await instance.send(Self.chunks + Self.trailers + "\r\n")
            #expect(values("Trailer", in: try await client.receiveHead()) == ["X-Sum"])
            #expect(try await client.receive(through: "\r\n\r\n") == Self.chunks + "X-Sum: 7\r\nServer-Time: 1\r\n\r\n")
            // The ends were found: both connections serve the next request.
            await client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await instance.receiveHead().hasPrefix("GET /next "))
        }
    }

    @Test("the same when every byte comes by itself")
    func chunkedBytewise() async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for byte in (Self.chunks + Self.trailers + "\r\n").utf8 {
                await client.send(ByteBuffer(bytes: [byte]))
                try await live.proxy.turn(1)
            }
            let request = try await instance.receive(through: "\r\n\r\n")
            #expect(request == Self.chunks + "X-Sum: 7\r\nServer-Time: 1\r\n\r\n")
            await instance.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            _ = try await client.receiveHead()
            for byte in (Self.chunks + Self.trailers + "\r\n").utf8 {
                await instance.send(ByteBuffer(bytes: [byte]))
                try await live.proxy.turn(1)
            }
            #expect(try await client.receive(through: "\r\n\r\n") == Self.chunks + "X-Sum: 7\r\nServer-Time: 1\r\n\r\n")
        }
    }

    // MARK: Hop-by-hop

    @Test("what belongs to one connection is not passed on, in either direction")
    func hopByHop() async throws {
        try await LiveFixture.with { live in
            let (client, instance, head) = try await live.exchange(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
                    + "Proxy-Connection: keep-alive\r\nX-End: 1\r\n\r\n")
            #expect(values("X-End", in: head) == ["1"])
            for name in ["Connection", "X-Hop", "Keep-Alive", "TE", "Proxy-Connection"] {
                #expect(values(name, in: head).isEmpty, "\(name) in the request")
            }
            await instance.send(
                "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-End: 1\r\n"
                    + "Proxy-Connection: x\r\nContent-Length: 2\r\n\r\nok")
            let answer = try await client.receiveRest()
            #expect(values("X-End", in: answer) == ["1"])
            #expect(values("Connection", in: answer) == ["close"])
            for name in ["X-Hop", "Keep-Alive", "Proxy-Connection"] {
                #expect(values(name, in: answer).isEmpty, "\(name) in the answer")
            }
        }
    }
}
