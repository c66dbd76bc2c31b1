import NIOCore
import SocketLoop

/// Records what a stream says, on the stream's loop, and lets a test wait for it.
final class Recorder: ByteStreamDelegate {
    private(set) var bytes: [UInt8] = []
    private(set) var isClosed = false
    private(set) var writability: [Bool] = []
    private var waiters: [(condition: (Recorder) -> Bool, promise: EventLoopPromise<Void>)] = []
    var onRead: ((UnsafeRawBufferPointer) -> Void)?

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        self.bytes.append(contentsOf: bytes)
        onRead?(bytes)
        settle()
    }

    func streamDidClose() {
        isClosed = true
        settle()
    }

    func streamWritabilityChanged(isWritable: Bool) {
        writability.append(isWritable)
        settle()
    }

    func when(_ loop: SocketLoop, _ condition: @escaping (Recorder) -> Bool) -> EventLoopFuture<Void> {
        let promise = loop.makePromise(of: Void.self)
        waiters.append((condition, promise))
        settle()
        return promise.futureResult
    }

    private func settle() {
        waiters.removeAll { waiter in
            guard waiter.condition(self) else { return false }
            waiter.promise.succeed(())
            return true
        }
    }
}

/// A loop, and connections to itself over loopback: `near` connected, `far` accepted. Everything belongs to the loop.
final class Wire {
    let loop: SocketLoop
    let listener: Listener
    private let accepted: NIOLoopBoundBox<[Socket]>

    init() async throws {
        let loop = try SocketLoop(name: "test")
        let accepted = try await loop.submit { NIOLoopBoundBox([Socket](), eventLoop: loop) }.get()
        self.loop = loop
        self.accepted = accepted
        listener = try await Listener.bind(host: "127.0.0.1", port: 0, loop: loop) { descriptor, _ in
            accepted.value.append(Socket(descriptor: descriptor, loop: loop))
        }
        try await listener.start()
    }

    struct Pair {
        let near: Socket
        let nearRecorder = Recorder()
        let far: Socket
        let farRecorder = Recorder()
    }

    /// Two ends of one connection.
    func connect() async throws -> NIOLoopBound<Pair> {
        let loop = loop
        let port = listener.localAddress.port
        let near = try await loop.flatSubmit { () -> EventLoopFuture<NIOLoopBound<Socket>> in
            let promise = loop.makePromise(of: NIOLoopBound<Socket>.self)
            loop.connect(host: "127.0.0.1", port: port, timeout: .seconds(10)) { result in
                switch result {
                case .success(let socket): promise.succeed(NIOLoopBound(socket, eventLoop: loop))
                case .failure(let failure): promise.fail(failure)
                }
            }
            return promise.futureResult
        }.get()
        while true {
            let pair = try await loop.submit { () -> NIOLoopBound<Pair>? in
                guard let far = self.acceptedBox.value.popLast() else { return nil }
                let pair = Pair(near: near.value, far: far)
                pair.near.delegate = pair.nearRecorder
                pair.far.delegate = pair.farRecorder
                return NIOLoopBound(pair, eventLoop: loop)
            }.get()
            if let pair { return pair }
            await Task.yield()
        }
    }

    private var acceptedBox: NIOLoopBoundBox<[Socket]> { accepted }

    func end() async throws {
        try await listener.close()
        try await loop.shutdownGracefully()
    }
}

extension Wire: @unchecked Sendable {}

extension ByteStream {
    func send(_ text: String) { send(ByteBuffer(string: text)) }
}
