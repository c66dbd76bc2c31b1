import ControlAPI
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Connections and targets, live")
struct ConnectionTests {
    // MARK: Pipelining

    @Test("pipelined requests are answered in order, refused ones among them, until one ends the connection")
    func pipelining() async throws {
        try await LiveFixture.with { live in
            let get = { (target: String) in "GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n" }
            let post = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
            let options = "OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"
            let (client, instance, first) = try await live.exchange(
                get("/a") + options + post + options + get("/c") + get("/.well-known/unstick/v1/") + get("/never"))
            #expect(first.hasPrefix("GET /a "))
            // The second is not asked before the first is answered.
            #expect(instance.unread == 0)
            await instance.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
            #expect(try await instance.receive(through: "abc").hasPrefix("POST /b "))
            await instance.send("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecond\r\n0\r\n\r\n")
            #expect(try await instance.receiveHead().hasPrefix("GET /c "))
            await instance.send("HTTP/1.1 204 No Content\r\n\r\n")
            let answers = try await client.receiveRest()
            #expect(statuses(of: answers) == [200, 200, 201, 200, 204, 404])
            #expect(live.upstream.connectionCount == 1 && instance.unread == 0)
        }
    }

    @Test(
        "a pipelined request that is refused does not take the answers before it along",
        arguments: [
            ("GET /b HTTP/1.1\r\n\r\n", 400), ("BAD\r\n\r\n", 400), ("GET /b HTTP/3.0\r\nHost: a\r\n\r\n", 505),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
        ])
    func refusedBehind(bad: String, status: Int) async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange("GET /a HTTP/1.1\r\nHost: a\r\n\r\n" + bad)
            #expect(client.unread == 0)
            await instance.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
            let answers = try await client.receiveRest()
            #expect(statuses(of: answers) == [200, status])
            #expect(answers.contains("\r\n\r\nfirst"))
        }
    }

    @Test("a client that pipelines and never reads is not served on until it does")
    func pipeliningWithoutReading() async throws {
        try await LiveFixture.with { live in
            let client = try await live.connect(reads: false)
            let count = 400
            let requests =
                String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: count - 1)
                + "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            _ = client.post(ByteBuffer(string: requests))
            // 24 MB of answers, each whole in one read.
            let answer = ByteBuffer(
                string: "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + String(repeating: "x", count: 60_000))
            let instance = try await live.upstream.accept()
            let served = Served()
            let serving = Task {
                for _ in 0..<count {
                    _ = try await instance.receiveHead()
                    served.add()
                    await instance.send(answer)
                }
            }
            // The system's buffers take some megabytes, and the proxy little more.
            var last = -1
            while served.count != last {
                last = served.count
                try await live.proxy.turn(400)
            }
            #expect(served.count < count * 3 / 4)
            try await client.setReading(true)
            try await serving.value
            await client.waitClosed()
            #expect(client.unread > count * 60_000)
            #expect(served.count == count)
        }
    }

    private final class Served: Sendable {
        private let number = Mutex(0)
        var count: Int { number.withLock { $0 } }
        func add() { number.withLock { $0 += 1 } }
    }

    // MARK: HTTP/1.0

    @Test(
        "HTTP/1.0 closes unless the client asks for more, and then says that it does not",
        arguments: [
            ("", false), ("Connection: keep-alive\r\n", true), ("Connection: Keep-Alive, x\r\n", true),
            ("Connection: keep-alive, close\r\n", false),
        ])
    func http10(field: String, persists: Bool) async throws {
        try await withAnsweringInstance { fixture, upstream in
            let client = try await fixture.connect()
            await client.send("GET /a HTTP/1.0\r\n\(field)\r\n")
            let head = try await client.receiveHead()
            _ = try await client.receive(through: "ok")
            #expect(head.hasPrefix("HTTP/1.1 200"))
            #expect(values("Connection", in: head) == [persists ? "keep-alive" : "close"])
            if persists {
                await client.send("GET /b HTTP/1.0\r\n\r\n")
                #expect(try await client.receiveRest().hasSuffix("ok"))
            } else {
                #expect(try await client.receiveRest() == "")
            }
            #expect(upstream.requests.map(\.uri) == (persists ? ["/a", "/b"] : ["/a"]))
            // The instance is asked in HTTP/1.1, which needs a host.
            #expect(upstream.requests.allSatisfy { $0.headers["Host"] == ["127.0.0.1:\(upstream.port)"] })
        }
    }

    @Test("a chunked body for HTTP/1.0 is unwrapped and ends with the connection, keep-alive or not")
    func http10Chunked() async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange(
                "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            await instance.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3;a=b\r\nabc\r\n")
            _ = try await client.receive(through: "\r\n\r\nabc")
            await instance.send("2\r\nde\r\n0\r\nX: 1\r\n\r\n")
            #expect(try await client.receiveRest() == "de")
            // The instance's own connection ended its body properly and serves on.
            let again = try await live.connect()
            await again.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await instance.receiveHead().hasPrefix("GET /next HTTP/1.1"))
        }
    }

    @Test("an instance of HTTP/1.0 is understood, and its connection used once")
    func http10Instance() async throws {
        try await LiveFixture.with { live in
            let (client, instance, _) = try await live.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await instance.send("HTTP/1.0 200 Fine\r\nContent-Length: 2\r\n\r\nok")
            let head = try await client.receiveHead()
            #expect(head.hasPrefix("HTTP/1.1 200 Fine\r\n") && values("Connection", in: head).isEmpty)
            #expect(try await instance.receiveRest() == "")
        }
    }

    // MARK: Targets and hosts

    struct Target: Sendable, CustomTestStringConvertible {
        var line: String
        var host: String
        var wantedLine: String
        var wantedHost: String
        var testDescription: String { line }
    }

    @Test(
        "targets in other forms reach the instance in the form of an origin server",
        arguments: [
            Target(line: "GET http://b.example/x?y=1", host: "a", wantedLine: "GET /x?y=1", wantedHost: "b.example"),
            Target(line: "GET http://b.example:81", host: "a", wantedLine: "GET /", wantedHost: "b.example:81"),
            Target(line: "GET http://b.example?y", host: "a", wantedLine: "GET /?y", wantedHost: "b.example"),
            Target(line: "OPTIONS *", host: "a", wantedLine: "OPTIONS *", wantedHost: "a"),
            Target(line: "OPTIONS http://b.example", host: "a", wantedLine: "OPTIONS *", wantedHost: "b.example"),
            Target(
                line: "GET /a/../b//c;d?e=%2e", host: "a:80", wantedLine: "GET /a/../b//c;d?e=%2e", wantedHost: "a:80"),
            Target(line: "GET /", host: "[::1]:8080", wantedLine: "GET /", wantedHost: "[::1]:8080"),
        ])
    func targets(_ item: Target) async throws {
        try await withAnsweringInstance { fixture, upstream in
            let answer = try await fixture.raw(
                "\(item.line) HTTP/1.1\r\nHost: \(item.host)\r\nConnection: close\r\n\r\n")
            #expect(statuses(of: answer) == [200])
            let request = try #require(upstream.requests.first)
            #expect("\(request.method) \(request.uri)" == item.wantedLine)
            #expect(request.headers["Host"] == [item.wantedHost])
            #expect(request.headers["X-Forwarded-Host"] == [item.wantedHost])
        }
    }

    @Test(
        "a host that is missing, repeated or none is refused, in the target too",
        arguments: [
            "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", "GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        ])
    func badHosts(request: String) async throws {
        try await withAnsweringInstance { fixture, upstream in
            let answer = try await fixture.raw(request)
            #expect(statuses(of: answer) == [400])
            #expect(upstream.requests.isEmpty)
        }
    }

    @Test(
        "Max-Forwards is counted down for OPTIONS and TRACE, and ends at 0",
        arguments: [
            ("OPTIONS", "5", 200, ["4"]), ("OPTIONS", "1", 200, ["0"]), ("OPTIONS", "0", 200, nil),
            ("TRACE", "0", 405, nil),
            ("TRACE", "2", 200, ["1"]), ("OPTIONS", "x", 200, []),
        ] as [(String, String, Int, [String]?)])
    func maxForwards(method: String, value: String, status: Int, forwarded: [String]?) async throws {
        try await withAnsweringInstance { fixture, upstream in
            let answer = try await fixture.raw(
                "\(method) / HTTP/1.1\r\nHost: a\r\nMax-Forwards: \(value)\r\nConnection: close\r\n\r\n")
            #expect(statuses(of: answer) == [status])
            #expect(upstream.requests.first.map { $0.headers["Max-Forwards"] } == forwarded)
        }
    }

    @Test(
        "each limit on a request's head has its own status",
        arguments: [
            ("GET /\(String(repeating: "t", count: 300)) HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "v", count: 2_000))\r\n\r\n", 431),
            ("GET / HTTP/1.1\r\nHost: a\r\n\(String(repeating: "X: v\r\n", count: 20))\r\n", 431),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", 413),
        ])
    func limits(request: String, status: Int) async throws {
        try await withAnsweringInstance(
            configure: {
                $0.limits.targetBytes = 200
                $0.limits.headBytes = 1_000
                $0.limits.headFields = 16
                $0.limits.bodyBytes = 100
            },
            { _ in .text("ok") }
        ) { fixture, upstream in
            let answer = try await fixture.raw(request)
            #expect(statuses(of: answer) == [status])
            #expect(upstream.requests.isEmpty)
        }
    }
}
