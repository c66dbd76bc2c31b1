import BridgeContract
import ControlAPI
import HTTPWire
import Logging
import NIOCore
import SessionStore
import SocketLoop
import UnstickCore
import UnstickCrypto

/// Steps 4 to 6: take the bridge's word out of the response head, mirror, release the head, stream the body.
extension Exchange {
    func upstreamDidRead(_ bytes: UnsafeRawBufferPointer) {
        if responseInput.readableBytes == 0 {
            switch stage {
            case .forwarding: return readResponseHead(bytes)
            case .streaming: return passOnBody(bytes)
            case .tunneling: return passOnTunnel(bytes)
            default: break
            }
        }
        responseInput.writeBytes(bytes)
        if stage == .forwarding || stage == .streaming { readKeptResponse() }
        holdUpstreamIfNeeded()
    }

    /// While the head is held, only a bounded part of the body is taken in.
    private func holdUpstreamIfNeeded() {
        guard let upstream, !upstreamReadsPaused, responseInput.readableBytes > Self.inputBytesMax else { return }
        upstreamReadsPaused = true
        upstream.setReading(false)
    }

    private func readKeptResponse() {
        let taken = responseInput
        responseInput = ByteBuffer()
        taken.withUnsafeReadableBytes { bytes in
            if stage == .forwarding { readResponseHead(bytes) } else { passOnBody(bytes) }
        }
    }

    private func readResponseHead(_ bytes: UnsafeRawBufferPointer) {
        var bytes = bytes
        while stage == .forwarding, !bytes.isEmpty {
            do {
                guard try response.parse(bytes, answering: request.method) else {
                    responseInput.writeBytes(bytes)
                    return
                }
            } catch {
                suspectSession()
                settlePermit(.unreadable)
                return answer(502, "The instance's answer was not HTTP: \(error).", because: .upstreamInvalid)
            }
            let length = response.headLength
            let headBytes = UnsafeRawBufferPointer(rebasing: bytes[..<length])
            bytes = UnsafeRawBufferPointer(rebasing: bytes[length...])
            guard response.isInformational else {
                // Nobody asked for another protocol (RFC 9110 section 15.2.2).
                if response.status == 101, !request.wantsUpgrade {
                    settlePermit(.unreadable)
                    return answer(502, "The instance changed the protocol unasked.", because: .upstreamInvalid)
                }
                return takeResponseHead(headBytes, rest: bytes)
            }
            // 100 was answered by the proxy; others are passed on (RFC 9110 section 15.2).
            if response.status != 100, request.versionMinor > 0, let client {
                var writer = HeadWriter(
                    loop.headMemory(ResponseRewriter.maxSize(response, affinityLineBytes: 0)))
                ResponseRewriter.writeInterim(response, of: headBytes, to: &writer)
                client.send(writer.written)
                observation.bytesOut &+= UInt64(writer.count)
            }
            response.reset()
        }
    }

    private func takeResponseHead(_ headBytes: UnsafeRawBufferPointer, rest: UnsafeRawBufferPointer) {
        loop.responseLatency.record(microseconds: UInt64((loop.now - started).nanoseconds / 1000))
        observation.answered.ended = loop.now.uptimeNanoseconds
        observation.status = UInt16(truncatingIfNeeded: response.status)
        if response.status >= 500 { loop.counters.upstreamErrors &+= 1 }
        settlePermit(.answered(status: response.status))
        startResponseBody()
        guard decision.phase.mirrors else {
            // Nothing is held: the loop's memory for heads will do.
            let released = writeHead(headBytes)
            return releaseHead(released, rest: rest)
        }
        let word = bridgeWord(in: headBytes)
        responseInput.writeBytes(rest)
        if let word, response.status == 409 {
            switch word.response.answer {
            case .missing, .stale: return instanceLacksSession(word.response)
            default: break
            }
        }
        heldHead.writeBytes(writeHead(headBytes))
        guard let word else { return mirrorWithoutWord() }
        if case .late = word.response.answer { late = word.response }
        stage = .mirroring
        mirror(word.response, inlineState: word.state)
    }

    private struct BridgeWord {
        var response: BridgeResponse
        var state: ByteBuffer?
    }

    private func bridgeWord(in bytes: UnsafeRawBufferPointer) -> BridgeWord? {
        guard let field = response.headers.first(.unstickSession) else { return nil }
        let parsed: BridgeResponse
        do {
            parsed = try BridgeResponse(
                parsing: field.value.bytes(in: bytes), knownID: knownSessionID, knownIncarnation: pool.incarnation)
        } catch {
            loop.logger.warning("\(error)", metadata: ["instance": "\(pool.name)"])
            return nil
        }
        let state = response.headers.first(.unstickState).flatMap {
            Base64URL.decode($0.value.bytes(in: bytes)).map { ByteBuffer(bytes: $0) }
        }
        return BridgeWord(response: parsed, state: state)
    }

    // MARK: Hydrate and replay

    /// The bridge answered before the application ran.
    private func instanceLacksSession(_ word: BridgeResponse) {
        pool.incarnation = word.incarnation
        hydrations += 1
        observation.status = 0
        let whole = response.framing == .none || responseLeft == UInt64(responseInput.readableBytes)
        if whole, response.keepAlive, requestBodyDone {
            responseInput.clear()
            releaseUpstream(reusable: true)
        } else {
            dropUpstream()
        }
        response.reset()
        responseInput.clear()
        guard replay != nil, hydrations < 5 else {
            return answer(
                503, "The instance does not have this session and could not be given it in time.",
                because: .hydrationFailed, retryAfter: 1, closes: !requestBodyDone)
        }
        if decision.phase == .mirroring, !table.table.hydrates {
            expectation = .absent
            return connect()
        }
        // Nothing in the store either, as far as is known: `hydrate` finds out, and sends the state or `absent`.
        hydrate()
    }

    // MARK: Mirror

    private func mirror(_ word: BridgeResponse, inlineState: ByteBuffer?) {
        let serial = serial
        deadline = loop.now + TimeAmount(loop.options.timeouts.store) + .seconds(5)
        observation.mirrored.began = loop.now.uptimeNanoseconds
        loop.mirror(word, inlineState: inlineState, in: mirrorContext()) { verdict in
            guard self.serial == serial else { return }
            self.observation.mirrored.ended = self.loop.now.uptimeNanoseconds
            switch verdict {
            case .release:
                if self.stage == .mirroringLate { self.releaseEnd() } else { self.releaseHeldHead() }
            case .refuse(let reason):
                self.refuse(reason)
            }
        }
    }

    private func mirrorContext() -> MirrorContext {
        MirrorContext(
            table: table, phase: decision.phase, pool: pool, served: served, home: pool(at: home).name, stored: stored)
    }

    private func pool(at index: Int) -> UpstreamPool { table.pools[index] }

    /// The instance that the affinity names from now on.
    private var home: Int {
        if let home = decision.home { return home }
        if decision.phase == .stateless, marks.home == nil, let stored, let known = table.index(named: stored.home),
            table.table.instances[known].state.isRoutable
        {
            return known
        }
        return served
    }

    private func refuse(_ reason: String) {
        if stage == .mirroringLate {
            // The head is out; a body that never ends well is the only honest word left.
            return abort()
        }
        answer(503, "The response was withheld: \(reason). Try again.", because: .storeUnavailable, retryAfter: 1)
    }

    /// The instance answered without a word from its bridge: an error page of the server in front of the application,
    /// or an application without a bridge. Whether the session changed is not known.
    private func mirrorWithoutWord() {
        suspectSession()
        releaseHeldHead()
    }

    /// Has the session looked at soon: the instance may have changed it without telling.
    func suspectSession() {
        guard decision.phase == .mirroring, let sessionID else { return }
        loop.markDirty(sessionID, ttlSeconds: 60, version: 0, isSuspicion: false, in: mirrorContext())
    }

    // MARK: Release

    /// The head for the client, in the loop's memory for heads.
    private func writeHead(_ headBytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        if loop.isStopping || response.framing == .untilClose { keepAlive = false }
        // A chunked body that is unwrapped for HTTP/1.0 ends with the connection.
        if response.framing == .chunked, request.versionMinor == 0 { keepAlive = false }
        // Event streams have no end that a total could wait for.
        if totalDeadline != .distantFuture, isEventStream(headBytes) { totalDeadline = .distantFuture }
        let lines = addedResponseLines()
        let via = loop.responseVia
        var writer = HeadWriter(
            loop.headMemory(
                ResponseRewriter.maxSize(response, affinityLineBytes: lines.count, viaBytes: via?.count ?? 0)))
        ResponseRewriter.write(
            response, of: headBytes, clientMinorVersion: request.versionMinor, keepAlive: keepAlive,
            affinityLine: lines, via: via, to: &writer)
        return writer.written
    }

    private func isEventStream(_ headBytes: UnsafeRawBufferPointer) -> Bool {
        guard let field = response.headers.first(.contentType) else { return false }
        let wanted: StaticString = "text/event-stream"
        guard field.value.count >= wanted.utf8CodeUnitCount else { return false }
        let value = field.value.bytes(in: headBytes)
        return (0..<wanted.utf8CodeUnitCount).allSatisfy { value[$0] | 0x20 == wanted.utf8Start[$0] | 0x20 }
    }

    /// `Set-Cookie` for the affinity: when the client has none or another, and an expiring one in `completed`; and the
    /// request's id where it is told.
    private func addedResponseLines() -> UnsafeRawBufferPointer {
        let affinity = affinityLine()
        guard loop.observer.rewritesFields else { return affinity }
        loop.responseScratch.clear()
        loop.responseScratch.writeBytes(affinity)
        head.withUnsafeReadableBytes {
            loop.observer.writeResponseLines(observation, head: $0, to: &loop.responseScratch)
        }
        // Nothing writes there until the head has been written.
        return loop.responseScratch.withUnsafeReadableBytes { $0 }
    }

    private func affinityLine() -> UnsafeRawBufferPointer {
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        guard loop.options.affinity.method == .cookie, response.status != 101 else { return none }
        let isSecure = identity.scheme == .https
        if table.table.phase == .completed {
            return marks.hasOwnCookie ? table.affinity.lines.expiring(isSecure: isSecure) : none
        }
        let home = home
        guard marks.isAdopted || marks.home != home else { return none }
        return table.affinity.lines.line(for: home, isSecure: isSecure)
    }

    /// The mirror step is done.
    private func releaseHeldHead() {
        let head = heldHead
        let rest = responseInput
        heldHead = ByteBuffer()
        responseInput = ByteBuffer()
        head.withUnsafeReadableBytes { head in
            rest.withUnsafeReadableBytes { releaseHead(head, rest: $0) }
        }
    }

    /// - Parameter rest: what has arrived behind the head.
    private func releaseHead(_ head: UnsafeRawBufferPointer, rest: UnsafeRawBufferPointer) {
        endGraceUnlessLate()
        guard let client else { return finishWithoutClient(rest) }
        deadline = loop.now + TimeAmount(loop.options.timeouts.stream)
        if response.status == 101 {
            stage = .tunneling
            totalDeadline = .distantFuture
            observation.flags.insert(.upgraded)
            client.send(head, rest)
            observation.bytesOut &+= UInt64(head.count + rest.count)
            if upstream == nil { return finishAndClose() }
            resumeUpstream()
            return pumpTunnel()
        }
        stage = .streaming
        observation.headBytesOut = UInt32(truncatingIfNeeded: head.count)
        passOnBody(rest, behind: head)
        guard stage == .streaming, upstream == nil else { return resumeUpstream() }
        // The instance closed while the head was held: that ends the body, well or short.
        if response.framing == .untilClose { finishResponse() } else { abort() }
    }

    private func endGraceUnlessLate() {
        if late == nil { endGrace() }
    }

    private func resumeUpstream() {
        guard upstreamReadsPaused, let upstream, let client, client.isWritable else { return }
        upstreamReadsPaused = false
        upstream.setReading(true)
    }

    /// The mirror step is done and nobody is there to read the rest.
    private func finishWithoutClient(_ rest: UnsafeRawBufferPointer) {
        guard late != nil else { return end() }
        stage = .streaming
        deadline = loop.now + TimeAmount(loop.options.timeouts.stream)
        if upstreamReadsPaused {
            upstreamReadsPaused = false
            upstream?.setReading(true)
        }
        passOnBody(rest)
    }

    // MARK: Body

    private func startResponseBody() {
        responseChunks = nil
        responseLeft = 0
        switch response.framing {
        case .none, .untilClose: break
        case .length(let length): responseLeft = length
        case .chunked: responseChunks = ChunkedDecoder()
        }
    }

    /// Passes on what has arrived of the body, and with it a head that has just been released.
    private func passOnBody(
        _ bytes: UnsafeRawBufferPointer,
        behind head: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) {
        let part: BodyPart
        do {
            part = try takeResponseBody(bytes)
        } catch {
            // What came before the mistake is the client's; the connection's end says that the body was cut short.
            client?.send(head)
            return abort()
        }
        if part.consumed > 0 { deadline = loop.now + TimeAmount(loop.options.timeouts.stream) }
        let content = UnsafeRawBufferPointer(rebasing: bytes[..<part.forwarded])
        if part.isComplete, let word = late {
            // The end is held. The head may go.
            heldEnd = part.unwrapped ?? ByteBuffer(bytes: content)
            if part.hasForbiddenTrailers { heldEnd!.writeBytes(permittedTrailers(of: bytes)) }
            client?.send(head)
            observation.bytesOut &+= UInt64(head.count + heldEnd!.readableBytes)
            return mirrorLate(word)
        }
        if let client {
            if let unwrapped = part.unwrapped {
                unwrapped.withUnsafeReadableBytes { client.send(head, $0) }
                observation.bytesOut &+= UInt64(head.count + unwrapped.readableBytes)
            } else {
                client.send(head, content)
                observation.bytesOut &+= UInt64(head.count + content.count)
                if part.hasForbiddenTrailers { client.send(permittedTrailers(of: bytes)) }
            }
            if !client.isWritable { streamWritabilityChanged(isWritable: false) }
        }
        if part.isComplete { return finishResponse(unread: bytes.count - part.consumed) }
        if part.consumed < bytes.count {
            // An unfinished trailer section, which is read as a whole.
            responseInput.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[part.consumed...]))
        }
    }

    /// What to do with bytes that have arrived.
    private struct BodyPart {
        /// Belong to the body and are done with.
        var consumed: Int
        /// The first so many of them go to the client as they are.
        var forwarded: Int
        /// Instead of those: the content, for a client of HTTP/1.0.
        var unwrapped: ByteBuffer?
        /// The trailer section has fields that must not be forwarded: the others follow `forwarded`.
        var hasForbiddenTrailers = false
        var isComplete: Bool
    }

    @inline(__always)
    private func takeResponseBody(_ bytes: UnsafeRawBufferPointer) throws(HTTPWireError) -> BodyPart {
        switch response.framing {
        case .none:
            return BodyPart(consumed: 0, forwarded: 0, isComplete: true)
        case .length:
            let count = Int(min(responseLeft, UInt64(bytes.count)))
            responseLeft -= UInt64(count)
            return BodyPart(consumed: count, forwarded: count, isComplete: responseLeft == 0)
        case .untilClose:
            return BodyPart(consumed: bytes.count, forwarded: bytes.count, isComplete: false)
        case .chunked:
            return try takeResponseChunks(bytes)
        }
    }

    private func takeResponseChunks(_ bytes: UnsafeRawBufferPointer) throws(HTTPWireError) -> BodyPart {
        if request.versionMinor == 0 {
            var content = ByteBuffer()
            let consumed = try responseChunks!.decode(bytes) { content.writeBytes($0.bytes(in: bytes)) }
            return BodyPart(
                consumed: consumed, forwarded: 0, unwrapped: content, isComplete: responseChunks!.isComplete)
        }
        let consumed = try responseChunks!.decode(bytes)
        let isComplete = responseChunks!.isComplete
        guard isComplete, responseChunks!.hasForbiddenTrailers else {
            return BodyPart(consumed: consumed, forwarded: consumed, isComplete: isComplete)
        }
        return BodyPart(
            consumed: consumed, forwarded: responseChunks!.trailerSection.start, hasForbiddenTrailers: true,
            isComplete: true)
    }

    private func permittedTrailers(of bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var writer = HeadWriter(loop.headMemory(responseChunks!.trailerSection.count))
        responseChunks!.appendTrailers(of: bytes, to: &writer)
        return writer.written
    }

    private func passOnTunnel(_ bytes: UnsafeRawBufferPointer) {
        guard let client else { return }
        deadline = loop.now + TimeAmount(loop.options.timeouts.stream)
        client.send(bytes)
        observation.bytesOut &+= UInt64(bytes.count)
        if !client.isWritable { streamWritabilityChanged(isWritable: false) }
    }

    // MARK: op=late

    /// The application commits behind the head: ask the instance what the session is now, and hold the body's end.
    private func mirrorLate(_ word: BridgeResponse) {
        guard case .late(let id) = word.answer else { return releaseEnd() }
        stage = .mirroringLate
        deadline = loop.now + TimeAmount(loop.options.timeouts.store) + .seconds(5)
        let serial = serial
        BridgeEndpoints.export(id, pool: pool, loop: loop) { result in
            guard self.serial == serial else { return }
            switch result {
            case .success(let session?):
                var change = session.change
                change.base = self.stored?.version
                if let stored = self.stored, stored.version == change.version { return self.releaseEnd() }
                self.mirror(
                    BridgeResponse(answer: .put(change), incarnation: session.incarnation), inlineState: session.state)
            case .success(nil):
                let version = (self.stored?.version.version ?? 0) + 1
                self.mirror(
                    BridgeResponse(
                        answer: .destroy(id: id, version: version, ttlSeconds: self.stored?.ttlSeconds ?? 3600),
                        incarnation: word.incarnation),
                    inlineState: nil)
            case .failure:
                self.suspectSession()
                if self.decision.phase == .mirroring, self.table.table.storeErrors == .serve {
                    self.releaseEnd()
                } else {
                    self.abort()
                }
            }
        }
    }

    private func releaseEnd() {
        late = nil
        endGrace()
        if let client, let heldEnd { client.send(heldEnd) }
        heldEnd = nil
        finishResponse(unread: responseInput.readableBytes)
    }

    // MARK: End

    /// - Parameter unread: bytes that the instance sent behind the end of the response, which nobody asked for.
    private func finishResponse(unread: Int = 0) {
        endGrace()
        let reusable = response.keepAlive && requestBodyDone && response.framing != .untilClose && unread == 0
        releaseUpstream(reusable: reusable)
        serial += 1
        guard client != nil else { return end() }
        // A request whose body was not read to its end leaves no place where the next one would begin.
        if keepAlive, requestBodyDone, !loop.isStopping { nextRequest() } else { finishAndClose() }
    }

    func upstreamDidClose() {
        guard let closed = upstream else { return }
        upstream = nil
        pool.requestEnded()
        switch stage {
        case .forwarding:
            upstreamClosedWithoutResponse(wasReused: closed.wasReused)
        case .streaming where response.framing == .untilClose:
            if let word = late {
                heldEnd = ByteBuffer()
                mirrorLate(word)
            } else {
                finishResponse()
            }
        case .mirroring where responseIsWhole:
            // Everything of it is here already; `streamResponse` goes on from `responseInput`.
            break
        case .mirroringLate:
            break
        case .mirroring:
            // The body will be cut short; the session's change still counts.
            keepAlive = false
        case .streaming:
            observation.flags.insert(.truncated)
            abort()
        case .tunneling:
            // What the client has not taken yet is still its.
            finishAndClose()
        case .readingHead, .deciding, .closed:
            break
        }
    }

    private var responseIsWhole: Bool {
        switch response.framing {
        case .none, .untilClose: true
        case .length: responseLeft <= UInt64(responseInput.readableBytes)
        case .chunked: false
        }
    }

    private func upstreamClosedWithoutResponse(wasReused: Bool) {
        // A connection that the instance closed while it was idle: it has not read the request. That cannot be told from a
        // crash in the middle, so the policy tries only what may be repeated again (RFC 9112 section 9.3.1).
        let isStale = wasReused && responseInput.readableBytes == 0 && client != nil
        if isStale { abandonPermit() } else { settlePermit(.broken) }
        retry(after: isStale ? .staleConnection : .unanswered) {
            suspectSession()
            answer(502, "The instance closed the connection without an answer.", because: .upstreamClosed)
        }
    }
}
