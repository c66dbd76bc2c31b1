import NIOCore
import SocketLoop

/// Serves the client behind a channel's pipeline (TLS, a stream of HTTP/2) with an ``Exchange``.
final class DownstreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let loop: ProxyLoop
    private let identity: ClientIdentity
    private let security: ClientSecurity
    private var stream: PipelineStream?

    init(loop: ProxyLoop, identity: ClientIdentity, security: ClientSecurity) {
        self.loop = loop
        self.identity = identity
        self.security = security
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { start(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        start(context)
        context.fireChannelActive()
    }

    private func start(_ context: ChannelHandlerContext) {
        guard stream == nil else { return }
        let stream = PipelineStream(context: context)
        self.stream = stream
        loop.serve(stream, of: identity, security: security)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        bytes.withUnsafeReadableBytes { stream?.delegate?.streamDidRead($0) }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stream?.delegate?.streamWritabilityChanged(isWritable: context.channel.isWritable)
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        stream?.ended()
        stream = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

/// A channel's pipeline as an exchange sees it.
final class PipelineStream: ByteStream {
    private var context: ChannelHandlerContext?

    init(context: ChannelHandlerContext) {
        self.context = context
        super.init()
    }

    override func send(_ bytes: UnsafeRawBufferPointer) {
        guard let context, !bytes.isEmpty else { return }
        var buffer = context.channel.allocator.buffer(capacity: bytes.count)
        buffer.writeBytes(bytes)
        context.writeAndFlush(NIOAny(buffer), promise: nil)
    }

    override func send(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) {
        guard let context, !first.isEmpty || !second.isEmpty else { return }
        var buffer = context.channel.allocator.buffer(capacity: first.count + second.count)
        buffer.writeBytes(first)
        buffer.writeBytes(second)
        context.writeAndFlush(NIOAny(buffer), promise: nil)
    }

    override var isWritable: Bool { context?.channel.isWritable ?? false }

    override func setReading(_ reading: Bool) {
        guard let context else { return }
        ClientReading.set(reading, on: context.channel)
    }

    override func finish(lingers: Bool) {
        // What lies below knows how to hand over what it has taken before it closes.
        close()
    }

    override func close() {
        let context = context
        self.context = nil
        delegate = nil
        context?.close(promise: nil)
    }

    /// The channel is gone.
    func ended() {
        context = nil
        let delegate = delegate
        self.delegate = nil
        delegate?.streamDidClose()
    }
}
