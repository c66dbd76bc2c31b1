import NIOCore

/// What the user of an upstream connection hears from it.
protocol UpstreamDelegate: AnyObject {
    func upstreamDidRead(_ bytes: ByteBuffer)
    /// Also after an error. Called once; the connection is gone.
    func upstreamDidClose()
    func upstreamWritabilityChanged(isWritable: Bool)
}

/// One keep-alive connection to an instance, bound to one event loop.
///
/// Between two uses it sits in its pool without a delegate; bytes or an end of stream that arrive then make it
/// unusable: an instance must not speak unasked (RFC 9112 section 6.3).
final class UpstreamConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let pool: UpstreamPool
    /// Strong: an exchange whose client has gone lives on through the connection until its mirror write is done. The
    /// cycle ends when the connection is released or closed.
    var delegate: (any UpstreamDelegate)?
    private var context: ChannelHandlerContext?
    private(set) var isOpen = false
    /// Whether a request has been answered on it: only then may a sudden close mean a keep-alive race.
    var wasReused = false
    var idleSince = NIODeadline.uptimeNanoseconds(0)
    private var readsPaused = false

    init(pool: UpstreamPool) {
        self.pool = pool
    }

    var isWritable: Bool { context?.channel.isWritable ?? false }

    func write(_ bytes: ByteBuffer) {
        context?.write(wrapOutboundOut(bytes), promise: nil)
    }

    func flush() {
        context?.flush()
    }

    func close() {
        isOpen = false
        context?.close(promise: nil)
    }

    /// Stops and resumes reading from the instance while its reader is slower.
    func setReading(_ reading: Bool) {
        guard readsPaused == reading, let context else { return }
        readsPaused = !reading
        _ = context.channel.setOption(.autoRead, value: reading)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        isOpen = context.channel.isActive
    }

    func channelActive(context: ChannelHandlerContext) {
        isOpen = true
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let delegate else {
            close()
            return
        }
        delegate.upstreamDidRead(unwrapInboundIn(data))
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        delegate?.upstreamWritabilityChanged(isWritable: context.channel.isWritable)
    }

    func channelInactive(context: ChannelHandlerContext) {
        isOpen = false
        self.context = nil
        let delegate = delegate
        self.delegate = nil
        pool.connectionClosed(self)
        delegate?.upstreamDidClose()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // channelInactive follows and tells the delegate.
        context.close(promise: nil)
    }
}
