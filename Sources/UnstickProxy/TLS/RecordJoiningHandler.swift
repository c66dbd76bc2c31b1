import NIOCore

/// Stands right behind the TLS handler and joins what is written in one round of the event loop, so that it becomes one
/// record: the handler makes a record of each write, and an answer in HTTP/2 is two or three of them.
final class RecordJoiningHandler: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// An outbound event: what has been flushed goes on at once, because the channel is about to be closed from below.
    struct FlushNow: Sendable {}

    /// A record's most (RFC 8446 section 5.1). Writes of this size go on as they are.
    private static let recordBytesMax = 16_384

    private var joined = ByteBuffer()
    /// Of the writes in `joined`.
    private var promises: [EventLoopPromise<Void>] = []
    private var isFlushDue = false

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let bytes = unwrapOutboundIn(data)
        if joined.readableBytes + bytes.readableBytes > Self.recordBytesMax { passOn(context) }
        guard bytes.readableBytes < Self.recordBytesMax else {
            context.write(data, promise: promise)
            return
        }
        if let promise { promises.append(promise) }
        joined.writeImmutableBuffer(bytes)
    }

    func flush(context: ChannelHandlerContext) {
        guard !isFlushDue else { return }
        isFlushDue = true
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        // Tasks run behind the round's events.
        context.eventLoop.execute {
            let (handler, context) = bound.value
            handler.flushNow(context)
        }
    }

    private func flushNow(_ context: ChannelHandlerContext) {
        guard isFlushDue else { return }
        isFlushDue = false
        passOn(context)
        context.flush()
    }

    private func passOn(_ context: ChannelHandlerContext) {
        guard joined.readableBytes > 0 || !promises.isEmpty else { return }
        let bytes = joined
        let promises = promises
        joined = ByteBuffer()
        self.promises = []
        context.write(wrapOutboundOut(bytes), promise: Self.joined(promises, context))
    }

    private static func joined(_ promises: [EventLoopPromise<Void>], _ context: ChannelHandlerContext)
        -> EventLoopPromise<Void>?
    {
        guard promises.count > 1 else { return promises.first }
        let all = context.eventLoop.makePromise(of: Void.self)
        all.futureResult.whenComplete { result in
            for promise in promises { promise.completeWith(result) }
        }
        return all
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        flushNow(context)
        context.close(mode: mode, promise: promise)
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard event is FlushNow else { return context.triggerUserOutboundEvent(event, promise: promise) }
        flushNow(context)
        promise?.succeed()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        isFlushDue = false
        joined = ByteBuffer()
        let promises = promises
        self.promises = []
        for promise in promises { promise.fail(ChannelError.ioOnClosedChannel) }
    }
}
