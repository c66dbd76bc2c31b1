import ControlAPI
import NIOCore
import NIOPosix
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("PROXY protocol on the listeners")
struct ProxyHeaderTests {
    private static let request = "GET /who HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
    private static let versionOne = Array("PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n".utf8)
    private static let versionTwo: [UInt8] =
        Array("\r\n\r\n\0\r\nQUIT\n".utf8) + [0x21, 0x11, 0, 12, 203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb]

    private func with(
        sources: [ProxyOptions.Network] = [], head: Duration = .seconds(15),
        _ body: (SecureFixture) async throws -> Void
    ) async throws {
        try await SecureFixture.with(configure: { _, options in
            options.listenProxyProtocol.isRequired = true
            options.listenProxyProtocol.sources = sources
            options.timeouts.clientHead = head
        }) { fixture in
            let upstream = try await EchoUpstream(group: fixture.proxy.group)
            await fixture.route(to: [upstream.url])
            try await body(fixture)
            await upstream.close()
        }
    }

    private func connect(_ fixture: SecureFixture, _ prefix: [UInt8], tls: Bool) async throws -> RawClient {
        try await RawClient(
            port: tls ? fixture.port : fixture.proxy.port, group: fixture.proxy.group, prefix: prefix, tls: tls)
    }

    @Test("the client is whom the header names", arguments: [false, true], [1, 2])
    func good(tls: Bool, version: Int) async throws {
        try await with { fixture in
            let header = version == 1 ? Self.versionOne : Self.versionTwo
            let client = try await connect(fixture, header, tls: tls)
            client.send(Self.request)
            #expect(await client.waitForEnd())
            #expect(client.text.hasPrefix("HTTP/1.1 200 OK\r\n"), "\(client.text)")
            #expect(client.text.contains("203.0.113.9"), "\(client.text)")
        }
    }

    @Test("a header in pieces is put together", arguments: [false, true])
    func pieces(tls: Bool) async throws {
        try await with { fixture in
            let client = try await RawClient(
                port: fixture.proxy.port, group: fixture.proxy.group, prefix: Array(Self.versionTwo.prefix(9)))
            client.send(Array(Self.versionTwo.dropFirst(9).prefix(10)))
            client.send(Array(Self.versionTwo.dropFirst(19)) + Array(Self.request.utf8))
            #expect(await client.waitForEnd())
            #expect(client.text.hasPrefix("HTTP/1.1 200 OK\r\n"), "\(client.text)")
        }
    }

    @Test("anything else is closed without an answer", arguments: [false, true])
    func garbage(tls: Bool) async throws {
        try await with { fixture in
            for bytes in [Array(Self.request.utf8), Array("PROXY TCP4 x".utf8) + [13, 10], [0x16, 3, 1, 0]] {
                let client = try await RawClient(
                    port: tls ? fixture.port : fixture.proxy.port, group: fixture.proxy.group, prefix: bytes)
                #expect(await client.waitForEnd())
                #expect(client.text.isEmpty)
            }
        }
    }

    @Test("a header that does not come in time is not waited for", arguments: [false, true])
    func slow(tls: Bool) async throws {
        try await with(head: .milliseconds(300)) { fixture in
            let client = try await RawClient(
                port: tls ? fixture.port : fixture.proxy.port, group: fixture.proxy.group,
                prefix: Array(Self.versionOne.prefix(10)))
            #expect(await client.waitForEnd())
            #expect(client.text.isEmpty)
        }
    }

    @Test("who may not send one is closed", arguments: [false, true])
    func foreign(tls: Bool) async throws {
        let network = try #require(ProxyOptions.Network(bytes: [192, 0, 2, 0], prefixLength: 24))
        try await with(sources: [network]) { fixture in
            let client = try await connect(fixture, Self.versionOne, tls: tls)
            client.send(Self.request)
            #expect(await client.waitForEnd())
            #expect(client.text.isEmpty)
        }
    }
}
