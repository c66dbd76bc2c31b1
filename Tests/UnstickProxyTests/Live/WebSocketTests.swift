import BridgeContract
import ControlAPI
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("A WebSocket client and server, live")
struct WebSocketTests {
    static let frameBytesMax = 1 << 21

    /// A server that echoes what it gets, and says `name` first.
    private func server(_ group: any EventLoopGroup, name: String) async throws -> any Channel {
        let upgrader = NIOWebSocketServerUpgrader(
            maxFrameSize: Self.frameBytesMax,
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture([:]) },
            upgradePipelineHandler: { channel, _ in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Echo(name: name))
                }
            })
        return try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.pipeline.configureHTTPServerPipeline(
                    withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    private func client(of fixture: ProxyFixture, cookie: String? = nil) async throws -> Client {
        let messages = Messages()
        let upgrader = NIOWebSocketClientUpgrader(maxFrameSize: Self.frameBytesMax) { channel, _ in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(Receiver(messages))
            }
        }
        let channel = try await ClientBootstrap(group: fixture.group)
            .channelInitializer { channel in
                // The server's first frame may come with its answer.
                channel.pipeline.addHTTPClientHandlers(
                    leftOverBytesStrategy: .forwardBytes,
                    withClientUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
            }
            .connect(host: "127.0.0.1", port: fixture.port).get()
        var headers: HTTPHeaders = ["Host": "a.example", "Content-Length": "0"]
        if let cookie { headers.add(name: "Cookie", value: cookie) }
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/chat", headers: headers)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        try await channel.writeAndFlush(HTTPClientRequestPart.end(nil))
        return Client(channel: channel, messages: messages)
    }

    @Test("messages of every size come back as they were, pings are answered, and both ends close in order")
    func conversation() async throws {
        try await ProxyFixture.with(phase: .sticky, applications: 0) { fixture in
            let server = try await server(fixture.group, name: "web-1")
            try await fixture.route(to: ["http://127.0.0.1:\(server.localAddress!.port!)"])
            let client = try await client(of: fixture)
            #expect(try await client.next() == .init(opcode: .text, bytes: Array("web-1".utf8)))
            for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
                let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                try await client.send(.binary, bytes)
                let echo = try await client.next()
                #expect(echo.opcode == .binary && echo.bytes == bytes, "\(size) bytes")
            }
            try await client.send(.ping, Array("are you there".utf8))
            #expect(try await client.next() == .init(opcode: .pong, bytes: Array("are you there".utf8)))
            #expect(try await fixture.inFlight() == 1)
            // 1000: normal closure (RFC 6455 section 7.4.1).
            try await client.send(.connectionClose, [0x03, 0xe8])
            #expect(try await client.next() == .init(opcode: .connectionClose, bytes: [0x03, 0xe8]))
            try await client.channel.closeFuture.get()
            try await fixture.until(0) { try await fixture.inFlight() }
            try await fixture.until(0) { try await fixture.connectionCount() }
            try await server.close()
        }
    }

    @Test("a client's next WebSocket goes where its affinity is, and an open one stays where it is")
    func pinned() async throws {
        try await ProxyFixture.with(phase: .sticky, applications: 0) { fixture in
            var servers: [any Channel] = []
            for number in 1...3 { servers.append(try await server(fixture.group, name: "web-\(number)")) }
            try await fixture.route(to: servers.map { "http://127.0.0.1:\($0.localAddress!.port!)" })
            let home = "web-2"
            let pair = "UNSTICK=\(home)~\(ProxyFixture.secret.affinitySignature(instance: home))"
            var clients: [Client] = []
            for _ in 1...6 {
                let client = try await client(of: fixture, cookie: pair)
                clients.append(client)
                #expect(try await client.next().text == home)
            }
            let counts = try await fixture.reports()
            #expect(counts.allSatisfy { $0.inFlight == ($0.name == home ? 6 : 0) })
            for client in clients { try await client.channel.close() }
            try await fixture.until(0) { try await fixture.inFlight() }
            for server in servers { try await server.close() }
        }
    }

    // MARK: Parts

    struct Message: Equatable, Sendable {
        var opcode: WebSocketOpcode
        var bytes: [UInt8]
        var text: String { String(decoding: bytes, as: UTF8.self) }
    }

    private struct Contents {
        var messages: [Message] = []
        var taken = 0
        var isClosed = false
    }

    private final class Messages: Sendable {
        private let contents = Mutex(Contents())
        private let notifier = ChangeNotifier()

        func change(_ change: (inout Contents) -> Void) {
            contents.withLock { change(&$0) }
            notifier.changed()
        }

        func next() async -> Message? {
            _ = await notifier.wait { self.contents.withLock { $0.isClosed || $0.taken < $0.messages.count } }
            return contents.withLock { contents in
                guard contents.taken < contents.messages.count else { return nil }
                defer { contents.taken += 1 }
                return contents.messages[contents.taken]
            }
        }
    }

    private struct Client {
        let channel: any Channel
        let messages: Messages

        func next(sourceLocation: SourceLocation = #_sourceLocation) async throws -> Message {
            try #require(await messages.next(), sourceLocation: sourceLocation)
        }

        func send(_ opcode: WebSocketOpcode, _ bytes: [UInt8]) async throws {
            try await channel.writeAndFlush(
                WebSocketFrame(fin: true, opcode: opcode, maskKey: .random(), data: ByteBuffer(bytes: bytes)))
        }
    }

    private final class Receiver: ChannelInboundHandler {
        typealias InboundIn = WebSocketFrame
        private let messages: Messages

        init(_ messages: Messages) { self.messages = messages }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let frame = unwrapInboundIn(data)
            messages.change {
                $0.messages.append(Message(opcode: frame.opcode, bytes: Array(frame.unmaskedData.readableBytesView)))
            }
        }

        func channelInactive(context: ChannelHandlerContext) { messages.change { $0.isClosed = true } }
    }

    private final class Echo: ChannelInboundHandler {
        typealias InboundIn = WebSocketFrame
        typealias OutboundOut = WebSocketFrame
        private let name: String

        init(name: String) { self.name = name }

        func handlerAdded(context: ChannelHandlerContext) {
            let greeting = WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(string: name))
            context.writeAndFlush(wrapOutboundOut(greeting), promise: nil)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let frame = unwrapInboundIn(data)
            let opcode: WebSocketOpcode = frame.opcode == .ping ? .pong : frame.opcode
            let reply = WebSocketFrame(fin: true, opcode: opcode, data: frame.unmaskedData)
            context.writeAndFlush(wrapOutboundOut(reply), promise: nil)
            // The server closes first (RFC 6455 section 7.1.1).
            if frame.opcode == .connectionClose { context.close(promise: nil) }
        }
    }
}
