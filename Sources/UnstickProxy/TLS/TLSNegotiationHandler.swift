import NIOCore
import NIOSSL
import NIOTLS

/// Stands behind the TLS handler until the handshake is over, then makes place for what the client speaks.
///
/// The handlers to come are shown an active channel only now, so that they see a client that begins with its first byte.
final class TLSNegotiationHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let timeout: TimeAmount
    private var completion: ((ChannelHandlerContext, String?) throws -> Void)?
    private let failed: (ClientConnectionEvent) -> Void
    private var deadline: Scheduled<Void>?
    /// What came in while handlers were exchanged.
    private var held: [NIOAny] = []

    /// - Parameters:
    ///   - timeout: from now to the end of the handshake.
    ///   - failed: told when there will be no completion.
    ///   - completion: adds handlers behind this one, given what ALPN chose (nil: nothing).
    init(
        timeout: TimeAmount, failed: @escaping (ClientConnectionEvent) -> Void,
        completion: @escaping (ChannelHandlerContext, String?) throws -> Void
    ) {
        self.timeout = timeout
        self.failed = failed
        self.completion = completion
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: timeout) {
            let (handler, context) = bound.value
            handler.fail(context, .handshakeTimedOut)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.cancel()
        completion = nil
    }

    func channelActive(context: ChannelHandlerContext) {}

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let negotiated) = event as? TLSUserEvent, let completion else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        self.completion = nil
        deadline?.cancel()
        do {
            try completion(context, negotiated)
        } catch {
            failed(.handshakeFailed(reason: "\(error)"))
            context.close(promise: nil)
            return
        }
        context.fireChannelActive()
        for data in held { context.fireChannelRead(data) }
        if !held.isEmpty { context.fireChannelReadComplete() }
        held = []
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if completion == nil { context.fireChannelRead(data) } else { held.append(data) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard completion != nil else {
            context.fireErrorCaught(error)
            return
        }
        fail(context, .handshakeFailed(reason: "\(error)"))
    }

    func channelInactive(context: ChannelHandlerContext) {
        guard completion != nil else {
            context.fireChannelInactive()
            return
        }
        fail(context, .handshakeFailed(reason: "the client has closed the connection"))
    }

    private func fail(_ context: ChannelHandlerContext, _ event: ClientConnectionEvent) {
        guard completion != nil else { return }
        completion = nil
        deadline?.cancel()
        failed(event)
        context.close(promise: nil)
    }
}
