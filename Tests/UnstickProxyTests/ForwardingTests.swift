import AsyncHTTPClient
import BridgeContract
import ControlAPI
import NIOCore
import NIOHTTP1
import NIOPosix
import SessionStore
import Synchronization
import Testing
import UnstickCore
import UnstickCrypto

@testable import UnstickProxy

@Suite("Forwarding")
struct ForwardingTests {
    /// A proxy in `sticky` before one upstream that answers with a closure.
    func withUpstream(
        limits: ProxyOptions.Limits = ProxyOptions.Limits(), phase: Phase = .sticky,
        _ answer: @escaping @Sendable (ReceivedRequest) -> UpstreamAnswer,
        _ body: (ProxyFixture, TestUpstream) async throws -> Void
    ) async throws {
        try await ProxyFixture.with(phase: phase, applications: 0, limits: limits) { fixture in
            let upstream = try await TestUpstream(group: fixture.group, answer: answer)
            let epoch = fixture.link.publish {
                $0.instances = [RoutingTable.Instance(name: "web-1", url: upstream.url)]
            }
            await fixture.link.waitForAcknowledgement(of: epoch)
            try await body(fixture, upstream)
            await upstream.close()
        }
    }

    @Test(
        "bodies of every size pass in both directions, by length and in chunks",
        arguments: [
            0, 1, 1_000, 70_000, 3_000_000,
        ], [true, false])
    func bodies(size: Int, chunked: Bool) async throws {
        try await withUpstream({ UpstreamAnswer(body: $0.body) }) { fixture, upstream in
            let bytes = ByteBuffer(bytes: (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            let body: HTTPClientRequest.Body =
                chunked ? .stream([bytes].async, length: .unknown) : .bytes(bytes)
            var request = HTTPClientRequest(url: "\(fixture.url)/echo")
            request.method = .POST
            request.body = body
            let response = try await fixture.client.execute(request, timeout: .seconds(20))
            let answer = try await response.body.collect(upTo: 1 << 24)
            #expect(answer == bytes)
            #expect(upstream.requests.count == 1)
        }
    }

    @Test("pipelined requests are answered in order on one connection")
    func pipelining() async throws {
        try await withUpstream({ .text($0.uri) }) { fixture, upstream in
            let answer = try await fixture.raw(
                "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"
                    + "GET /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(answer.components("HTTP/1.1 200").count == 4)
            #expect(upstream.requests.map(\.uri) == ["/a", "/b", "/c"])
        }
    }

    @Test(
        "what a client must not say does not reach the application",
        arguments: [
            "Unstick-Session: v=1; auth=1.x; phase=stateless; gen=1; absent", "unstick_session: x", "UNSTICK-State: x",
            "Connection: x-secret\r\nX-Secret: 1", "X-Forwarded-For: 6.6.6.6", "Keep-Alive: 5",
            "X_Forwarded_For: 6.6.6.6",
        ])
    func strips(lines: String) async throws {
        try await withUpstream({ _ in .text("ok") }) { fixture, upstream in
            _ = try await fixture.raw(
                "GET / HTTP/1.1\r\nHost: a\r\n\(lines)\r\nX-Kept: yes\r\nConnection: close\r\n\r\n")
            let headers = try #require(upstream.requests.first?.headers)
            #expect(headers["X-Kept"] == ["yes"])
            #expect(headers["X-Forwarded-For"] == ["127.0.0.1"])
            for name in [
                "Unstick-Session", "unstick_session", "Unstick-State", "X-Secret", "Keep-Alive", "X_Forwarded_For",
            ] {
                #expect(!headers.contains(name: name))
            }
        }
    }

    @Test(
        "an ambiguous request is refused before any instance sees it",
        arguments: [
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n", "400"),
            ("GET / HTTP/1.1\nHost: a\n\n", "400"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "501"),
        ])
    func refuses(text: String, status: String) async throws {
        try await withUpstream({ _ in .text("ok") }) { fixture, upstream in
            let answer = try await fixture.raw(text)
            #expect(answer.hasPrefix("HTTP/1.1 \(status)"))
            #expect(upstream.requests.isEmpty)
        }
    }

    @Test(
        "a body above the limit gets 413, by its length and while it streams",
        arguments: [
            "Content-Length: 2000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n7d0\r\n",
        ])
    func bodyLimit(head: String) async throws {
        var limits = ProxyOptions.Limits()
        limits.bodyBytes = 1_000
        try await withUpstream(limits: limits, { _ in .text("ok") }) { fixture, _ in
            let answer = try await fixture.raw(
                "POST / HTTP/1.1\r\nHost: a\r\n\(head)\(String(repeating: "x", count: 2_000))\r\n0\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 413"))
        }
    }

    @Test("an instance that hangs up gets the client a 502, and a repeatable request another try on a fresh connection")
    func hangsUp() async throws {
        let calls = Mutex(0)
        try await withUpstream({ request in
            let call = calls.withLock { count in
                count += 1
                return count
            }
            // The second request meets a connection that the instance closes unread.
            return call == 2 ? UpstreamAnswer(hangsUp: true) : .text("\(call)")
        }) { fixture, _ in
            let browser = Browser(fixture)
            let first = try await browser.request(.GET, "/").text
            let second = try await browser.request(.GET, "/").text
            #expect([first, second] == ["1", "3"])
            calls.withLock { $0 = 1 }
            #expect(try await browser.request(.POST, "/").status == 502)
        }
    }

    @Test("an instance that answers garbage gets the client a 502, and nothing of it is passed on")
    func garbage() async throws {
        try await withUpstream({ _ in .text("never") }) { fixture, _ in
            let server = try await ServerBootstrap(group: fixture.group)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(GarbageHandler())
                    }
                }
                .bind(host: "127.0.0.1", port: 0).get()
            let epoch = fixture.link.publish {
                $0.instances = [
                    RoutingTable.Instance(name: "web-9", url: "http://127.0.0.1:\(server.localAddress!.port!)")
                ]
            }
            await fixture.link.waitForAcknowledgement(of: epoch)
            let answer = try await fixture.raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 502"))
            #expect(!answer.contains("secret"))
            try await server.close()
        }
    }

    private final class GarbageHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "secret garbage\r\n\r\n")), promise: nil)
        }
    }

    @Test("an HTTP/1.0 client gets a chunked body unwrapped, and the connection's end as its end")
    func http10() async throws {
        try await withUpstream({ _ in
            UpstreamAnswer(headers: [("Transfer-Encoding", "chunked")], body: Array("hello".utf8))
        }) { fixture, _ in
            let answer = try await fixture.raw("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
            #expect(answer.hasSuffix("\r\n\r\nhello"))
            #expect(!answer.lowercased().contains("transfer-encoding"))
        }
    }

    @Test("Expect: 100-continue is answered before the body is sent")
    func expectContinue() async throws {
        try await withUpstream({ UpstreamAnswer(body: $0.body) }) { fixture, _ in
            let channel = try await ClientBootstrap(group: fixture.group)
                .connect(host: "127.0.0.1", port: fixture.port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                    }
                }
            try await channel.executeThenClose { inbound, outbound in
                var parts = inbound.makeAsyncIterator()
                try await outbound.write(
                    ByteBuffer(
                        string: "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"))
                let first = try await parts.next()
                #expect(first.map { String(buffer: $0).hasPrefix("HTTP/1.1 100") } == true)
                try await outbound.write(ByteBuffer(string: "body"))
                let second = try await parts.next()
                #expect(second.map { String(buffer: $0).hasPrefix("HTTP/1.1 200") } == true)
            }
        }
    }

    @Test("a forged affinity cookie pins nobody")
    func forgedAffinity() async throws {
        try await ProxyFixture.with(phase: .sticky, applications: 2) { fixture in
            let browser = Browser(fixture)
            browser.cookies = ["UNSTICK": "web-1~AAAAAAAAAAAAAAAAAAAAAA"]
            try await browser.value()
            #expect(browser.cookies["UNSTICK"]?.hasSuffix("~AAAAAAAAAAAAAAAAAAAAAA") == false)
        }
    }
}

extension String {
    fileprivate func components(_ separator: String) -> [Substring] {
        var parts: [Substring] = []
        var rest = self[...]
        while let range = rest.firstRange(of: separator) {
            parts.append(rest[..<range.lowerBound])
            rest = rest[range.upperBound...]
        }
        return parts + [rest]
    }
}

extension Array where Element == ByteBuffer {
    fileprivate var async: AsyncStream<ByteBuffer> {
        AsyncStream { continuation in
            for element in self { continuation.yield(element) }
            continuation.finish()
        }
    }
}
