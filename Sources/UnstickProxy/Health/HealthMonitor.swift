import NIOCore
import NIOPosix
import UnstickCore

/// Asks every instance for its health path, again and again, on one event loop of NIO's own, and reports each verdict.
/// Everything here happens on that loop; the report's receiver hops to where it needs the result.
///
/// Each instance has its own rhythm (``HealthCheckSchedule``): instances are not all asked at once, and one that is not
/// healthy is asked more often.
final class HealthMonitor {
    /// Handlers that stand between the socket and the check, such as TLS; called on the monitor's loop for each check.
    typealias TransportHandlers = (RoutingTable.Instance) throws -> [any ChannelHandler]

    private struct Watched {
        var instance: RoutingTable.Instance
        var state: HealthState
        /// Of the check under way, or nil.
        var check: UInt64?
        var timer: Scheduled<Void>?
    }

    private let options: ProxyOptions.Health
    private let eventLoop: any EventLoop
    private let transport: TransportHandlers?
    /// Called on the monitor's loop with each result: name, healthy, reason.
    private let report: (String, Bool, String?) -> Void
    private var schedule: HealthCheckSchedule
    private var watched: [String: Watched] = [:]
    private var lastCheck: UInt64 = 0
    private var stopped = false

    /// - Parameters:
    ///   - seed: of the pauses' jitter.
    ///   - transport: what `https` instances need; nil: plain sockets.
    ///   - report: called on `eventLoop` as soon as an instance's verdict is known, and after every check from then on:
    ///     name, whether it is healthy, and why the last check failed (nil when it did not).
    init(
        options: ProxyOptions.Health, eventLoop: any EventLoop, seed: UInt64 = .random(in: 0 ... .max),
        transport: TransportHandlers? = nil, report: @escaping (String, Bool, String?) -> Void
    ) {
        self.options = options
        self.eventLoop = eventLoop
        self.transport = transport
        self.report = report
        schedule = HealthCheckSchedule(options: options, seed: seed)
    }

    /// Ends all checks; results of those under way are dropped.
    func stop() {
        stopped = true
        for entry in watched.values { entry.timer?.cancel() }
        watched = [:]
    }

    /// Watches exactly these instances from now on. New ones, and those with a new address, are checked at once and
    /// have no verdict; the others keep their rhythm.
    func watch(_ instances: [RoutingTable.Instance]) {
        guard options.path != nil, !stopped else { return }
        let names = Set(instances.map(\.name))
        for (name, entry) in watched where !names.contains(name) {
            entry.timer?.cancel()
            watched[name] = nil
        }
        for instance in instances {
            if let entry = watched[instance.name] {
                guard entry.instance.url != instance.url else { continue }
                entry.timer?.cancel()
            }
            watched[instance.name] = Watched(
                instance: instance, state: HealthState(rise: options.rise, fall: options.fall))
            check(instance.name)
        }
    }

    private func check(_ name: String) {
        guard let path = options.path, let entry = watched[name], entry.check == nil else { return }
        lastCheck &+= 1
        let number = lastCheck
        watched[name]?.check = number
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let pause = schedule.pause(isHealthy: entry.state.isHealthy)
        watched[name]?.timer = eventLoop.scheduleTask(in: pause) { bound.value.pauseEnded(name) }

        let origin = InstanceOrigin(url: entry.instance.url)
        let timeout = TimeAmount(options.timeout)
        let question = HealthCheckHandler.Question(
            host: options.host ?? origin.authority, path: path, statuses: options.statuses, timeout: timeout,
            deadline: .now() + timeout)
        let instance = entry.instance
        ClientBootstrap(group: eventLoop)
            .connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    for handler in try bound.value.transport?(instance) ?? [] { try pipeline.addHandler(handler) }
                    try pipeline.addHandler(
                        HealthCheckHandler(question) { reason in
                            bound.value.finished(name, check: number, reason: reason)
                        })
                }
            }
            .connect(host: origin.host, port: origin.port)
            .whenFailure { error in
                let reason =
                    switch error {
                    case let error as NIOConnectionError: error.connectionErrors.first.map { "\($0.error)" }
                    case ChannelError.connectTimeout: nil as String?
                    default: UpstreamTLS.reason(of: error)
                    }
                bound.value.finished(
                    name, check: number, reason: reason ?? "cannot connect within \(bound.value.options.timeout)")
            }
    }

    /// A check that is still under way (a timeout about as long as the pause) is not asked a second time.
    private func pauseEnded(_ name: String) {
        guard let entry = watched[name] else { return }
        guard entry.check != nil else { return check(name) }
        watched[name]?.timer = nil
    }

    private func finished(_ name: String, check number: UInt64, reason: String?) {
        // A result for an address that the instance no longer has, or of an instance that is gone, says nothing.
        guard var entry = watched[name], entry.check == number else { return }
        entry.check = nil
        _ = entry.state.record(success: reason == nil)
        watched[name] = entry
        if let healthy = entry.state.isHealthy { report(name, healthy, reason) }
        // The pause was shorter than the check.
        if watched[name]?.timer == nil { check(name) }
    }
}
