import BridgeContract
import HTTPWire
import NIOCore
import SocketLoop
import UnstickCore

/// Step 3: connect, send the head and the body.
extension Exchange {
    func connect(fresh: Bool = false) {
        stage = .deciding
        observation.connected.began = loop.now.uptimeNanoseconds
        if !fresh, let connection = pool.takeIdle() { return forward(on: connection) }
        let serial = serial
        pool.acquire(fresh: fresh) { result in
            switch result {
            case .success(let connection):
                guard self.serial == serial else {
                    return connection.pool.release(connection, now: self.loop.now)
                }
                self.forward(on: connection)
            case .failure(let reason):
                guard self.serial == serial else { return }
                self.instanceUnavailable(reason)
            }
        }
    }

    private func forward(on connection: UpstreamConnection) {
        upstream = connection
        connection.delegate = self
        upstreamReadsPaused = false
        pool.requestStarted()
        stage = .forwarding
        deadline = loop.now + loop.waits.response
        observation.connected.ended = loop.now.uptimeNanoseconds
        observation.answered.began = loop.now.uptimeNanoseconds
        let lines = addedLines()
        let policy = loop.forwardingPolicy
        let size = RequestRewriter.maxSize(
            request, policy: policy, bridgeLineBytes: lines.count, authorityBytes: pool.authority.utf8.count)
        var writer = HeadWriter(loop.headMemory(size))
        head.withUnsafeReadableBytes { bytes in
            lines.withUnsafeBytes { lines in
                RequestRewriter.write(
                    request, of: bytes, identity: identity, policy: policy,
                    clientLines: self.connection?.clientLines ?? [], bridgeLines: lines,
                    upstreamAuthority: pool.authority, removal: removal(in: bytes), to: &writer)
            }
        }
        if let replay, replay.readableBytes > 0 {
            replay.withUnsafeReadableBytes { connection.send(writer.written, $0) }
        } else if !requestBodyDone, input.readableBytes > 0, connection.isWritable {
            startBodyRate()
            // The head and what is here of the body go with one call.
            let taken = takeInput()
            let consumed = taken.withUnsafeReadableBytes { takeBody($0, behind: writer.written) }
            keepRest(of: taken, consumed: consumed)
            return pauseClientIfNeeded()
        } else {
            connection.send(writer.written)
        }
        guard !requestBodyDone, upstream === connection else { return }
        startBodyRate()
        deadline = loop.now + loop.waits.clientBody
        if input.readableBytes > 0 {
            pumpRequestBody()
        } else if request.expectsContinue, bodyReceived == 0, let client {
            client.send(Self.continueLine)
            observation.bytesOut &+= UInt64(Self.continueLine.readableBytes)
            observation.headBytesOut &+= UInt32(Self.continueLine.readableBytes)
        }
    }

    private func startBodyRate() {
        let clients = loop.options.resilience.clients
        guard clients.bodyRate > 0, bodyRate == nil else { return }
        bodyRate = RateFloor(
            bytesPerSecond: clients.bodyRate, grace: clients.bodyRateGrace, window: clients.bodyRateWindow,
            now: loop.now)
    }

    /// Lines that the request's head gets beside those about the client: the bridge's, request id and trace, the client's
    /// certificate.
    private func addedLines() -> [UInt8] {
        var lines =
            decision.phase.mirrors
            ? loop.bridgeLines(
                phase: decision.phase, generation: table.table.generation, expectation: expectation,
                inlineState: inlineState) : []
        if loop.observer.rewritesFields {
            var extra = ByteBuffer()
            head.withUnsafeReadableBytes { loop.observer.writeRequestLines(observation, head: $0, to: &extra) }
            lines.append(contentsOf: extra.readableBytesView)
        }
        if loop.tellsClientCertificates, let connection { lines += connection.security.certificateLines }
        return lines
    }

    /// What this request's fields lose because of configured features; nil for most.
    private func removal(in bytes: UnsafeRawBufferPointer) -> FieldRemoval? {
        let rewrites = loop.observer.rewritesFields
        guard rewrites || loop.tellsClientCertificates || marks.hidden != nil else { return nil }
        return FieldRemoval(hidden: marks.hidden) { [self] field in
            if rewrites, loop.observer.drops(field, of: observation, in: bytes) { return true }
            return loop.tellsClientCertificates && ClientCertificateFields.isReserved(field.name.bytes(in: bytes))
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
    ///
    /// - Parameter head: goes first, whatever of the body may follow.
    private func takeBody(
        _ bytes: UnsafeRawBufferPointer,
        behind head: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) -> Int {
        guard !requestBodyDone, let upstream, upstream.isWritable else { return 0 }
        let consumed: Int
        var forwarded: Int
        if bodyChunks != nil {
            do {
                consumed = try bodyChunks!.decode(bytes)
            } catch {
                answer(
                    error.status, "The request body was refused: \(error).", because: .badRequest, closes: true)
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
            answer(
                413, "The request body is larger than the limit of \(limit) bytes.", because: .bodyTooLarge,
                closes: true)
            return 0
        }
        deadline = loop.now + (requestBodyDone ? loop.waits.response : loop.waits.clientBody)
        bodyRate?.received(consumed)
        guard consumed > 0 else {
            upstream.send(head)
            return 0
        }
        let part = UnsafeRawBufferPointer(rebasing: bytes[..<forwarded])
        keepForReplay(part)
        upstream.send(head, part)
        if forwarded < consumed {
            // Trailer fields that must not be forwarded are left out of their section.
            var writer = HeadWriter(loop.headMemory(consumed - forwarded + 2))
            bodyChunks!.appendTrailers(of: bytes, to: &writer)
            if replay != nil { replay!.writeBytes(writer.written) }
            upstream.send(writer.written)
        }
        // An instance that takes no more is the one that is waited for, not the client.
        if stage == .forwarding, !upstream.isWritable { deadline = loop.now + loop.waits.response }
        return consumed
    }

    private func keepForReplay(_ bytes: UnsafeRawBufferPointer) {
        guard replay != nil else { return }
        if decision.phase.mirrors || request.method.isIdempotent || hasIdempotencyKey {
            replay!.writeBytes(bytes)
        } else {
            // Nothing will be replayed once the application may have seen it.
            replay = nil
        }
    }

    func upstreamWritabilityChanged(isWritable: Bool) {
        guard isWritable else { return }
        // From here on it is the client that is waited for.
        if stage == .forwarding, !requestBodyDone {
            deadline = loop.now + loop.waits.clientBody
        }
        processInput()
    }

    func forwardTunnel(_ bytes: UnsafeRawBufferPointer) {
        guard let upstream, upstream.isWritable else {
            input.writeBytes(bytes)
            return pauseClientIfNeeded()
        }
        deadline = loop.now + loop.waits.stream
        bodyReceived &+= UInt64(bytes.count)
        upstream.send(bytes)
    }

    func pumpTunnel() {
        guard let upstream, input.readableBytes > 0, upstream.isWritable else { return }
        deadline = loop.now + loop.waits.stream
        bodyReceived &+= UInt64(input.readableBytes)
        upstream.send(takeInput())
        pauseClientIfNeeded()
    }
}
