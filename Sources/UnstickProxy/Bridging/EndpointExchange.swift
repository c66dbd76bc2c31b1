import BridgeContract
import HTTPWire
import NIOCore
import SocketLoop
import UnstickCore

/// Why a bridge's endpoint gave no usable answer.
enum EndpointFailure: Error {
    case unavailable(UpstreamUnavailable)
    case closed
    case timedOut
    case tooLarge
    case status(Int)
    case malformed
}

/// An answer of a bridge's endpoint, whole.
struct EndpointAnswer {
    var status: Int
    var session: String?
    var body: ByteBuffer
}

/// One call to a bridge's endpoint over a pooled connection: request out, whole response in, bounded in time and size.
final class EndpointExchange: UpstreamDelegate {
    private let pool: UpstreamPool
    private let loop: ProxyLoop
    private let method: RequestMethod
    private var request: ByteBuffer
    private var body: ByteBuffer?
    private let bodyBytesMax: Int
    private var completion: ((Result<EndpointAnswer, EndpointFailure>) -> Void)?

    private var connection: UpstreamConnection?
    private var head = ResponseHead()
    private var headDone = false
    private var input = ByteBuffer()
    private var answerBody = ByteBuffer()
    private var chunks = ChunkedDecoder()
    private var sessionHeader: String?
    private var timeout: Scheduled<Void>?
    private var retried = false

    private init(
        loop: ProxyLoop, pool: UpstreamPool, method: RequestMethod, request: ByteBuffer, body: ByteBuffer?,
        completion: @escaping (Result<EndpointAnswer, EndpointFailure>) -> Void
    ) {
        self.loop = loop
        self.pool = pool
        self.method = method
        self.request = request
        self.body = body
        bodyBytesMax = loop.options.limits.stateBytes
        self.completion = completion
    }

    /// - Parameter target: path and query, already percent-encoded.
    static func call(
        _ method: RequestMethod, _ target: String, header: String? = nil, body: ByteBuffer? = nil,
        pool: UpstreamPool, loop: ProxyLoop,
        completion: @escaping (Result<EndpointAnswer, EndpointFailure>) -> Void
    ) {
        let word =
            switch method {
            case .put: "PUT"
            case .delete: "DELETE"
            default: "GET"
            }
        let authentication = (body ?? ByteBuffer()).withUnsafeReadableBytes {
            loop.options.secret.endpointAuthentication(
                method: word, target: target, seconds: loop.clock().seconds, body: $0)
        }
        var request = ByteBuffer()
        request.writeString("\(word) \(target) HTTP/1.1\r\nHost: \(pool.authority)\r\n")
        request.writeString("\(BridgeHeader.authentication): \(authentication)\r\n")
        if let header { request.writeString("\(BridgeHeader.session): \(header)\r\n") }
        if let body { request.writeString("Content-Length: \(body.readableBytes)\r\n") }
        request.writeString("\r\n")
        let exchange = EndpointExchange(
            loop: loop, pool: pool, method: method, request: request, body: body, completion: completion)
        exchange.start(fresh: false)
    }

    private func start(fresh: Bool) {
        if timeout == nil {
            let bound = NIOLoopBound(self, eventLoop: loop.eventLoop)
            timeout = loop.eventLoop.scheduleTask(in: loop.waits.store) {
                bound.value.finish(.failure(.timedOut), reusable: false)
            }
        }
        pool.acquire(fresh: fresh) { result in
            switch result {
            case .failure(let error): self.finish(.failure(.unavailable(error)), reusable: false)
            case .success(let connection):
                guard self.completion != nil else {
                    self.pool.release(connection, now: self.loop.now)
                    return
                }
                self.connection = connection
                connection.delegate = self
                connection.send(self.request)
                if let body = self.body, body.readableBytes > 0 { connection.send(body) }
            }
        }
    }

    func upstreamDidRead(_ bytes: UnsafeRawBufferPointer) {
        input.writeBytes(bytes)
        do {
            if !headDone { try readHead() }
            if headDone { try readBody(atEnd: false) }
        } catch {
            finish(.failure(.malformed), reusable: false)
        }
    }

    private func readHead() throws(HTTPWireError) {
        while true {
            let method = method
            let done = try input.withBytes { (bytes) throws(HTTPWireError) in try head.parse(bytes, answering: method) }
            guard done else { return }
            if head.isInformational {
                input.moveReaderIndex(forwardBy: head.headLength)
                head.reset()
                continue
            }
            input.withUnsafeReadableBytes { bytes in
                if let field = head.headers.first(.unstickSession) { sessionHeader = field.value.text(in: bytes) }
            }
            input.moveReaderIndex(forwardBy: head.headLength)
            headDone = true
            return
        }
    }

    private func readBody(atEnd: Bool) throws(HTTPWireError) {
        switch head.framing {
        case .none: complete(reusable: head.keepAlive)
        case .length(let length):
            guard length <= UInt64(bodyBytesMax) else { return finish(.failure(.tooLarge), reusable: false) }
            guard input.readableBytes >= Int(length) else { return }
            answerBody = input.readSlice(length: Int(length)) ?? ByteBuffer()
            complete(reusable: head.keepAlive && input.readableBytes == 0)
        case .chunked:
            let consumed = try input.withBytes { (bytes) throws(HTTPWireError) in
                try chunks.decode(bytes) { answerBody.writeBytes($0.bytes(in: bytes)) }
            }
            input.moveReaderIndex(forwardBy: consumed)
            guard answerBody.readableBytes <= bodyBytesMax else { return finish(.failure(.tooLarge), reusable: false) }
            if chunks.isComplete { complete(reusable: head.keepAlive && input.readableBytes == 0) }
        case .untilClose:
            guard input.readableBytes <= bodyBytesMax else { return finish(.failure(.tooLarge), reusable: false) }
            guard atEnd else { return }
            answerBody = input
            complete(reusable: false)
        }
    }

    private func complete(reusable: Bool) {
        finish(
            .success(EndpointAnswer(status: head.status, session: sessionHeader, body: answerBody)), reusable: reusable)
    }

    func upstreamDidClose() {
        let wasReused = connection?.wasReused ?? false
        connection = nil
        guard completion != nil else { return }
        if headDone, head.framing == .untilClose {
            do { try readBody(atEnd: true) } catch { finish(.failure(.malformed), reusable: false) }
            return
        }
        // All endpoint calls are idempotent, so a keep-alive race may be tried again.
        if wasReused, !headDone, input.readableBytes == 0, !retried {
            retried = true
            start(fresh: true)
            return
        }
        finish(.failure(.closed), reusable: false)
    }

    func upstreamWritabilityChanged(isWritable: Bool) {}

    private func finish(_ result: Result<EndpointAnswer, EndpointFailure>, reusable: Bool) {
        guard let completion else { return }
        self.completion = nil
        timeout?.cancel()
        if let connection {
            self.connection = nil
            if reusable {
                pool.release(connection, now: loop.now)
            } else {
                connection.close()
            }
        }
        completion(result)
    }
}

extension ByteBuffer {
    /// `withUnsafeReadableBytes` for bodies that throw typed errors.
    func withBytes<T, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> T) throws(E) -> T {
        let result: Result<T, E> = withUnsafeReadableBytes { bytes in
            do throws(E) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
