import BridgeContract
import HTTPWire
import NIOCore
import SocketLoop
import UnstickCore

/// Step 3: connect, send the head and the body.
extension Exchange {
    func connect(fresh: Bool = false) {
        stage = .deciding
        if !fresh, let connection = pool.takeIdle() { return forward(on: connection) }
        let serial = serial
        pool.acquire(fresh: fresh) { result in
            switch result {
            case .success(let connection):
                guard self.serial == serial else {
                    return connection.pool.release(connection, now: self.loop.now)
                }
                self.forward(on: connection)
            case .failure:
                guard self.serial == serial else { return }
                self.instanceUnavailable()
            }
        }
    }

    private func forward(on connection: UpstreamConnection) {
        upstream = connection
        connection.delegate = self
        upstreamReadsPaused = false
        pool.requestStarted()
        stage = .forwarding
        deadline = loop.now + TimeAmount(loop.options.timeouts.response)
        let bridge =
            decision.phase.mirrors
            ? loop.bridgeLines(
                phase: decision.phase, generation: table.table.generation, expectation: expectation,
                inlineState: inlineState) : []
        let forwarded = ForwardedRequest(
            clientAddress: self.connection?.addressText ?? [], bridgeLines: bridge, upstreamAuthority: pool.authority)
        loop.requestScratch.clear()
        head.withUnsafeReadableBytes {
            RequestRewriter.write(request, of: $0, as: forwarded, to: &loop.requestScratch)
        }
        loop.requestScratch.withUnsafeReadableBytes { connection.send($0) }
        if let replay, replay.readableBytes > 0 { connection.send(replay) }
        guard !requestBodyDone, upstream === connection else { return }
        if input.readableBytes > 0 {
            pumpRequestBody()
        } else if request.expectsContinue, bodyReceived == 0, let client {
            client.send(Self.continueLine)
        }
    }

    private static let continueLine = ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n")

    /// Request body bytes as they arrive.
    func forwardBody(_ bytes: UnsafeRawBufferPointer) {
        let consumed = takeBody(bytes)
        guard stage != .closed, consumed < bytes.count else { return }
        input.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[consumed...]))
        pauseClientIfNeeded()
    }

    /// Goes on with request body bytes that have been kept.
    func pumpRequestBody() {
        guard !requestBodyDone, input.readableBytes > 0 else { return }
        let taken = takeInput()
        let consumed = taken.withUnsafeReadableBytes { takeBody($0) }
        keepRest(of: taken, consumed: consumed)
        pauseClientIfNeeded()
    }

    /// Moves request body bytes to the instance as far as it takes them; returns how many that were.
    ///
    /// What an instance does not take is kept, and the client is not read any further.
    private func takeBody(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard !requestBodyDone, let upstream, upstream.isWritable else { return 0 }
        let consumed: Int
        var forwarded: Int
        if bodyChunks != nil {
            do {
                consumed = try bodyChunks!.decode(bytes)
            } catch {
                answer(error.status, "The request body was refused: \(error).", closes: true)
                return 0
            }
            requestBodyDone = bodyChunks!.isComplete
            forwarded = consumed
            if requestBodyDone, bodyChunks!.hasForbiddenTrailers { forwarded = bodyChunks!.trailerSection.start }
        } else {
            consumed = Int(min(bodyLeft, UInt64(bytes.count)))
            forwarded = consumed
            bodyLeft -= UInt64(consumed)
            requestBodyDone = bodyLeft == 0
        }
        bodyReceived += UInt64(consumed)
        if let limit = loop.options.limits.bodyBytes, bodyReceived > limit {
            answer(413, "The request body is larger than the limit of \(limit) bytes.", closes: true)
            return 0
        }
        deadline = loop.now + TimeAmount(loop.options.timeouts.response)
        guard consumed > 0 else { return 0 }
        let part = UnsafeRawBufferPointer(rebasing: bytes[..<forwarded])
        keepForReplay(part)
        if forwarded < consumed {
            // A trailer section with fields that must not be forwarded becomes an empty one.
            Self.lineBreak.withUnsafeReadableBytes { upstream.send(part, $0) }
        } else {
            upstream.send(part)
        }
        return consumed
    }

    private static let lineBreak = ByteBuffer(string: "\r\n")

    private func keepForReplay(_ bytes: UnsafeRawBufferPointer) {
        guard replay != nil else { return }
        if decision.phase.mirrors || request.method.isIdempotent {
            replay!.writeBytes(bytes)
        } else {
            // Nothing will be replayed once the application may have seen it.
            replay = nil
        }
    }

    func upstreamWritabilityChanged(isWritable: Bool) {
        guard isWritable else { return }
        processInput()
    }

    func forwardTunnel(_ bytes: UnsafeRawBufferPointer) {
        guard let upstream, upstream.isWritable else {
            input.writeBytes(bytes)
            return pauseClientIfNeeded()
        }
        deadline = loop.now + TimeAmount(loop.options.timeouts.stream)
        upstream.send(bytes)
    }

    func pumpTunnel() {
        guard let upstream, input.readableBytes > 0, upstream.isWritable else { return }
        deadline = loop.now + TimeAmount(loop.options.timeouts.stream)
        upstream.send(takeInput())
        pauseClientIfNeeded()
    }
}
