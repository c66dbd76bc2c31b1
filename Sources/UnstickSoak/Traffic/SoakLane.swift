import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// What a client asks for.
enum SoakOperation: Equatable {
    case increment(key: Int)
    case read(key: Int)
    case logout
    /// Presents a logged-out session's cookies.
    case ghost(id: Int, key: Int)

    var key: Int {
        switch self {
        case .increment(let key), .read(let key), .ghost(_, let key): key
        case .logout: 0
        }
    }
}

/// One request at a time of one client, over one keep-alive connection per address. Lives on its event loop.
final class SoakLane {
    /// A request on its way.
    struct Exchange {
        var operation: SoakOperation
        /// Nil for logouts and ghosts.
        var ticket: SessionLedger.Ticket?
        var cookies: [Cookie]
        /// Without the query.
        var path: String
        var start: NIODeadline
    }

    let index: Int
    /// The exchange on its way; nil in between.
    private(set) var exchange: Exchange?
    /// Whether the lane has nothing to do until the client wakes it.
    var isIdle = true
    /// The next step, when it is in the future.
    private var wakeup: Scheduled<Void>?
    private var wakeupNumber = 0
    /// Failures since the last success.
    var failures = 0
    /// When the first request since the last success was sent.
    var waitingSince: NIODeadline?
    /// Earliest start of the next request under a target rate.
    var nextDue: NIODeadline = .uptimeNanoseconds(0)

    private let loop: any EventLoop
    private let connectTimeout: TimeAmount
    private let tls: NIOSSLContext?
    private var connections: [SoakConnection?]
    /// Tells a late connection from the present one.
    private var exchangeNumber = 0

    init(index: Int, loop: any EventLoop, addresses: Int, requestTimeout: TimeAmount, tls: NIOSSLContext?) {
        self.tls = tls
        self.index = index
        self.loop = loop
        connectTimeout = min(requestTimeout, .seconds(5))
        connections = Array(repeating: nil, count: addresses)
    }

    /// Sends the request, on a new connection if the old one was closed. `then` is called once, unless the
    /// exchange is abandoned. A request is never sent twice.
    func send(
        _ exchange: Exchange, head: HTTPRequestHead, to address: SoakAddress, at addressIndex: Int,
        then: @escaping (Answer) -> Void
    ) {
        self.exchange = exchange
        if waitingSince == nil { waitingSince = exchange.start }
        exchangeNumber += 1
        if let connection = connections[addressIndex], connection.isIdle {
            connection.exchange(head, then: then)
            return
        }
        let number = exchangeNumber
        connect(to: address).assumeIsolated().whenComplete { [self] result in
            let connection = (try? result.get()).flatMap {
                try? $0.pipeline.syncOperations.handler(type: SoakConnection.self)
            }
            guard number == exchangeNumber, self.exchange != nil else {
                connection?.abandon()
                return
            }
            connections[addressIndex] = connection
            if let connection, connection.isIdle {
                connection.exchange(head, then: then)
            } else {
                then(.failure(kind: "connect"))
            }
        }
    }

    /// The exchange is over; its record goes to the caller.
    func takeExchange() -> Exchange? {
        defer { exchange = nil }
        return exchange
    }

    /// Closes whatever the exchange is on; its `then` is not called any more.
    func abandonExchange() {
        exchangeNumber += 1
        for connection in connections where connection?.isIdle == false { connection?.abandon() }
    }

    var isAsleep: Bool { wakeup != nil }

    func wake(at due: NIODeadline, _ body: @escaping () -> Void) {
        wakeupNumber += 1
        let number = wakeupNumber
        wakeup = loop.assumeIsolated().scheduleTask(deadline: due) { [self] in
            // The loop takes all tasks that are due before it runs the first: one that is cancelled by another of them
            // runs nevertheless.
            guard number == wakeupNumber, wakeup != nil else { return }
            wakeup = nil
            body()
        }
    }

    func cancelWakeup() {
        wakeup?.cancel()
        wakeup = nil
    }

    func closeAll() {
        exchangeNumber += 1
        cancelWakeup()
        for connection in connections { connection?.abandon() }
        connections = []
    }

    private func connect(to address: SoakAddress) -> EventLoopFuture<any Channel> {
        let tls = address.isSecure ? tls : nil
        // An address has no place in the server name extension (RFC 6066 section 3).
        let isLiteral = (try? SocketAddress(ipAddress: address.host, port: address.port)) != nil
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(connectTimeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls {
                        try pipeline.addHandler(
                            NIOSSLClientHandler(context: tls, serverHostname: isLiteral ? nil : address.host))
                    }
                    try pipeline.addHTTPClientHandlers(enableOutboundHeaderValidation: false)
                    try pipeline.addHandler(SoakConnection())
                }
            }
        if let literal = try? SocketAddress(ipAddress: address.host, port: address.port) {
            return bootstrap.connect(to: literal)
        }
        return bootstrap.connect(host: address.host, port: address.port)
    }
}
