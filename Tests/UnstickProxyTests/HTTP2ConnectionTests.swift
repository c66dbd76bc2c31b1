import Foundation
import NIOCore
import NIOPosix
import Testing

@testable import UnstickProxy

@Suite("HTTP/2 connections")
struct HTTP2ConnectionTests {
    private func with<Result>(
        http2: ProxyOptions.HTTP2 = .init(), idleTimeout: Duration = .seconds(75),
        _ body: (TLSTestServer, HTTP2RawClient) async throws -> Result
    ) async throws -> Result {
        try await TLSTestAuthority.with { authority in
            try await authority.issue("a", subject: "/CN=a.test", alternatives: "DNS:a.test")
            return try await TLSTestServer.with(
                tls: tlsOptions(authority, "a"), http2: http2, idleTimeout: idleTimeout
            ) { server in
                let client = try await HTTP2RawClient(port: server.port, group: server.group)
                return try await body(server, client)
            }
        }
    }

    private typealias Raw = HTTP2RawClient

    @Test(
        "malformed requests reset their stream and are never seen",
        arguments: [
            Raw.request(stream: 1, [("Upper", "x")]), Raw.request(stream: 1, [("a", "b\r\nc: d")]),
            Raw.request(stream: 1, [("connection", "close")]), Raw.request(stream: 1, [("te", "gzip")]),
            Raw.request(stream: 1, [("transfer-encoding", "chunked")]), Raw.request(stream: 1, [("host", "b.test")]),
            Raw.request(stream: 1, path: "/ HTTP/1.1\r\nx: y"), Raw.request(stream: 1, method: "GE T"),
            Raw.request(stream: 1, [("content-length", "5")]), Raw.request(stream: 1, [("a", "b\0")]),
            Raw.request(stream: 1, [(":path", "/b")]), Raw.request(stream: 1, [(":unknown", "b")]),
            Raw.request(stream: 1, method: "POST", [("content-length", "2")], endStream: false)
                + Raw.frame(0, flags: 1, stream: 1, payload: [1, 2, 3]),
        ])
    func malformed(_ bytes: [UInt8]) async throws {
        try await with { server, client in
            try await client.write(bytes)
            #expect(await client.wait { $0.reset(of: 1) == 1 })
            // The connection serves on.
            try await client.write(Raw.request(stream: 3))
            #expect(await client.wait { $0.isAnswered(3) })
            #expect(server.log.requests.count == 1)
            #expect(server.log.requests.first?.hasPrefix("GET /echo HTTP/1.1\r\nhost: a.test\r\n") == true)
        }
    }

    @Test("CONNECT gets 501 and the connection serves on")
    func connect() async throws {
        try await with { server, client in
            let block = Raw.block([(":method", "CONNECT"), (":authority", "a.test:443")])
            try await client.write(Raw.frame(1, flags: 4, stream: 1, payload: block))
            #expect(await client.wait { $0.isAnswered(1) })
            try await client.write(Raw.request(stream: 3))
            #expect(await client.wait { $0.isAnswered(3) })
            #expect(server.log.requests.count == 1)
            #expect(server.log.events.contains(.http2RequestRefused(.connectNotSupported)))
        }
    }

    @Test("a client's reset is a client that has gone")
    func clientReset() async throws {
        try await with { server, client in
            try await client.write(Raw.request(stream: 1, path: "/hold"))
            #expect(await server.log.wait { $0.requests.count == 1 })
            try await client.write(Raw.frame(3, stream: 1, payload: [0, 0, 0, 8]))
            #expect(await server.log.wait { $0.gone == 1 })
        }
    }

    @Test("streams beyond the limit are refused")
    func concurrency() async throws {
        var options = ProxyOptions.HTTP2()
        options.maximumConcurrentStreams = 3
        try await with(http2: options) { server, client in
            #expect(await client.wait { $0.frames.contains { $0.type == 4 && $0.flags == 1 } })
            // The limit holds once the client has acknowledged it.
            try await client.write(Raw.request(stream: 1))
            #expect(await client.wait { $0.isAnswered(1) })
            for stream in stride(from: UInt32(3), through: 9, by: 2) {
                await client.attempt(Raw.request(stream: stream, path: "/hold"))
            }
            #expect(await client.wait { $0.reset(of: 9) != nil || $0.isClosed })
            #expect(server.log.requests.filter { $0.hasPrefix("GET /hold") }.count <= 3)
        }
    }

    @Test("a flood of resets ends the connection (CVE-2023-44487)")
    func rapidReset() async throws {
        try await with { server, client in
            for stream in stride(from: UInt32(1), to: 601, by: 2) {
                await client.attempt(
                    Raw.request(stream: stream, path: "/hold") + Raw.frame(3, stream: stream, payload: [0, 0, 0, 8]))
            }
            #expect(await client.wait { $0.isClosed })
            #expect(client.goAway == 11)
            #expect(server.log.requests.count <= 202)
            #expect(await server.log.wait { $0.gone == $0.requests.count })
        }
    }

    @Test("a flood of faults that the server resets ends the connection (CVE-2025-8671)")
    func provokedResets() async throws {
        try await with { server, client in
            for stream in stride(from: UInt32(1), to: 601, by: 2) {
                await client.attempt(
                    Raw.request(stream: stream, path: "/hold", method: "POST", endStream: false)
                        + Raw.frame(8, stream: stream, payload: [0, 0, 0, 0]))
            }
            #expect(await client.wait { $0.isClosed })
            #expect(server.log.requests.isEmpty)
        }
    }

    @Test("a flood of requests refused by the codec ends the connection")
    func refusedRequests() async throws {
        try await with { server, client in
            for stream in stride(from: UInt32(1), to: 1_201, by: 2) where !client.isClosed {
                await client.attempt(Raw.request(stream: stream, [("host", "b.test")]))
            }
            #expect(await client.wait { $0.isClosed })
            #expect(client.goAway == 11)
            #expect(server.log.requests.isEmpty)
        }
    }

    @Test("a flood of CONTINUATION frames ends the connection (CVE-2024-27316)")
    func continuationFlood() async throws {
        try await with { server, client in
            await client.attempt(Raw.request(stream: 1, endHeaders: false))
            for _ in 0..<100 { await client.attempt(Raw.frame(9, stream: 1, payload: Raw.block([("a", "b")]))) }
            #expect(await client.wait { $0.isClosed })
            // ENHANCE_YOUR_CALM, or PROTOCOL_ERROR where the frames' arrival lets another check of the parser come first.
            #expect([1, 11].contains(client.frames.first { $0.type == 7 }?.code))
            #expect(server.log.requests.isEmpty)
        }
    }

    @Test(
        "floods of control frames end the connection (CVE-2019-9512, -9515)",
        arguments: [
            Raw.frame(6, payload: [0, 0, 0, 0, 0, 0, 0, 0]), Raw.frame(4),
            Raw.frame(2, stream: 1, payload: [0, 0, 0, 0, 9]),
        ])
    func controlFlood(_ frame: [UInt8]) async throws {
        try await with { server, client in
            for _ in 0..<400 where !client.isClosed { await client.attempt(frame) }
            #expect(await client.wait { $0.isClosed })
        }
    }

    @Test("a flood of empty data ends the connection (CVE-2019-9518)")
    func emptyData() async throws {
        try await with { server, client in
            await client.attempt(Raw.request(stream: 1, method: "POST", endStream: false))
            for _ in 0..<50 { await client.attempt(Raw.frame(0, stream: 1)) }
            #expect(await client.wait { $0.isClosed })
            #expect(client.goAway == 11)
        }
    }

    @Test("a flood of window updates ends the connection")
    func windowUpdates() async throws {
        try await with { server, client in
            let many = Array(repeatElement(Raw.frame(8, payload: [0, 0, 0, 1]), count: 10_000).joined())
            for _ in 0..<100 where !client.isClosed { await client.attempt(many) }
            #expect(await client.wait { $0.isClosed })
            #expect(server.log.events.contains(.http2Flood))
        }
    }

    @Test("a list of fields beyond its limit ends the connection")
    func listSize() async throws {
        try await with { server, client in
            let block = Raw.block((0..<2_000).map { ("x-\($0)", String(repeating: "y", count: 60)) })
            await client.attempt(Raw.request(stream: 1, endHeaders: false))
            for start in stride(from: 0, to: block.count, by: 16_000) {
                let end = min(start + 16_000, block.count)
                await client.attempt(
                    Raw.frame(9, flags: end == block.count ? 4 : 0, stream: 1, payload: Array(block[start..<end])))
            }
            #expect(await client.wait { $0.isClosed })
            #expect(server.log.requests.isEmpty)
        }
    }

    @Test("told to stop, a connection takes no new streams and ends with the last one")
    func goAway() async throws {
        try await with { server, client in
            try await client.write(Raw.request(stream: 1, path: "/hold"))
            #expect(await server.log.wait { $0.requests.count == 1 })
            for channel in server.clients.all {
                channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
            }
            #expect(await client.wait { $0.goAway == 0 })
            #expect(!client.isClosed)
            try await client.write(Raw.frame(3, stream: 1, payload: [0, 0, 0, 8]))
            #expect(await client.wait { $0.isClosed })
        }
    }

    @Test("a connection without streams ends after the idle time")
    func idle() async throws {
        try await with(idleTimeout: .milliseconds(100)) { server, client in
            #expect(await client.wait { $0.isClosed })
            #expect(client.goAway == 0)
        }
    }

    @Test("a connection ends at its greatest age")
    func age() async throws {
        var options = ProxyOptions.HTTP2()
        options.maximumAge = .milliseconds(100)
        try await with(http2: options) { server, client in
            #expect(await client.wait { $0.isClosed })
            #expect(client.goAway == 0)
        }
    }

    @Test("a response that the client does not take holds no more than the buffers, and is let go in the end")
    func slowReader() async throws {
        var options = ProxyOptions.HTTP2()
        options.drainTimeout = .milliseconds(200)
        try await with(http2: options) { server, client in
            // A window of zero for new streams.
            try await client.write(Raw.frame(4, payload: [0, 4, 0, 0, 0, 0]))
            try await client.write(Raw.request(stream: 1, path: "/until-close"))
            #expect(await client.wait { $0.reset(of: 1) == 8 })
        }
    }

    @Test("h2load gets every answer", arguments: ["/echo", "/chunked"])
    func load(path: String) async throws {
        try await with { server, _ in
            let result = try await run(
                "h2load", ["-n", "500", "-c", "4", "-m", "50", "https://127.0.0.1:\(server.port)\(path)"])
            #expect(result.output.contains("500 succeeded, 0 failed, 0 errored, 0 timeout"), "\(result)")
        }
    }
}
