import CEpoll
import Glibc
import NIOCore

/// A listening socket on one loop. Accepts in bounded batches; what to do with a connection is the caller's business.
public final class Listener: Sendable {
    public let localAddress: InternetAddress
    private let loop: SocketLoop
    private let acceptor: NIOLoopBound<Acceptor>

    /// Binds and listens; no connection is accepted before ``start()``, but the kernel queues them.
    ///
    /// - Parameter accepted: on `loop`, with a non-blocking descriptor that the callee owns from then on.
    /// - Throws: ``SocketFailure`` naming the address.
    public static func bind(
        host: String, port: Int, backlog: Int32 = 4096, loop: SocketLoop,
        accepted: @escaping @Sendable (Int32, InternetAddress) -> Void
    ) async throws -> Listener {
        let addresses = await Resolution.addresses(host: host, port: port)
        guard let address = addresses.first else {
            throw SocketFailure(code: 0, operation: "listen on \(host):\(port)")
        }
        let fd = try open(address, operation: "listen on \(host):\(port)", backlog: backlog)
        let (_, local) = InternetAddress.filled { getsockname(fd, $0, $1) }
        return try await loop.submit {
            Listener(fd: fd, localAddress: local, loop: loop, accepted: accepted)
        }.get()
    }

    private static func open(_ address: InternetAddress, operation: String, backlog: Int32) throws -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let fd = socket(address.family, type, 0)
        guard fd >= 0 else { throw SocketFailure(code: errno, operation: operation) }
        var yes: Int32 = 1
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        let bound = address.withSocketAddress { Glibc.bind(fd, $0, $1) }
        guard bound == 0, Glibc.listen(fd, backlog) == 0 else {
            let code = errno
            _ = Glibc.close(fd)
            throw SocketFailure(code: code, operation: operation)
        }
        return fd
    }

    private init(
        fd: Int32, localAddress: InternetAddress, loop: SocketLoop,
        accepted: @escaping @Sendable (Int32, InternetAddress) -> Void
    ) {
        self.localAddress = localAddress
        self.loop = loop
        acceptor = NIOLoopBound(Acceptor(fd: fd, loop: loop, accepted: accepted), eventLoop: loop)
    }

    public func start() async throws {
        let acceptor = acceptor
        try await loop.submit { acceptor.value.start() }.get()
    }

    public func close() async throws {
        let acceptor = acceptor
        try await loop.submit { acceptor.value.stop() }.get()
    }
}

private final class Acceptor: Watched {
    private let accepted: @Sendable (Int32, InternetAddress) -> Void
    private var isWatched = false
    private var isStopped = false
    /// Connections accepted before sockets get their turn again.
    private static let batch = 32
    /// How long to wait when the process or the system is out of descriptors: epoll would report it at once again.
    private static let pause = TimeAmount.milliseconds(100)

    init(fd: Int32, loop: SocketLoop, accepted: @escaping @Sendable (Int32, InternetAddress) -> Void) {
        self.accepted = accepted
        super.init(fd: fd, loop: loop)
    }

    func start() {
        guard !isWatched, !isStopped else { return }
        isWatched = true
        watch(Readiness.input)
    }

    func stop() {
        guard !isStopped else { return }
        isStopped = true
        if isWatched { closeDescriptor() } else { _ = Glibc.close(fd) }
    }

    override func ready(_ events: UInt32) {
        for _ in 0..<Self.batch {
            let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
            let (client, address) = InternetAddress.filled { accept4(fd, $0, $1, flags) }
            guard client >= 0 else {
                switch errno {
                case EAGAIN: return
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: return pause()
                default: continue
                }
            }
            SocketOptions.noDelay(client)
            accepted(client, address)
        }
    }

    private func pause() {
        rewatch(0)
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: Self.pause) {
            let acceptor = bound.value
            if !acceptor.isStopped { acceptor.rewatch(Readiness.input) }
        }
    }
}

enum SocketOptions {
    static func noDelay(_ fd: Int32) {
        var yes: Int32 = 1
        setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
    }
}
