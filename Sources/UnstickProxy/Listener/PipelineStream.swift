import NIOCore
import SocketLoop

/// A channel's pipeline as a byte stream: its last handler.
///
/// One object is both, because a stream of HTTP/2 needs one for each request.
class PipelineStream: ByteStream, ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What lies below, which decides how it ends.
    enum Transport {
        /// A connection with TLS.
        case connection
        /// A stream of HTTP/2, behind ``HTTP2StreamCodec``.
        case http2Stream
    }

    private var context: ChannelHandlerContext?
    private let transport: Transport
    private var isSending = false

    init(transport: Transport) {
        self.transport = transport
        super.init()
    }

    // MARK: From the pipeline

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { ended() }

    func channelActive(context: ChannelHandlerContext) { context.fireChannelActive() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        unwrapInboundIn(data).withUnsafeReadableBytes { delegate?.streamDidRead($0) }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        delegate?.streamWritabilityChanged(isWritable: context.channel.isWritable)
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        ended()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    /// The channel is gone.
    private func ended() {
        guard let context else { return }
        self.context = nil
        guard isSending else { return tellEnd() }
        // The last frame of a response ends its stream while the exchange is in the middle of sending it.
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute { bound.value.tellEnd() }
    }

    private func tellEnd() {
        let delegate = delegate
        self.delegate = nil
        delegate?.streamDidClose()
    }

    // MARK: ByteStream

    override func send(_ bytes: UnsafeRawBufferPointer) {
        guard let context, !bytes.isEmpty else { return }
        send(ByteBuffer(bytes: bytes), context)
    }

    override func send(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) {
        guard let context, !first.isEmpty || !second.isEmpty else { return }
        var buffer = context.channel.allocator.buffer(capacity: first.count + second.count)
        buffer.writeBytes(first)
        buffer.writeBytes(second)
        send(buffer, context)
    }

    private func send(_ buffer: ByteBuffer, _ context: ChannelHandlerContext) {
        isSending = true
        context.writeAndFlush(NIOAny(buffer), promise: nil)
        isSending = false
    }

    /// What is sent to a channel that is gone is dropped: nothing to wait for.
    override var isWritable: Bool { context?.channel.isWritable ?? true }

    override func setReading(_ reading: Bool) {
        guard let context else { return }
        ClientReading.set(reading, on: context.channel)
    }

    override func finish(lingers: Bool) {
        guard let context = leave() else { return }
        switch transport {
        // TLS says close_notify and waits for the peer's; what lies below has sent everything by then.
        case .connection: context.close(mode: .all, promise: nil)
        // A body whose end is the end of the connection ends well; see the codec.
        case .http2Stream: context.close(mode: .output, promise: nil)
        }
    }

    override func close() {
        guard let context = leave() else { return }
        // A close_notify would say that an answer cut short is whole (RFC 8446 section 6.1).
        if transport == .connection, let channel = context.channel as? StreamChannel {
            context.triggerUserOutboundEvent(RecordJoiningHandler.FlushNow(), promise: nil)
            channel.abort()
        } else {
            context.close(mode: .all, promise: nil)
        }
    }

    private func leave() -> ChannelHandlerContext? {
        let context = context
        self.context = nil
        delegate = nil
        return context
    }
}
