import BridgeContract
import HTTPWire
import NIOCore
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
            clientAddress: clientAddress, bridgeLines: bridge, upstreamAuthority: pool.authority)
        loop.requestScratch.clear()
        head.withUnsafeReadableBytes {
            RequestRewriter.write(request, of: $0, as: forwarded, to: &loop.requestScratch)
        }
        connection.write(loop.requestScratch)
        if let replay, replay.readableBytes > 0 { connection.write(replay) }
        if request.expectsContinue, !requestBodyDone, bodyReceived == 0, let client {
            var out = ByteBuffer()
            out.writeStaticString("HTTP/1.1 100 Continue\r\n\r\n")
            client.writeAndFlush(NIOAny(out), promise: nil)
        }
        if !requestBodyDone, input.readableBytes > 0 {
            pumpRequestBody(flush: false)
            guard upstream === connection else { return }
        }
        connection.flush()
    }

    /// Moves request body bytes to the instance as far as they have arrived and the instance takes them.
    func pumpRequestBody(flush: Bool = true) {
        guard !requestBodyDone, input.readableBytes > 0, let upstream else { return }
        // What an instance does not take stays in `input`, and the client is not read any further.
        guard upstream.isWritable else { return }
        var bytes: ByteBuffer
        if bodyChunks != nil {
            do {
                let consumed = try input.withBytes { (bytes) throws(HTTPWireError) in try bodyChunks!.decode(bytes) }
                bytes = takeChunkedBytes(consumed)
            } catch {
                return answer(error.status, "The request body was refused: \(error).", closes: true)
            }
            requestBodyDone = bodyChunks!.isComplete
        } else {
            let count = Int(min(bodyLeft, UInt64(input.readableBytes)))
            bytes = input.readSlice(length: count) ?? ByteBuffer()
            bodyLeft -= UInt64(count)
            requestBodyDone = bodyLeft == 0
        }
        bodyReceived += UInt64(bytes.readableBytes)
        if let limit = loop.options.limits.bodyBytes, bodyReceived > limit {
            return answer(413, "The request body is larger than the limit of \(limit) bytes.", closes: true)
        }
        if bytes.readableBytes > 0 {
            if replay != nil {
                var copy = bytes
                replay!.writeBuffer(&copy)
            }
            upstream.write(bytes)
            if flush { upstream.flush() }
        }
        deadline = loop.now + TimeAmount(loop.options.timeouts.response)
        pauseClientIfNeeded()
    }

    /// The consumed bytes as they are, but for a trailer section with fields that must not be forwarded.
    private func takeChunkedBytes(_ consumed: Int) -> ByteBuffer {
        guard let chunks = bodyChunks, chunks.isComplete, chunks.hasForbiddenTrailers else {
            return input.readSlice(length: consumed) ?? ByteBuffer()
        }
        var bytes = input.readSlice(length: chunks.trailerSection.start) ?? ByteBuffer()
        input.moveReaderIndex(forwardBy: consumed - chunks.trailerSection.start)
        var end = ByteBuffer()
        end.writeStaticString("\r\n")
        bytes.writeBuffer(&end)
        return bytes
    }

    func upstreamWritabilityChanged(isWritable: Bool) {
        guard isWritable else { return }
        processInput()
    }

    func pumpTunnel() {
        guard let upstream, input.readableBytes > 0, upstream.isWritable else { return }
        deadline = loop.now + TimeAmount(loop.options.timeouts.stream)
        upstream.write(input)
        upstream.flush()
        input = ByteBuffer()
        pauseClientIfNeeded()
    }
}
