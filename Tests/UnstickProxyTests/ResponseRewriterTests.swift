import HTTPWire
import NIOCore
import Testing

@testable import UnstickProxy

@Suite("Response heads on their way to a client")
struct ResponseRewriterTests {
    func rewrite(
        _ text: String, answering method: RequestMethod = .get, minor: Int = 1, keepAlive: Bool = true,
        affinityLine: String = "", via: String? = nil, isInterim: Bool = false
    ) throws -> String {
        var head = ResponseHead()
        return try Array(text.utf8).withUnsafeBytes { bytes in
            let isComplete = try head.parse(bytes, answering: method)
            #expect(isComplete)
            let released = ReleasedResponse(
                clientMinorVersion: minor, keepAlive: keepAlive, affinityLine: Array(affinityLine.utf8),
                via: via.map { Array($0.utf8) })
            let size = ResponseRewriter.maxSize(
                head, affinityLineBytes: affinityLine.utf8.count, viaBytes: via?.utf8.count ?? 0)
            return withUnsafeTemporaryAllocation(byteCount: size, alignment: 1) { memory in
                var writer = HeadWriter(memory)
                if isInterim {
                    ResponseRewriter.writeInterim(head, of: bytes, to: &writer)
                } else {
                    ResponseRewriter.write(head, of: bytes, as: released, to: &writer)
                }
                #expect(!writer.overflowed)
                return String(decoding: writer.written, as: UTF8.self)
            }
        }
    }

    @Test("a response passes as it came, without the bridge's and the connection's fields")
    func plain() throws {
        let text =
            "HTTP/1.1 200 Fine\r\nServer: x\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nUnstick-Session: op=none\r\n"
            + "unstick-state: x\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n"
        #expect(
            try rewrite(text, affinityLine: "Set-Cookie: UNSTICK=w\r\n")
                == "HTTP/1.1 200 Fine\r\nServer: x\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\nSet-Cookie: UNSTICK=w\r\n\r\n"
        )
    }

    @Test(
        "the status line is HTTP/1.1's, its reason kept",
        arguments: [
            ("HTTP/1.0 404 Not Found", "HTTP/1.1 404 Not Found"), ("HTTP/1.1 200", "HTTP/1.1 200 "),
            ("HTTP/1.1 200 ", "HTTP/1.1 200 "),
            ("HTTP/1.1 599 \u{e9}", "HTTP/1.1 599 \u{e9}"),
        ])
    func statusLine(received: String, sent: String) throws {
        #expect(try rewrite("\(received)\r\nContent-Length: 0\r\n\r\n") == "\(sent)\r\nContent-Length: 0\r\n\r\n")
    }

    @Test("the connection is spoken of as the client's version needs")
    func connection() throws {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        #expect(try rewrite(text) == text)
        #expect(try rewrite(text, keepAlive: false).hasSuffix("Connection: close\r\n\r\n"))
        #expect(try rewrite(text, minor: 0).hasSuffix("Connection: keep-alive\r\n\r\n"))
        #expect(try rewrite(text, minor: 0, keepAlive: false).hasSuffix("Connection: close\r\n\r\n"))
    }

    @Test("chunks are announced to HTTP/1.1 clients only, trailers likewise")
    func chunked() throws {
        let text = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(try rewrite(text) == text)
        #expect(try rewrite(text, minor: 0, keepAlive: false) == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    }

    @Test("no body is announced where none can be", arguments: ["Content-Length: 5", "Transfer-Encoding: chunked"])
    func noContent(field: String) throws {
        #expect(try rewrite("HTTP/1.1 204 No Content\r\n\(field)\r\n\r\n") == "HTTP/1.1 204 No Content\r\n\r\n")
        // A length in answer to HEAD or in 304 tells what GET would have got (RFC 9110 section 8.6).
        let head = "HTTP/1.1 200 OK\r\n\(field)\r\n\r\n"
        #expect(try rewrite(head, answering: .head) == head)
        let notModified = "HTTP/1.1 304 Not Modified\r\n\(field)\r\n\r\n"
        #expect(try rewrite(notModified) == notModified)
    }

    @Test("a switch of protocols is announced anew")
    func switching() throws {
        #expect(
            try rewrite("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: y\r\n\r\n")
                == "HTTP/1.1 101 Switching Protocols\r\nX: y\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    }

    @Test("an interim head says nothing about connection, session or bridge")
    func interim() throws {
        #expect(
            try rewrite(
                "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: close\r\nUnstick-Session: op=none\r\nSet-Cookie: a=b\r\n\r\n",
                isInterim: true) == "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
    }

    @Test("Via names the received protocol, if it is wanted")
    func via() throws {
        let text = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nVia: 1.1 app\r\n\r\n"
        #expect(
            try rewrite(text, via: "edge")
                == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nVia: 1.1 app\r\nVia: 1.0 edge\r\n\r\n")
    }

    @Test("an answer of the proxy's own reads as a response with its message as the body")
    func answer() throws {
        for (status, keepAlive) in [(400, false), (431, true), (503, true), (417, false), (405, true)] {
            var buffer = ByteBuffer()
            ProxyAnswer.write(
                status: status, message: "What happened \u{e9}.", retryAfterSeconds: 3, keepAlive: keepAlive,
                omitsBody: false,
                to: &buffer)
            var head = ResponseHead()
            let text = String(buffer: buffer)
            try Array(text.utf8).withUnsafeBytes { bytes in
                let isComplete = try head.parse(bytes, answering: .get)
                let (code, framing, persists, length) = (head.status, head.framing, head.keepAlive, head.headLength)
                #expect(isComplete)
                #expect(code == status)
                #expect(framing == .length(UInt64(bytes.count - length)))
                #expect(persists == keepAlive)
            }
            #expect(text.hasSuffix("What happened \u{e9}.\n"))
            #expect(text.contains("Retry-After: 3\r\n"))
            #expect(text.contains("Allow: ") == (status == 405))
        }
    }
}
