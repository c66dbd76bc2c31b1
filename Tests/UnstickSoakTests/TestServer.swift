import NIOCore
import NIOHTTP1
import NIOPosix

/// Serves an application on a loopback port of its own.
func withServer<Result>(
    _ application: CounterApplication, _ body: (_ url: String) async throws -> Result
) async throws -> Result {
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .serverChannelOption(.backlog, value: 256)
        .childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                try channel.pipeline.syncOperations.addHandler(ApplicationHandler(application))
            }
        }
        .bind(host: "127.0.0.1", port: 0)
        .get()
    let port = channel.localAddress?.port ?? 0
    do {
        let result = try await body("http://127.0.0.1:\(port)")
        try await channel.close()
        return result
    } catch {
        try await channel.close()
        throw error
    }
}

private final class ApplicationHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let application: CounterApplication
    private var head: HTTPRequestHead?

    init(_ application: CounterApplication) { self.application = application }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head else { return }
            let parts = head.uri.split(separator: "?", maxSplits: 1)
            let cookies = head.headers["cookie"].flatMap { $0.split(separator: ";") }
            let sessionID = cookies.map { $0.drop { $0 == " " } }.first { $0.hasPrefix("sid=") }.map {
                String($0.dropFirst(4))
            }
            let request = CounterApplication.Request(
                method: head.method.rawValue, path: String(parts[0]),
                key: parts.count == 2 ? String(parts[1].dropFirst("key=".count)) : "default",
                sessionID: sessionID)
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
            let loop = context.eventLoop
            application.handle(request) { reply in
                loop.execute { handler.value.write(reply, bound.value) }
            }
        }
    }

    private func write(_ reply: CounterApplication.Reply, _ context: ChannelHandlerContext) {
        switch reply {
        case .response(let status, let text, let setCookies):
            var headers = HTTPHeaders([("Content-Length", "\(text.utf8.count)")])
            for cookie in setCookies { headers.add(name: "Set-Cookie", value: cookie) }
            let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: status), headers: headers)
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        case .failure(.status(let status)):
            write(.response(status: status, text: "no", setCookies: []), context)
        case .failure(.close): context.close(promise: nil)
        case .failure(.closeInTheMiddle):
            let head = HTTPResponseHead(version: .http1_1, status: .ok, headers: ["Content-Length": "10"])
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: "1"))))).assumeIsolated()
                .whenComplete { _ in context.close(promise: nil) }
        case .failure(.silence): break
        case .failure(.garbage): write(.response(status: 200, text: "<html>", setCookies: []), context)
        }
    }
}
