import NIOCore
import SocketLoop

/// Why no connection to an instance could be had. In every case the instance has seen nothing of the request, so
/// another one may serve it.
enum UpstreamUnavailable: Error {
    case refused
    case timedOut
    case queueFull
}

/// One instance as one event loop sees it: its connections, its load, its health.
final class UpstreamPool {
    let name: String
    let origin: InstanceOrigin
    let authority: String
    private(set) var weight: Int
    private let eventLoop: SocketLoop
    private let limits: ProxyOptions.Limits
    private let timeouts: ProxyOptions.Timeouts
    private let tls: UpstreamTLSSource

    /// Most recently used last: the hot ones stay warm, the cold ones time out.
    private var idle: [UpstreamConnection] = []
    private(set) var open = 0
    /// Since the start.
    private(set) var connectionsOpened: UInt64 = 0
    var idleCount: Int { idle.count }
    var waitingCount: Int { waiters.count }
    private var waiters: [Waiter] = []

    /// Requests handed to the instance and not finished.
    private(set) var inFlight = 0
    private(set) var requests: UInt64 = 0
    /// What checks, breaker and ejection say of the instance.
    var condition: InstanceCondition
    /// What came between the last try to connect and a connection; nil when there is nothing to tell.
    private(set) var lastConnectFailure: String?
    /// Whether it may be chosen for work that any instance may do; kept by ``ProxyLoop``, which knows its peers.
    var isHealthy = true
    /// Where ``LoopMetrics`` counts for it.
    let metricsSlot: UInt16
    /// The instance's process start, as last heard from its bridge.
    var incarnation: String?

    private struct Waiter {
        let deadline: NIODeadline
        let completion: (Result<UpstreamConnection, UpstreamUnavailable>) -> Void
    }

    init(
        name: String, origin: InstanceOrigin, weight: Int, eventLoop: SocketLoop, limits: ProxyOptions.Limits,
        timeouts: ProxyOptions.Timeouts, tls: UpstreamTLSSource, condition: InstanceCondition, metricsSlot: UInt16
    ) {
        self.condition = condition
        self.metricsSlot = metricsSlot
        self.name = name
        self.origin = origin
        authority = origin.authority
        self.weight = weight
        self.eventLoop = eventLoop
        self.limits = limits
        self.timeouts = timeouts
        self.tls = tls
    }

    func update(weight: Int) { self.weight = weight }

    /// A connection that is open and unused, without allocating anything: the usual case.
    func takeIdle() -> UpstreamConnection? {
        while let connection = idle.popLast() {
            guard connection.isOpen else { continue }
            connection.wasReused = true
            return connection
        }
        return nil
    }

    /// Gives a connection, now or later. The completion runs on the event loop, maybe before this returns.
    func acquire(
        fresh: Bool = false, _ completion: @escaping (Result<UpstreamConnection, UpstreamUnavailable>) -> Void
    ) {
        if !fresh, let connection = takeIdle() { return completion(.success(connection)) }
        guard open < limits.upstreamConnections else {
            guard waiters.count < limits.upstreamQueue else {
                completion(.failure(.queueFull))
                return
            }
            waiters.append(
                Waiter(deadline: .now() + TimeAmount(timeouts.connect), completion: completion))
            return
        }
        connect(completion)
    }

    private func connect(_ completion: @escaping (Result<UpstreamConnection, UpstreamUnavailable>) -> Void) {
        open += 1
        let timeout = TimeAmount(timeouts.connect)
        let deadline = NIODeadline.now() + timeout
        eventLoop.connect(host: origin.host, port: origin.port, timeout: timeout) { result in
            switch result {
            case .success(let socket):
                if self.origin.isSecure {
                    self.secure(socket, until: deadline, completion)
                } else {
                    self.connected(socket, completion)
                }
            case .failure(let error):
                self.connectFailed(error.isTimeout ? .timedOut : .refused, reason: nil, completion)
            }
        }
    }

    private func secure(
        _ socket: Socket, until deadline: NIODeadline,
        _ completion: @escaping (Result<UpstreamConnection, UpstreamUnavailable>) -> Void
    ) {
        UpstreamTLSStream.open(over: socket, host: origin.host, tls: tls, loop: eventLoop, deadline: deadline) {
            result in
            switch result {
            case .success(let stream): self.connected(stream, completion)
            case .failure(.timedOut):
                self.connectFailed(.timedOut, reason: "the TLS handshake takes too long", completion)
            case .failure(.refused(let reason)): self.connectFailed(.refused, reason: reason, completion)
            }
        }
    }

    private func connected(
        _ stream: ByteStream, _ completion: (Result<UpstreamConnection, UpstreamUnavailable>) -> Void
    ) {
        connectionsOpened &+= 1
        lastConnectFailure = nil
        completion(.success(UpstreamConnection(pool: self, stream: stream)))
    }

    private func connectFailed(
        _ failure: UpstreamUnavailable, reason: String?,
        _ completion: (Result<UpstreamConnection, UpstreamUnavailable>) -> Void
    ) {
        open -= 1
        if let reason { lastConnectFailure = reason }
        completion(.failure(failure))
        serveWaiters()
    }

    /// Takes a connection back whose response has been read to the end.
    func release(_ connection: UpstreamConnection, now: NIODeadline) {
        connection.delegate = nil
        guard connection.isOpen else { return }
        connection.setReading(true)
        if !waiters.isEmpty {
            let waiter = waiters.removeFirst()
            connection.wasReused = true
            waiter.completion(.success(connection))
            return
        }
        connection.idleSince = now
        idle.append(connection)
    }

    func connectionClosed(_ connection: UpstreamConnection) {
        open -= 1
        if let index = idle.firstIndex(where: { $0 === connection }) { idle.remove(at: index) }
        serveWaiters()
    }

    private func serveWaiters() {
        guard !waiters.isEmpty, open < limits.upstreamConnections else { return }
        connect(waiters.removeFirst().completion)
    }

    /// Closes what has been idle too long and fails waiters whose deadline is over. Called once per tick.
    func expire(now: NIODeadline) {
        let limit = TimeAmount(timeouts.upstreamIdle)
        let cold = idle.prefix { now - $0.idleSince > limit }
        if !cold.isEmpty {
            idle.removeFirst(cold.count)
            for connection in cold { connection.close() }
        }
        while let first = waiters.first, first.deadline <= now {
            waiters.removeFirst()
            first.completion(.failure(.timedOut))
        }
    }

    func closeIdle() {
        let connections = idle
        idle = []
        for connection in connections { connection.close() }
    }

    func requestStarted() {
        inFlight += 1
        requests &+= 1
    }

    func requestEnded() {
        inFlight -= 1
    }

    /// Why it may not be chosen, or why the last try to connect failed, for reports: also while a circuit that has opened
    /// waits for a request to try it again.
    var trouble: String? {
        guard let cause = condition.mayTakeNewWork ? nil : condition.reason else { return lastConnectFailure }
        return lastConnectFailure.map { "\(cause) (\($0))" } ?? cause
    }
}
