import HTTPWire
import NIOCore
import Testing

@testable import UnstickProxy

@Suite("Request heads on their way to an instance")
struct RequestRewriterTests {
    /// The rewritten head, and whether its bound held.
    func rewrite(
        _ text: String, peer: String = "192.0.2.1", localPort: UInt16 = 8080, usesClientLines: Bool = true,
        _ change: (inout ProxyOptions.Forwarding) -> Void = { $0.via = nil }
    ) throws -> String {
        let policy = forwardingPolicy(change)
        let identity = ClientIdentity(peer: NetworkAddress(peer), localPort: localPort, under: policy)
        let lines = usesClientLines ? RequestRewriter.clientLines(identity, policy) : []
        return try withRequest(text) { head, bytes in
            let forwarded = ForwardedRequest(
                identity: identity.resolved(for: head, of: bytes, under: policy), policy: policy, clientLines: lines,
                upstreamAuthority: "127.0.0.1:5001")
            let size = RequestRewriter.maxSize(head, policy: policy, bridgeLineBytes: 0, authorityBytes: 14)
            return withUnsafeTemporaryAllocation(byteCount: size, alignment: 1) { memory in
                var writer = HeadWriter(memory)
                RequestRewriter.write(head, of: bytes, as: forwarded, to: &writer)
                #expect(!writer.overflowed)
                return String(decoding: writer.written, as: UTF8.self)
            }
        }
    }

    /// Sorted lines without the request line and the proxy's own additions for an untrusted client.
    func fields(_ text: String) -> [String] {
        text.split(separator: "\r\n").dropFirst().map(String.init).filter { !$0.hasPrefix("X-Forwarded-") }
    }

    @Test("a plain request is passed on with the client's address")
    func plain() throws {
        let expected =
            "GET /a?b HTTP/1.1\r\nHost: a.example\r\nCookie: x=y\r\nX-Forwarded-For: 192.0.2.1\r\n"
            + "X-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\nX-Forwarded-Host: a.example\r\n\r\n"
        #expect(try rewrite("GET /a?b HTTP/1.1\r\nHost: a.example\r\nCookie: x=y\r\n\r\n") == expected)
    }

    @Test("lines made once for the connection say the same as lines made for the request")
    func clientLines() throws {
        for fields in ["", "Connection: close\r\n", "X-Forwarded-For: 6.6.6.6\r\nVia: 1.0 b\r\n"] {
            for version in ["1.0", "1.1"] {
                for host in ["Host: a\r\n", "Host: \r\n"] {
                    let text = "GET / HTTP/\(version)\r\n\(host)\(fields)\r\n"
                    let change: (inout ProxyOptions.Forwarding) -> Void = { $0.xRealIP = true }
                    let one = try rewrite(text, usesClientLines: true, change)
                    let other = try rewrite(text, usesClientLines: false, change)
                    #expect(one.split(separator: "\r\n").sorted() == other.split(separator: "\r\n").sorted())
                }
            }
        }
    }

    @Test(
        "what belongs to one connection is left out",
        arguments: [
            ("Connection: close", [String]()), ("Connection: X-A\r\nX-A: 1\r\nX-B: 2", ["X-B: 2"]),
            ("Keep-Alive: timeout=5", []),
            ("TE: trailers", []), ("Proxy-Connection: keep-alive", []), ("Proxy-Authorization: Basic eA==", []),
            ("Upgrade: websocket", []), ("Connection: Upgrade\r\nUpgrade: h2c", []),
            ("Connection: upgrade\r\nUpgrade: websocket", ["Connection: Upgrade", "Upgrade: websocket"]),
            ("Expect: 100-continue", []), ("Unstick-Session: x", []), ("unstick_state: x", []), ("UNSTICK.X: y", []),
            ("X_Forwarded_For: 6.6.6.6", []), ("Content_Length: 6", []), ("Transfer_Encoding: chunked", []),
            ("X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6", []),
            ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1", []),
            ("Trailer: X-Sum", ["Trailer: X-Sum"]), ("Authorization: Bearer x", ["Authorization: Bearer x"]),
            ("Connection: Host, Cookie, Content-Length, Authorization\r\nCookie: a=b", ["Cookie: a=b"]),
        ])
    func left(lines: String, kept: [String]) throws {
        let rewritten = try rewrite("GET / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n")
        #expect(fields(rewritten) == ["Host: a"] + kept)
        #expect(!rewritten.contains("6.6.6.6"))
        #expect(!rewritten.contains("evil"))
    }

    @Test(
        "the target's authority wins over Host, and stands in it",
        arguments: [
            ("GET http://b.example/x HTTP/1.1\r\nHost: a", "GET /x HTTP/1.1", "Host: b.example"),
            ("GET http://b.example:81?q HTTP/1.1\r\nHost: a", "GET /?q HTTP/1.1", "Host: b.example:81"),
            ("GET HTTP://b.example HTTP/1.1\r\nHost: a", "GET / HTTP/1.1", "Host: b.example"),
            ("OPTIONS http://b.example HTTP/1.1\r\nHost: a", "OPTIONS * HTTP/1.1", "Host: b.example"),
            ("OPTIONS http://b.example/ HTTP/1.1\r\nHost: a", "OPTIONS / HTTP/1.1", "Host: b.example"),
            ("OPTIONS * HTTP/1.1\r\nHost: a", "OPTIONS * HTTP/1.1", "Host: a"),
            ("GET / HTTP/1.0", "GET / HTTP/1.1", "Host: 127.0.0.1:5001"),
            ("GET http://b.example/ HTTP/1.0", "GET / HTTP/1.1", "Host: b.example"),
            ("GET / HTTP/1.1\r\nHost:", "GET / HTTP/1.1", "Host:"),
            ("\r\nGET / HTTP/1.1\r\nHost: a", "GET / HTTP/1.1", "Host: a"),
        ])
    func host(head: String, line: String, host: String) throws {
        let lines = try rewrite(head + "\r\n\r\n").split(separator: "\r\n")
        #expect(lines.first.map(String.init) == line)
        #expect(lines.dropFirst().first.map(String.init) == host)
        #expect(lines.filter { $0.lowercased().hasPrefix("host:") }.count == 1)
    }

    @Test("the body's length is written in one way only")
    func framing() throws {
        #expect(
            fields(try rewrite("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0012\r\n\r\n")) == [
                "Content-Length: 12", "Host: a",
            ])
        #expect(
            fields(try rewrite("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")) == [
                "Host: a", "Content-Length: 0",
            ])
        #expect(
            fields(try rewrite("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:\t CHUNKED \r\n\r\n"))
                == ["Host: a", "Transfer-Encoding: chunked"])
    }

    @Test("Max-Forwards counts down where it counts")
    func maxForwards() throws {
        #expect(
            fields(try rewrite("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n")) == [
                "Max-Forwards: 4", "Host: a",
            ])
        #expect(fields(try rewrite("GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n")) == ["Host: a"])
    }

    @Test("Via names the received protocol behind what was there")
    func via() throws {
        let text = "GET / HTTP/1.0\r\nHost: a\r\nVia: 1.1 front\r\n\r\n"
        #expect(fields(try rewrite(text) { $0.via = "edge" }) == ["Host: a", "Via: 1.1 front", "Via: 1.0 edge"])
        #expect(fields(try rewrite("GET / HTTP/1.1\r\nHost: a\r\n\r\n") { _ in }).contains("Via: 1.1 unstick"))
    }

    @Test("a trusted proxy's chain is kept and appended to")
    func trusted() throws {
        let text =
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 10.0.0.9\r\n"
            + "X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-Port: 443\r\n\r\n"
        let lines = Set(try rewrite(text, peer: "10.0.0.1").split(separator: "\r\n").dropFirst().map(String.init))
        #expect(
            lines == [
                "Host: a", "X-Forwarded-For: 203.0.113.7, 10.0.0.9, 10.0.0.1", "X-Forwarded-Proto: https",
                "X-Forwarded-Host: shop.example", "X-Forwarded-Port: 443",
            ])
    }

    @Test("a trusted proxy's nonsense is replaced")
    func trustedNonsense() throws {
        let text =
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a/b\r\nX-Forwarded-Port: x\r\n\r\n"
        let lines = Set(try rewrite(text, peer: "10.0.0.1").split(separator: "\r\n").dropFirst().map(String.init))
        #expect(
            lines == [
                "Host: a", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: a",
                "X-Forwarded-Port: 8080",
            ])
    }

    @Test("Forwarded is written as RFC 7239 wants it, replaced or appended to")
    func forwarded() throws {
        let change: (inout ProxyOptions.Forwarding) -> Void = {
            $0.via = nil
            $0.xForwarded = false
            $0.forwarded = true
            $0.xRealIP = true
        }
        let text = "GET / HTTP/1.1\r\nHost: a:80\r\nForwarded: for=203.0.113.7\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n"
        #expect(
            try rewrite(text, peer: "2001:db8::1", change).split(separator: "\r\n").dropFirst().map(String.init) == [
                "Host: a:80", "X-Real-IP: 2001:db8::1", "Forwarded: for=\"[2001:db8::1]\";host=\"a:80\";proto=http",
            ])
        #expect(
            try rewrite(text, peer: "10.0.0.1", change).split(separator: "\r\n").dropFirst().map(String.init) == [
                "Host: a:80", "X-Forwarded-For: 203.0.113.7", "X-Real-IP: 203.0.113.7",
                "Forwarded: for=203.0.113.7, for=10.0.0.1;host=\"a:80\";proto=http",
            ])
    }

    @Test("the bound on the head's size holds where every addition is as long as it can be")
    func bound() throws {
        let host = String(repeating: "h", count: 5_000)
        let change: (inout ProxyOptions.Forwarding) -> Void = {
            $0.via = String(repeating: "v", count: 64)
            $0.forwarded = true
            $0.xRealIP = true
        }
        let peer = "fd11:2222:3333:4444:5555:6666:7777:8888"
        for text in [
            "GET http://\(host) HTTP/1.0\r\n\r\n",
            "GET http://\(host) HTTP/1.1\r\nHost: \(host)\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: \(host)\r\nTransfer-Encoding: chunked\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For:\r\nX-Forwarded-For: 1\r\nForwarded: a\r\n\r\n",
        ] {
            _ = try rewrite(text, peer: peer, localPort: 65_535, change)
            _ = try rewrite(text, peer: "2001:2222:3333:4444:5555:6666:7777:8888", localPort: 65_535, change)
        }
    }

    @Test("the writer for NIO's buffers says the same, behind what the buffer holds")
    func byteBuffer() throws {
        let policy = ForwardingPolicy.standard
        try withRequest("GET / HTTP/1.1\r\nHost: a\r\n\r\n") { head, bytes in
            let forwarded = ForwardedRequest(
                clientAddress: Array("192.0.2.9".utf8), bridgeLines: Array("Unstick-Session: v=1\r\n".utf8),
                upstreamAuthority: "u")
            var buffer = ByteBuffer(string: "before ")
            RequestRewriter.write(head, of: bytes, as: forwarded, to: &buffer)
            #expect(
                String(buffer: buffer)
                    == "before GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: http\r\n"
                    + "X-Forwarded-Host: a\r\nVia: 1.1 unstick\r\nUnstick-Session: v=1\r\n\r\n")
            #expect(policy.pseudonym == Array("unstick".utf8))
        }
    }
}
