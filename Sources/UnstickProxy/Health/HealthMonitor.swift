import HTTPWire
import NIOCore
import NIOPosix
import UnstickCore

/// Asks every instance of the table for its health path, again and again, on one event loop, and tells all loops.
final class HealthMonitor {
    private let options: ProxyOptions.Health
    private let eventLoop: any EventLoop
    /// Called on the monitor's loop with each result: name, healthy, reason.
    private let report: (String, Bool, String?) -> Void
    private var states: [String: HealthState] = [:]
    private var checking: Set<String> = []
    private var stopped = false

    init(options: ProxyOptions.Health, eventLoop: any EventLoop, report: @escaping (String, Bool, String?) -> Void) {
        self.options = options
        self.eventLoop = eventLoop
        self.report = report
    }

    func stop() { stopped = true }

    /// Starts one check of each instance that has none under way.
    func checkAll(_ instances: [RoutingTable.Instance]) {
        guard let path = options.path, !stopped else { return }
        let names = Set(instances.map(\.name))
        states = states.filter { names.contains($0.key) }
        for instance in instances where !checking.contains(instance.name) {
            checking.insert(instance.name)
            check(instance, path: path)
        }
    }

    private func check(_ instance: RoutingTable.Instance, path: String) {
        let address = InstanceAddress(url: instance.url)
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let name = instance.name
        let timeout = TimeAmount(options.timeout)
        ClientBootstrap(group: eventLoop)
            .connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = HealthCheckHandler(
                        host: address.host, port: address.port, path: path, timeout: timeout
                    ) { reason in
                        bound.value.finished(name, reason: reason)
                    }
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .connect(host: address.host, port: address.port)
            .whenFailure { error in
                if let error = error as? NIOConnectionError, let first = error.connectionErrors.first {
                    bound.value.finished(name, reason: "\(first.error)")
                } else {
                    bound.value.finished(name, reason: "cannot connect within \(bound.value.options.timeout)")
                }
            }
    }

    private func finished(_ name: String, reason: String?) {
        guard checking.remove(name) != nil else { return }
        var state = states[name] ?? HealthState(rise: options.rise, fall: options.fall)
        _ = state.record(success: reason == nil)
        states[name] = state
        if let healthy = state.isHealthy { report(name, healthy, reason) }
    }
}

/// One health request on a connection of its own: a check that shares the pool's connections would not see an
/// instance that accepts no new ones.
private final class HealthCheckHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let host: String
    private let port: Int
    private let path: String
    private let timeout: TimeAmount
    private var completion: ((String?) -> Void)?
    private var response = ResponseHead()
    private var input = ByteBuffer()
    private var timer: Scheduled<Void>?

    init(host: String, port: Int, path: String, timeout: TimeAmount, completion: @escaping (String?) -> Void) {
        self.host = host
        self.port = port
        self.path = path
        self.timeout = timeout
        self.completion = completion
    }

    func channelActive(context: ChannelHandlerContext) {
        var out = ByteBuffer()
        out.writeString(
            "GET \(path) HTTP/1.1\r\nHost: \(host.contains(":") ? "[\(host)]" : host):\(port)\r\n"
                + "User-Agent: unstick-health\r\nConnection: close\r\n\r\n")
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let timeout = timeout
        timer = context.eventLoop.scheduleTask(in: timeout) {
            let (handler, context) = bound.value
            handler.finish(context, "no answer within \(timeout.nanoseconds / 1_000_000) ms")
        }
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
            finish(context, (200..<400).contains(response.status) ? nil : "answered \(response.status)")
        } catch {
            finish(context, "answered something that is not HTTP")
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(context, "closed the connection without an answer")
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish(context, "\(error)")
    }

    private func finish(_ context: ChannelHandlerContext, _ reason: String?) {
        timer?.cancel()
        guard let completion else { return }
        self.completion = nil
        context.close(promise: nil)
        completion(reason)
    }
}
