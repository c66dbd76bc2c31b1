import ControlAPI
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

/// A running proxy with a TLS listener, and what a test needs to talk to it.
struct SecureFixture {
    let proxy: ProxyFixture
    let authority: TLSTestAuthority

    var port: Int { proxy.proxy.tlsPort ?? 0 }

    /// - Parameter configure: changes the options after `tls` has been set to one certificate for `a.test`.
    static func with(
        phase: Phase = .sticky, applications: Int = 1, threads: Int = 1,
        timeouts: ProxyOptions.Timeouts = ProxyOptions.Timeouts(),
        configure: (TLSTestAuthority, inout ProxyOptions) async throws -> Void = { _, _ in },
        _ body: (SecureFixture) async throws -> Void
    ) async throws {
        try await TLSTestAuthority.with { authority in
            try await authority.issue("a", subject: "/CN=a.test", alternatives: "DNS:a.test,IP:127.0.0.1")
            var options = ProxyOptions(
                name: "", listenHost: "", listenPort: 0, threads: threads, secret: ProxyFixture.secret, instances: [])
            options.tls = tlsOptions(authority, "a")
            options.limits = .init()
            options.timeouts = timeouts
            try await configure(authority, &options)
            let prepared = options
            try await ProxyFixture.with(
                phase: phase, applications: applications, threads: threads, timeouts: timeouts,
                configure: {
                    $0.tls = prepared.tls
                    $0.http2 = prepared.http2
                    $0.upstreamTLS = prepared.upstreamTLS
                    $0.listenProxyProtocol = prepared.listenProxyProtocol
                    $0.timeouts = prepared.timeouts
                    if let path = prepared.health.path, path != "/healthz" { $0.health = prepared.health }
                }
            ) { fixture in
                try await body(SecureFixture(proxy: fixture, authority: authority))
            }
        }
    }

    func curl(_ arguments: [String] = [], host: String = "a.test", path: String = "/increment") async throws
        -> ProgramResult
    {
        try await run(
            "curl",
            ["-sS", "--noproxy", "*", "--max-time", "20", "--cacert", authority.path("ca.pem")]
                + ["--resolve", "\(host):\(port):127.0.0.1"] + arguments + ["https://\(host):\(port)\(path)"],
            in: authority.folder)
    }

    /// Waits up to 20 s for a report that satisfies the condition.
    func awaitReport(_ condition: @escaping @Sendable (ProxyReport) -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(20)
        while proxy.link.lastReport.map(condition) != true {
            try #require(
                ContinuousClock.now < deadline, "\(String(describing: proxy.link.lastReport?.instances))")
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Routes to these addresses from now on.
    func route(to urls: [String]) async {
        let epoch = proxy.link.publish { table in
            table.instances = urls.enumerated().map {
                RoutingTable.Instance(name: "web-\($0.offset + 1)", url: $0.element)
            }
        }
        await proxy.link.waitForAcknowledgement(of: epoch)
    }
}

/// A client that sends bytes as they are, through TLS or not, and waits for what it wants to see.
final class RawClient: Sendable {
    private struct State {
        var received: [UInt8] = []
        var isClosed = false
    }
    private final class Box: Sendable {
        let state = Mutex(State())
        let notifier = ChangeNotifier()
    }
    private let box: Box
    private let channel: any Channel

    /// - Parameters:
    ///   - prefix: goes before the handshake.
    ///   - tls: for `a.test`, without verification.
    init(port: Int, group: any EventLoopGroup, prefix: [UInt8] = [], tls: Bool = false) async throws {
        let box = Box()
        self.box = box
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        let context = try NIOSSLContext(configuration: configuration)
        channel = try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(Prefix(prefix))
                    if tls { try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: "a.test")) }
                    try pipeline.addHandler(Reader(box))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
    }

    func send(_ bytes: [UInt8]) { channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }
    func send(_ text: String) { send(Array(text.utf8)) }
    func close() { channel.close(promise: nil) }

    var text: String { String(decoding: box.state.withLock { $0.received }, as: UTF8.self) }
    var isClosed: Bool { box.state.withLock { $0.isClosed } }

    func waitForText(_ part: String) async -> Bool { await box.notifier.wait { self.text.contains(part) } }
    func waitForEnd() async -> Bool { await box.notifier.wait { self.isClosed } }

    /// Writes its bytes when the connection is there, before everybody else.
    private final class Prefix: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let bytes: [UInt8]
        init(_ bytes: [UInt8]) { self.bytes = bytes }
        func channelActive(context: ChannelHandlerContext) {
            if !bytes.isEmpty { context.writeAndFlush(NIOAny(ByteBuffer(bytes: bytes)), promise: nil) }
            context.fireChannelActive()
        }
    }

    private final class Reader: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let box: Box
        init(_ box: Box) { self.box = box }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = Array(unwrapInboundIn(data).readableBytesView)
            box.state.withLock { $0.received += bytes }
            box.notifier.changed()
        }
        func channelInactive(context: ChannelHandlerContext) {
            box.state.withLock { $0.isClosed = true }
            box.notifier.changed()
        }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

/// An instance that answers every request with its own head, and an upgrade with 101 and an echo.
final class EchoUpstream: Sendable {
    private let channel: any Channel
    var url: String { "http://127.0.0.1:\(channel.localAddress!.port!)" }

    init(group: any EventLoopGroup) async throws {
        channel = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Handler()) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    func close() async { try? await channel.close() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private var input = ByteBuffer()
        private var isUpgraded = false

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = unwrapInboundIn(data)
            if isUpgraded { return context.writeAndFlush(NIOAny(bytes), promise: nil) }
            input.writeBuffer(&bytes)
            let text = String(buffer: input)
            guard text.hasSuffix("\r\n\r\n") else { return }
            input.clear()
            isUpgraded = text.lowercased().contains("\r\nupgrade: ")
            let upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            let untilClose = text.contains(" /until-close ")
            let answer =
                isUpgraded
                ? upgraded
                : untilClose
                    ? "HTTP/1.1 200 OK\r\n\r\n\(text)"
                    : "HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)"
            context.writeAndFlush(NIOAny(ByteBuffer(string: answer)), promise: nil)
            if untilClose { context.close(promise: nil) }
        }
    }
}
