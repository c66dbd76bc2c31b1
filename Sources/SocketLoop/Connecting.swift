import Glibc
public import NIOCore
import NIOPosix

extension SocketLoop {
    /// Connects to the first address of a host that accepts, trying them in turn, each with an even share of the time
    /// that is left.
    ///
    /// Names are resolved on another thread. The completion runs on this loop, never before this returns, with a
    /// socket whose delegate is not set yet.
    public func connect(
        host: String, port: Int, timeout: TimeAmount, completion: @escaping (Result<Socket, SocketFailure>) -> Void
    ) {
        let deadline = tickTime + timeout
        let numeric = InternetAddress.resolve(host: host, port: port, numericOnly: true)
        let attempt = ConnectAttempt(
            loop: self, target: "connect to \(host):\(port)", deadline: deadline, completion: completion)
        guard numeric.isEmpty else { return attempt.begin(numeric) }
        let bound = NIOLoopBound(attempt, eventLoop: self)
        let timer = scheduleTask(in: timeout) { bound.value.resolutionTimedOut() }
        Resolution.resolve(host: host, port: port, on: self).whenComplete { result in
            timer.cancel()
            bound.value.begin((try? result.get()) ?? [])
        }
    }
}

/// Name resolution, which blocks, on NIO's shared threads.
enum Resolution {
    static func resolve(host: String, port: Int, on loop: SocketLoop) -> EventLoopFuture<[InternetAddress]> {
        NIOThreadPool.singleton.runIfActive(eventLoop: loop) {
            InternetAddress.resolve(host: host, port: port, numericOnly: false)
        }
    }

    static func addresses(host: String, port: Int) async -> [InternetAddress] {
        let numeric = InternetAddress.resolve(host: host, port: port, numericOnly: true)
        if !numeric.isEmpty { return numeric }
        return
            (try? await NIOThreadPool.singleton.runIfActive {
                InternetAddress.resolve(host: host, port: port, numericOnly: false)
            }) ?? []
    }
}

/// One try to connect after the other; ends with one call of the completion.
private final class ConnectAttempt {
    private let loop: SocketLoop
    private let target: String
    private let deadline: NIODeadline
    private var addresses: ArraySlice<InternetAddress> = []
    private var completion: ((Result<Socket, SocketFailure>) -> Void)?
    private var current: ConnectingSocket?
    private var timer: Scheduled<Void>?
    private var lastFailure: SocketFailure

    init(
        loop: SocketLoop, target: String, deadline: NIODeadline,
        completion: @escaping (Result<Socket, SocketFailure>) -> Void
    ) {
        self.loop = loop
        self.target = target
        self.deadline = deadline
        self.completion = completion
        lastFailure = SocketFailure(code: 0, operation: target)
    }

    func begin(_ addresses: [InternetAddress]) {
        guard completion != nil else { return }
        self.addresses = addresses[...]
        tryNext()
    }

    func resolutionTimedOut() {
        finish(.failure(SocketFailure(code: ETIMEDOUT, operation: target)))
    }

    private func tryNext() {
        guard let address = addresses.popFirst() else { return later(.failure(lastFailure)) }
        let left = deadline - loop.tickTime
        guard left > .zero else { return later(.failure(SocketFailure(code: ETIMEDOUT, operation: target))) }
        let share = TimeAmount.nanoseconds(left.nanoseconds / Int64(addresses.count + 1))
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let fd = socket(address.family, type, 0)
        guard fd >= 0 else {
            lastFailure = SocketFailure(code: errno, operation: target)
            return tryNext()
        }
        SocketOptions.noDelay(fd)
        let result = address.withSocketAddress { Glibc.connect(fd, $0, $1) }
        guard result == 0 || errno == EINPROGRESS else {
            lastFailure = SocketFailure(code: errno, operation: target)
            _ = Glibc.close(fd)
            return tryNext()
        }
        let connecting = ConnectingSocket(fd: fd, loop: loop) { [self] code in connected(code) }
        current = connecting
        connecting.watch(Readiness.output)
        let bound = NIOLoopBound(self, eventLoop: loop)
        timer = loop.scheduleTask(in: share) { bound.value.timedOut() }
    }

    private func connected(_ code: Int32) {
        timer?.cancel()
        guard let connecting = current else { return }
        current = nil
        if code == 0 {
            finish(.success(Socket(descriptor: connecting.unwatch(), loop: loop)))
        } else {
            connecting.closeDescriptor()
            lastFailure = SocketFailure(code: code, operation: target)
            tryNext()
        }
    }

    private func timedOut() {
        guard let connecting = current else { return }
        current = nil
        connecting.closeDescriptor()
        lastFailure = SocketFailure(code: ETIMEDOUT, operation: target)
        tryNext()
    }

    /// Not in the caller's own call, who would not expect it there.
    private func later(_ result: Result<Socket, SocketFailure>) {
        let bound = NIOLoopBound((self, result), eventLoop: loop)
        loop.execute { bound.value.0.finish(bound.value.1) }
    }

    private func finish(_ result: Result<Socket, SocketFailure>) {
        guard let completion else { return }
        self.completion = nil
        completion(result)
    }
}

private final class ConnectingSocket: Watched {
    private let decided: (Int32) -> Void

    init(fd: Int32, loop: SocketLoop, decided: @escaping (Int32) -> Void) {
        self.decided = decided
        super.init(fd: fd, loop: loop)
    }

    override func ready(_ events: UInt32) {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length)
        decided(code)
    }
}
