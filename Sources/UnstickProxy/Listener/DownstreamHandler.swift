import NIOCore
import SocketLoop

/// Serves the client behind a channel's pipeline (TLS, a stream of HTTP/2) from the moment the channel is active.
final class DownstreamHandler: PipelineStream {
    private let loop: ProxyLoop
    private let identity: ClientIdentity
    private let security: ClientSecurity
    private var isServed = false

    init(loop: ProxyLoop, identity: ClientIdentity, security: ClientSecurity) {
        self.loop = loop
        self.identity = identity
        self.security = security
        super.init(transport: security.isHTTP2 ? .http2Stream : .connection)
    }

    override func handlerAdded(context: ChannelHandlerContext) {
        super.handlerAdded(context: context)
        if security.isHTTP2, context.channel.isActive { serve() }
    }

    override func channelActive(context: ChannelHandlerContext) {
        serve()
        super.channelActive(context: context)
    }

    private func serve() {
        guard !isServed else { return }
        isServed = true
        loop.serve(self, of: identity, security: security)
    }
}
