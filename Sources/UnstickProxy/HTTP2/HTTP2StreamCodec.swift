import HTTPWire
import NIOCore
import NIOHPACK
import NIOHTTP2

/// Stands in a stream's pipeline between HTTP/2 frames and a handler that serves one HTTP/1.1 client connection.
///
/// The handler sees a client that sends one request and then waits. What it does is said in HTTP/2's words: closing after a
/// whole response ends the stream; closing before that resets it with INTERNAL_ERROR. A client's RST_STREAM makes the
/// stream's channel inactive, which the handler sees as a client that has gone.
final class HTTP2StreamCodec: ChannelDuplexHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = HTTP2Frame.FramePayload

    private var request = HTTP2RequestTranslator()
    private var response: HTTP2ResponseTranslator
    /// After a fault or a reset: nothing passes in either direction any more.
    private var isOver = false
    /// The frame with END_STREAM has left this process.
    private var isResponseSent = false
    private var isClosing = false
    /// Empty; keeps its memory between writes.
    private var scratch: [HTTP2Frame.FramePayload] = []
    /// How long a response that is complete may wait for the client's flow control once the exchange is over.
    private let drainTimeout: TimeAmount
    private let faults: (@Sendable (HTTP2RequestFault) -> Void)?

    /// - Parameters:
    ///   - limits: of the response's head.
    ///   - drainTimeout: how long a complete response may wait for the client to take it.
    ///   - faults: told of each request that is refused here, for counters and logs.
    init(limits: HeadLimits, drainTimeout: TimeAmount, faults: (@Sendable (HTTP2RequestFault) -> Void)? = nil) {
        response = HTTP2ResponseTranslator(limits: limits)
        self.drainTimeout = drainTimeout
        self.faults = faults
    }

    // MARK: From the client

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        var bytes = ByteBuffer()
        var endsStream = false
        do throws(HTTP2RequestFault) {
            switch unwrapInboundIn(data) {
            case .headers(let headers):
                endsStream = headers.endStream
                try request.headers(headers.headers, endStream: headers.endStream, into: &bytes)
            case .data(let data):
                guard case .byteBuffer(let content) = data.data else { return }
                endsStream = data.endStream
                try request.data(content, endStream: data.endStream, into: &bytes)
            default: return
            }
        } catch {
            return refuse(context, error, endsStream: endsStream)
        }
        if bytes.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(bytes)) }
    }

    /// A stream that ended with a reset says so as an error, just before it becomes inactive.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard context.channel.isActive else { return }
        reset(context, .internalError)
    }

    private func refuse(_ context: ChannelHandlerContext, _ fault: HTTP2RequestFault, endsStream: Bool) {
        faults?(fault)
        switch fault.answer {
        case .reset: reset(context, .protocolError)
        case .status(let status):
            isOver = true
            let fields: HPACKHeaders = [":status": String(status), "content-length": "0"]
            // The handler has seen nothing of this request, or it could answer too.
            context.write(wrapOutboundOut(.headers(.init(headers: fields, endStream: true))), promise: nil)
            if !endsStream { context.write(wrapOutboundOut(.rstStream(.noError)), promise: nil) }
            context.flush()
        }
    }

    // MARK: From the exchange

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !isOver else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        // Collected first: writing may call back into this handler.
        var frames = scratch
        scratch = []
        do throws(HTTP2ResponseTranslator.Fault) {
            try response.receive(unwrapOutboundIn(data), answering: request.method) { frames.append($0) }
        } catch {
            promise?.fail(error)
            return reset(context, .internalError)
        }
        guard let last = frames.popLast() else {
            promise?.succeed()
            return
        }
        for frame in frames { context.write(wrapOutboundOut(frame), promise: nil) }
        write(context, last, promise: promise)
        frames.removeAll(keepingCapacity: true)
        scratch = frames
    }

    private func write(
        _ context: ChannelHandlerContext, _ payload: HTTP2Frame.FramePayload, promise: EventLoopPromise<Void>?
    ) {
        guard response.isComplete else {
            context.write(wrapOutboundOut(payload), promise: promise)
            return
        }
        let sent = promise ?? context.eventLoop.makePromise()
        sent.futureResult.assumeIsolated().whenComplete { _ in
            self.isResponseSent = true
            if self.isClosing { self.finish(context) }
        }
        context.write(wrapOutboundOut(payload), promise: sent)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        // A stream's reading side cannot be closed by itself.
        guard mode != .input else {
            promise?.succeed()
            return
        }
        guard !isOver, context.channel.isActive else {
            context.close(mode: .all, promise: promise)
            return
        }
        promise?.succeed()
        guard !isClosing else { return }
        // A body that ends with the connection ends properly only when the sender says so (RFC 9112 section 8): that is
        // closing one direction. Closing both is giving up.
        var last: HTTP2Frame.FramePayload?
        let isProperEnd = response.isComplete || (mode == .output && response.end { last = $0 })
        guard isProperEnd else { return reset(context, .internalError) }
        isClosing = true
        if let last {
            write(context, last, promise: nil)
            context.flush()
        } else if isResponseSent {
            finish(context)
        }
        guard !isResponseSent else { return }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: drainTimeout) {
            let (codec, context) = bound.value
            if !codec.isOver { codec.reset(context, .cancel) }
        }
    }

    /// The response is out. What the client still sends of its request is of no interest (RFC 9113 section 8.1).
    private func finish(_ context: ChannelHandlerContext) {
        guard !isOver, context.channel.isActive else { return }
        if request.isComplete {
            // Both sides have said END_STREAM: the stream closes by itself.
            isOver = true
        } else {
            reset(context, .noError)
        }
    }

    private func reset(_ context: ChannelHandlerContext, _ code: HTTP2ErrorCode) {
        guard !isOver else { return }
        isOver = true
        context.writeAndFlush(wrapOutboundOut(.rstStream(code)), promise: nil)
    }
}
