import NIOCore
import NIOTLS
import SocketLoop

/// A TLS connection to an instance as its pool sees it: a stream, once the handshake is over.
final class UpstreamTLSStream: PipelineStream {
    /// Why there is no connection.
    enum Failure: Error {
        case timedOut
        /// As the end of "web-1: …".
        case refused(String)
    }

    private var completion: ((Result<UpstreamTLSStream, Failure>) -> Void)?
    private var timer: Scheduled<Void>?
    private let deadline: NIODeadline

    private init(deadline: NIODeadline, completion: @escaping (Result<UpstreamTLSStream, Failure>) -> Void) {
        self.deadline = deadline
        self.completion = completion
        super.init(transport: .connection)
    }

    /// Begins the handshake on a connected socket.
    ///
    /// - Parameter completion: called once, on the loop, maybe before this returns.
    static func open(
        over socket: Socket, host: String, tls: UpstreamTLSSource, loop: SocketLoop, deadline: NIODeadline,
        completion: @escaping (Result<UpstreamTLSStream, Failure>) -> Void
    ) {
        // A certificate for an address is compared with the channel's; see ``UpstreamTLS/handlers(host:)``.
        let address = try? SocketAddress(ipAddress: host, port: 0)
        let channel = StreamChannel(stream: socket, loop: loop, remoteAddress: address)
        let stream = UpstreamTLSStream(deadline: deadline, completion: completion)
        do {
            try channel.pipeline.syncOperations.addHandlers(try tls.handlers(host: host) + [stream])
        } catch {
            socket.close()
            return stream.end(.failure(.refused(UpstreamTLS.reason(of: error))))
        }
        channel.activate()
    }

    private func end(_ result: Result<UpstreamTLSStream, Failure>) {
        timer?.cancel()
        timer = nil
        guard let completion else { return }
        self.completion = nil
        if case .failure = result { close() }
        completion(result)
    }

    override func handlerAdded(context: ChannelHandlerContext) {
        super.handlerAdded(context: context)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(deadline: deadline) { bound.value.end(.failure(.timedOut)) }
    }

    override func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted = event as? TLSUserEvent { end(.success(self)) }
        context.fireUserInboundEventTriggered(event)
    }

    override func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard completion != nil else { return super.errorCaught(context: context, error: error) }
        end(.failure(.refused(UpstreamTLS.reason(of: error))))
    }

    override func channelInactive(context: ChannelHandlerContext) {
        end(.failure(.refused("closed the connection during the TLS handshake")))
        super.channelInactive(context: context)
    }
}
