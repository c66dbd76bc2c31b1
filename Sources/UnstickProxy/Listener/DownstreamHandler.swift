import NIOCore

/// Hands a client connection's events to its ``Exchange``.
final class DownstreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let loop: ProxyLoop
    private var exchange: Exchange?

    init(loop: ProxyLoop) {
        self.loop = loop
    }

    func channelActive(context: ChannelHandlerContext) {
        let address = Array((context.remoteAddress?.ipAddress ?? "unknown").utf8)
        let exchange = Exchange(loop: loop, clientAddress: address)
        exchange.client = context
        self.exchange = exchange
        loop.register(exchange)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        exchange?.clientRead(unwrapInboundIn(data))
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        exchange?.clientWritabilityChanged(isWritable: context.channel.isWritable)
    }

    func channelInactive(context: ChannelHandlerContext) {
        let exchange = exchange
        self.exchange = nil
        exchange?.clientClosed()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
