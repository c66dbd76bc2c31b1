import ControlAPI
import NIOCore
import NIOPosix
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("HTTP/2 through the running proxy")
struct HTTP2ListenerTests {
    private typealias Raw = HTTP2RawClient

    private func octets(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } }

    /// As ``HTTP2RawClient/request(stream:path:method:_:endStream:endHeaders:)``, each scalar one byte.
    private func request(stream: UInt32, _ fields: [(String, String)], method: String = "GET", endStream: Bool = true)
        -> [UInt8]
    {
        var block: [UInt8] = []
        for (name, value) in [
            (":method", method), (":scheme", "https"), (":path", "/g"), (":authority", "a.test"),
        ] + fields {
            block.append(0)
            block.append(UInt8(octets(name).count))
            block += octets(name)
            block.append(UInt8(octets(value).count))
            block += octets(value)
        }
        return Raw.frame(1, flags: (endStream ? 1 : 0) | 4, stream: stream, payload: block)
    }

    @Test("what only HTTP/2 can carry never becomes lines of HTTP/1.1")
    func downgrade() async throws {
        try await SecureFixture.with(applications: 0) { fixture in
            let upstream = try await RecordingUpstream(group: fixture.proxy.group)
            await fixture.route(to: [upstream.url])
            var cases = HTTP2DowngradeCases.faultyFields.map { [$0] }
            cases += [
                [("transfer-encoding", "chunked")], [("connection", "transfer-encoding")], [("te", "gzip")],
                [("content-length", "5")], [("content-length", "0"), ("content-length", "5")], [("host", "b.test")],
                [("Upper", "x")], [("upgrade", "h2c")], [("keep-alive", "1")], [("proxy-connection", "close")],
                [(":path", "/inner")],
            ]
            for fields in cases {
                let client = try await Raw(port: fixture.port, group: fixture.proxy.group)
                try await client.write(request(stream: 1, fields))
                let ended = await client.wait {
                    $0.reset(of: 1) != nil || $0.isAnswered(1) || $0.goAway != nil || $0.isClosed
                }
                #expect(ended, "\(fields)")
                // Wanted: a stream error, or 400.
                let isBadRequest = client.frames.contains { $0.type == 1 && $0.stream == 1 }
                #expect(client.reset(of: 1) == 1 || client.goAway != nil || isBadRequest, "\(fields)")
                let received = try await upstream.take()
                #expect(received.isEmpty, "\(fields): \(received.map { String(decoding: $0, as: UTF8.self) })")
                try? await client.channel.close()
            }
            await upstream.close()
        }
    }

    @Test("a body's length must be the stated one, in bytes")
    func lengths() async throws {
        try await SecureFixture.with(applications: 0) { fixture in
            let upstream = try await RecordingUpstream(group: fixture.proxy.group)
            await fixture.route(to: [upstream.url])
            let client = try await Raw(port: fixture.port, group: fixture.proxy.group)
            let smuggled = Array("GET /inner HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
            try await client.write(
                request(stream: 1, [("content-length", "3")], method: "POST", endStream: false)
                    + Raw.frame(0, flags: 1, stream: 1, payload: [1, 2, 3] + smuggled))
            #expect(await client.wait { $0.reset(of: 1) == 1 })
            try await client.write(request(stream: 3, [("content-length", "3")], method: "POST", endStream: false))
            try await client.write(Raw.frame(0, flags: 1, stream: 3, payload: [1, 2]))
            #expect(await client.wait { $0.reset(of: 3) == 1 })
            try await client.write(request(stream: 5, [], method: "POST", endStream: false))
            try await client.write(Raw.frame(0, flags: 1, stream: 5, payload: smuggled))
            #expect(await client.wait { $0.isAnswered(5) })
            let text = try await upstream.take().map { String(decoding: $0, as: UTF8.self) }.joined(separator: "|")
            #expect(!text.contains("\r\n\r\nGET /inner"), "\(text.debugDescription)")
            try? await client.channel.close()
            await upstream.close()
        }
    }

    @Test("a flood of resets ends its connection, and others are served meanwhile")
    func rapidReset() async throws {
        try await SecureFixture.with(configure: { _, options in
            options.http2.resets = 50
        }) { fixture in
            let bystander = try await Raw(port: fixture.port, group: fixture.proxy.group)
            try await bystander.write(Raw.request(stream: 1, path: "/value"))
            #expect(await bystander.wait { $0.isAnswered(1) })
            let attacker = try await Raw(port: fixture.port, group: fixture.proxy.group)
            var stream: UInt32 = 1
            for _ in 0..<20 {
                var bytes: [UInt8] = []
                for _ in 0..<50 {
                    bytes += Raw.request(stream: stream, path: "/value")
                    bytes += Raw.frame(3, stream: stream, payload: [0, 0, 0, 8])
                    stream += 2
                }
                await attacker.attempt(bytes)
            }
            #expect(await attacker.wait { $0.isClosed })
            try await bystander.write(Raw.request(stream: 3, path: "/value"))
            #expect(await bystander.wait { $0.isAnswered(3) })
            try? await bystander.channel.close()
        }
    }

    @Test("a stop says GOAWAY, and answers what has begun")
    func gracefulStop() async throws {
        try await SecureFixture.with { fixture in
            let group = fixture.proxy.group
            let hold = group.next().makePromise(of: Void.self)
            fixture.proxy.applications[0].memory.withLock { $0.answersAfter = hold.futureResult }
            let client = try await Raw(port: fixture.port, group: group)
            try await client.write(Raw.request(stream: 1, path: "/value"))
            while fixture.proxy.upstreams[0].requests.isEmpty { await Task.yield() }
            fixture.proxy.proxy.stop()
            #expect(await client.wait { $0.goAway == 0 })
            hold.succeed()
            #expect(await client.wait { $0.isAnswered(1) })
            #expect(await client.wait { $0.isClosed })
        }
    }
}
