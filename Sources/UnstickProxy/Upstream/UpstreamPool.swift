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
    private var open = 0
    private var waiters: [Waiter] = []
    private var connectFailuresInRow = 0

    /// Requests handed to the instance and not finished.
    private(set) var inFlight = 0
    private(set) var requests: UInt64 = 0
    /// By the health monitor; nil until it knows.
    var activeHealth: Bool?
    var unhealthyReason: String?
    /// The instance's process start, as last heard from its bridge.
    var incarnation: String?

    private struct Waiter {
        let deadline: NIODeadline
        let completion: (Result<UpstreamConnection, UpstreamUnavailable>) -> Void
    }

    init(
        name: String, origin: InstanceOrigin, weight: Int, eventLoop: SocketLoop, limits: ProxyOptions.Limits,
        timeouts: ProxyOptions.Timeouts, tls: UpstreamTLSSource
    ) {
        self.name = name
        self.origin = origin
        authority = origin.authority
        self.weight = weight
        self.eventLoop = eventLoop
        self.limits = limits
        self.timeouts = timeouts
        self.tls = tls
    }

    /// Passive and active checks together: three refused connections in a row count at once, without waiting for the
    /// next active check.
    var isHealthy: Bool { activeHealth != false && connectFailuresInRow < 3 }

    func update(weight: Int) { self.weight = weight }

    func healthChecked(healthy: Bool, reason: String?) {
        activeHealth = healthy
        unhealthyReason = healthy ? nil : reason
        if healthy { connectFailuresInRow = 0 }
    }

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
        connectFailuresInRow = 0
        if activeHealth != false { unhealthyReason = nil }
        completion(.success(UpstreamConnection(pool: self, stream: stream)))
    }

    private func connectFailed(
        _ failure: UpstreamUnavailable, reason: String?,
        _ completion: (Result<UpstreamConnection, UpstreamUnavailable>) -> Void
    ) {
        open -= 1
        connectFailuresInRow += 1
        if let reason { unhealthyReason = reason }
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
}
