import NIOCore
import NIOHTTP1

/// How an exchange ended.
enum Answer {
    /// A complete response. `text` holds at most the body's first 64 bytes.
    case response(status: Int, setCookies: [String], text: [UInt8])
    /// `connect`, `reset`, `timeout` or `protocol`.
    case failure(kind: String)
}

/// One keep-alive connection with at most one exchange on it. Lives on its event loop.
final class SoakConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    /// A counter's answer is a few digits; anything longer is an error page.
    private static let keptBytes = 64
    /// A longer body is answered by closing.
    private static let bodyLimit = 1 << 20

    private var context: ChannelHandlerContext?
    private var waiting: ((Answer) -> Void)?
    private var status = 0
    private var setCookies: [String] = []
    private var text: [UInt8] = []
    private var bodyBytes = 0
    private var keepsAlive = true

    /// Whether another request can be sent.
    var isIdle: Bool { waiting == nil && keepsAlive && (context?.channel.isActive ?? false) }

    /// Sends a request without a body. `then` is called once, unless `abandon` comes first.
    func exchange(_ head: HTTPRequestHead, then: @escaping (Answer) -> Void) {
        waiting = then
        setCookies = []
        text.removeAll(keepingCapacity: true)
        bodyBytes = 0
        // A failed write closes the channel, and `channelInactive` tells.
        context?.write(wrapOutboundOut(.head(head)), promise: nil)
        context?.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    /// Closes without telling anybody.
    func abandon() {
        waiting = nil
        keepsAlive = false
        context?.close(promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard waiting != nil else { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            status = Int(head.status.code)
            keepsAlive = head.isKeepAlive
            setCookies = head.headers["set-cookie"]
        case .body(let part):
            bodyBytes += part.readableBytes
            if text.count < Self.keptBytes {
                text.append(contentsOf: part.readableBytesView.prefix(Self.keptBytes - text.count))
            }
            if bodyBytes > Self.bodyLimit { fail(context, kind: "protocol") }
        case .end:
            if !keepsAlive { context.close(promise: nil) }
            finish(.response(status: status, setCookies: setCookies, text: text))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        keepsAlive = false
        finish(.failure(kind: "reset"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case HTTPParserError.invalidEOFState, HTTPParserError.closedConnection: fail(context, kind: "reset")
        case is HTTPParserError: fail(context, kind: "protocol")
        default: fail(context, kind: "reset")
        }
    }

    private func fail(_ context: ChannelHandlerContext, kind: String) {
        keepsAlive = false
        context.close(promise: nil)
        finish(.failure(kind: kind))
    }

    private func finish(_ answer: Answer) {
        guard let then = waiting else { return }
        waiting = nil
        then(answer)
    }
}
