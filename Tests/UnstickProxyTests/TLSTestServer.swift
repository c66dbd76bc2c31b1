import HTTPWire
import Logging
import NIOCore
import NIOPosix
import Synchronization

@testable import UnstickProxy

/// What the exchange side of a test server saw.
final class TLSTestLog: Sendable {
    private struct Content: Sendable {
        var requests: [String] = []
        var securities: [ClientSecurity] = []
        var events: [ClientConnectionEvent] = []
        var gone = 0
    }
    private let content = Mutex(Content())
    private let notifier = ChangeNotifier()

    /// Raw bytes of each request with its body.
    var requests: [String] { content.withLock { $0.requests } }
    var securities: [ClientSecurity] { content.withLock { $0.securities } }
    var events: [ClientConnectionEvent] { content.withLock { $0.events } }
    /// Clients that went away before their answer.
    var gone: Int { content.withLock { $0.gone } }

    func add(request: String) { update { $0.requests.append(request) } }
    func add(security: ClientSecurity) { update { $0.securities.append(security) } }
    func add(event: ClientConnectionEvent) { update { $0.events.append(event) } }
    func addGone() { update { $0.gone += 1 } }

    private func update(_ body: (inout Content) -> Void) {
        content.withLock { body(&$0) }
        notifier.changed()
    }

    /// Waits until the condition holds; false when it takes too long.
    func wait(until condition: @escaping @Sendable (TLSTestLog) -> Bool) async -> Bool {
        await notifier.wait { condition(self) }
    }
}

/// Serves HTTP/1.1 as an exchange would: by the request's path.
final class TLSTestDownstream: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let log: TLSTestLog
    private let security: ClientSecurity
    private var input = ByteBuffer()
    private var head = RequestHead()
    private var decoder = ChunkedDecoder()
    private var isWaiting = false
    private var hasStalled = false

    init(log: TLSTestLog, security: ClientSecurity) {
        self.log = log
        self.security = security
    }

    func channelActive(context: ChannelHandlerContext) { log.add(security: security) }

    func channelInactive(context: ChannelHandlerContext) { if isWaiting { log.addGone() } }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        input.writeBuffer(&bytes)
        if !hasStalled, input.getString(at: input.readerIndex, length: 10) == "POST /slow" { stall(context) }
        while let length = requestLength(context) {
            let request = input.readString(length: length) ?? ""
            log.add(request: request)
            head.reset()
            decoder.reset()
            let path = String(request.split(separator: " ").dropFirst().first ?? "")
            answer(context, path: path, request: request)
        }
    }

    /// Reads nothing for a while, then says how much had come in all the same.
    private func stall(_ context: ChannelHandlerContext) {
        hasStalled = true
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        ClientReading.set(false, on: context.channel)
        context.eventLoop.scheduleTask(in: .milliseconds(300)) {
            let (handler, context) = bound.value
            handler.log.add(request: "STALLED \(handler.input.readableBytes)")
            ClientReading.set(true, on: context.channel)
        }
    }

    /// Bytes of the complete request at the front, if there is one.
    private func requestLength(_ context: ChannelHandlerContext) -> Int? {
        do {
            return try input.withUnsafeReadableBytes { bytes -> Int? in
                guard try head.parse(bytes) else { return nil }
                if head.target.text(in: bytes) == "/early" { return head.headLength }
                switch head.framing {
                case .length(let count):
                    let length = head.headLength + Int(count)
                    return bytes.count >= length ? length : nil
                case .chunked:
                    decoder.reset()
                    let body = UnsafeRawBufferPointer(rebasing: bytes[head.headLength...])
                    let consumed = try decoder.decode(body)
                    return decoder.isComplete ? head.headLength + consumed : nil
                default: return head.headLength
                }
            }
        } catch {
            log.add(request: "REFUSED \(error)")
            context.close(promise: nil)
            return nil
        }
    }

    private func answer(_ context: ChannelHandlerContext, path: String, request: String) {
        let isHead = request.hasPrefix("HEAD ")
        func send(_ text: String) { context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil) }
        func send(body: String, extra: String = "") {
            send("HTTP/1.1 200 OK\r\n\(extra)Content-Length: \(body.utf8.count)\r\n\r\n\(isHead ? "" : body)")
        }
        switch path {
        case "/chunked":
            send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n5\r\nhello\r\n")
            send("0\r\nChecksum: 7\r\n\r\n")
        case "/large": send(body: String(repeating: "x", count: 1 << 20))
        case "/until-close":
            send("HTTP/1.1 200 OK\r\n\r\nabc")
            context.close(mode: .output, promise: nil)
        case "/abort":
            send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            context.close(promise: nil)
        case "/hints": send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        case "/early":
            send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            context.close(mode: .output, promise: nil)
        case "/hold": isWaiting = true
        default: send(body: request)
        }
    }
}

/// A listener with TLS on a free loopback port.
struct TLSTestServer {
    let port: Int
    let log: TLSTestLog
    let contexts: TLSContextStore?
    let channel: any Channel
    let group: MultiThreadedEventLoopGroup
    /// Of the clients, newest last.
    let clients: TLSTestClients

    final class TLSTestClients: Sendable {
        private let channels = Mutex<[any Channel]>([])
        func add(_ channel: any Channel) { channels.withLock { $0.append(channel) } }
        var all: [any Channel] { channels.withLock { $0 } }
    }

    static func with<Result>(
        tls: ProxyOptions.TLS?, http2: ProxyOptions.HTTP2 = .init(), idleTimeout: Duration = .seconds(75),
        _ body: (TLSTestServer) async throws -> Result
    ) async throws -> Result {
        let log = TLSTestLog()
        var contexts: TLSContextStore?
        if let tls { contexts = try TLSContextStore(options: tls, logger: Logger(label: "test")) }
        let pipeline = ClientPipeline(
            contexts: contexts, tls: tls,
            http2: HTTP2Connection(
                options: http2, headLimits: HeadLimits(), idleTimeout: idleTimeout, shutdownTimeout: .seconds(5)),
            makeDownstream: { _, security in TLSTestDownstream(log: log, security: security) },
            events: { log.add(event: $0) })
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let clients = TLSTestClients()
        let channel = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                clients.add(channel)
                return channel.eventLoop.makeCompletedFuture { try pipeline.configure(channel) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let server = TLSTestServer(
            port: channel.localAddress?.port ?? 0, log: log, contexts: contexts, channel: channel, group: group,
            clients: clients)
        do {
            let result = try await body(server)
            try await server.end()
            return result
        } catch {
            try? await server.end()
            throw error
        }
    }

    private func end() async throws {
        try await channel.close()
        try await group.shutdownGracefully()
    }
}
