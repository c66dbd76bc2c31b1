import HTTPWire
import NIOCore

/// One health request on a connection of its own: a check that shares the pool's connections would not see an
/// instance that accepts no new ones.
final class HealthCheckHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What is asked, and what is good.
    struct Question {
        /// Value of `Host`.
        var host: String
        var path: String
        var statuses: [ClosedRange<Int>]
        /// Of the whole check.
        var timeout: TimeAmount
        /// The check's beginning plus ``timeout``.
        var deadline: NIODeadline
    }

    private let question: Question
    private var completion: ((String?) -> Void)?
    private var response = ResponseHead()
    private var input = ByteBuffer()
    private var timer: Scheduled<Void>?

    /// - Parameter completion: called once, with the reason for a failure, or nil.
    init(_ question: Question, completion: @escaping (String?) -> Void) {
        self.question = question
        self.completion = completion
    }

    func channelActive(context: ChannelHandlerContext) {
        var out = ByteBuffer()
        out.writeString(
            "GET \(question.path) HTTP/1.1\r\nHost: \(question.host)\r\n"
                + "User-Agent: unstick-health\r\nConnection: close\r\n\r\n")
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(deadline: question.deadline) {
            let (handler, context) = bound.value
            handler.finish(context, "no answer within \(handler.question.timeout.nanoseconds / 1_000_000) ms")
        }
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard completion != nil else { return }
        var bytes = unwrapInboundIn(data)
        input.writeBuffer(&bytes)
        do {
            let complete = try input.withBytes { (bytes) throws(HTTPWireError) in
                try response.parse(bytes, answering: .get)
            }
            guard complete else { return }
            let isGood = question.statuses.contains { $0.contains(response.status) }
            finish(context, isGood ? nil : "answered \(response.status)")
        } catch {
            finish(context, "answered something that is not HTTP")
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(context, "closed the connection without an answer")
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish(context, UpstreamTLS.reason(of: error))
    }

    private func finish(_ context: ChannelHandlerContext, _ reason: String?) {
        timer?.cancel()
        guard let completion else { return }
        self.completion = nil
        context.close(promise: nil)
        completion(reason)
    }
}
