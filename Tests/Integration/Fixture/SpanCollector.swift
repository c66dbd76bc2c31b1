import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Where spans are exported to: keeps every body, and answers that it has taken it.
final class SpanCollector: Sendable {
    private let channel: any Channel
    private let bodies = Mutex<[UInt8]>([])

    var endpoint: String { "http://127.0.0.1:\(channel.localAddress?.port ?? 0)" }
    /// Everything received so far, one export behind the other.
    var received: [UInt8] { bodies.withLock { $0 } }

    private init() async throws {
        let (stream, continuation) = AsyncStream<[UInt8]>.makeStream()
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler { continuation.yield($0) })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        channel.closeFuture.whenComplete { _ in continuation.finish() }
        Task { for await body in stream { bodies.withLock { $0 += body } } }
    }

    static func with(_ test: (SpanCollector) async throws -> Void) async throws {
        let collector = try await SpanCollector()
        do {
            try await test(collector)
        } catch {
            try? await collector.channel.close()
            throw error
        }
        try? await collector.channel.close()
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        private let keep: @Sendable ([UInt8]) -> Void
        private var body: [UInt8] = []

        init(keep: @escaping @Sendable ([UInt8]) -> Void) { self.keep = keep }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head: body = []
            case .body(let part): body += part.readableBytesView
            case .end:
                keep(body)
                let fields: HTTPHeaders = ["Content-Type": "application/x-protobuf", "Content-Length": "0"]
                context.write(
                    wrapOutboundOut(.head(.init(version: .http1_1, status: .ok, headers: fields))), promise: nil)
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
        }
    }
}
