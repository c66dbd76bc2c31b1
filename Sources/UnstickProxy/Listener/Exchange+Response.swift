import BridgeContract
import ControlAPI
import HTTPWire
import Logging
import NIOCore
import SessionStore
import UnstickCore
import UnstickCrypto

/// Steps 4 to 6: take the bridge's word out of the response head, mirror, release the head, stream the body.
extension Exchange {
    func upstreamDidRead(_ bytes: ByteBuffer) {
        switch stage {
        case .streaming where responseInput.readableBytes == 0:
            responseInput = bytes
            streamResponse()
        case .tunneling:
            deadline = loop.now + TimeAmount(loop.options.timeouts.stream)
            client?.writeAndFlush(NIOAny(bytes), promise: nil)
            if let client, !client.channel.isWritable { clientWritabilityChanged(isWritable: false) }
        default:
            if responseInput.readableBytes == 0 {
                responseInput = bytes
            } else {
                var bytes = bytes
                responseInput.writeBuffer(&bytes)
            }
            if stage == .forwarding { readResponseHead() } else if stage == .streaming { streamResponse() }
            holdUpstreamIfNeeded()
        }
    }

    /// While the head is held, only a bounded part of the body is taken in.
    private func holdUpstreamIfNeeded() {
        guard let upstream, !upstreamReadsPaused, responseInput.readableBytes > Self.inputBytesMax else { return }
        upstreamReadsPaused = true
        upstream.setReading(false)
    }

    private func readResponseHead() {
        while stage == .forwarding {
            let method = request.method
            do {
                let complete = try responseInput.withBytes { (bytes) throws(HTTPWireError) in
                    try response.parse(bytes, answering: method)
                }
                guard complete else { return }
            } catch {
                suspectSession()
                return answer(502, "The instance's answer was not HTTP: \(error).")
            }
            let headBytes = responseInput.readSlice(length: response.headLength) ?? ByteBuffer()
            guard response.isInformational else { return takeResponseHead(headBytes) }
            // 100 was answered by the proxy; others are passed on (RFC 9110 section 15.2).
            if response.status != 100, request.versionMinor > 0, let client {
                client.writeAndFlush(NIOAny(headBytes), promise: nil)
            }
            response.reset()
        }
    }

    private func takeResponseHead(_ headBytes: ByteBuffer) {
        loop.responseLatency.record(microseconds: UInt64((loop.now - started).nanoseconds / 1000))
        if response.status >= 500 { loop.counters.upstreamErrors &+= 1 }
        startResponseBody()
        guard decision.phase.mirrors else {
            // Nothing is held: the loop's scratch memory will do.
            swap(&heldHead, &loop.responseScratch)
            writeHead(headBytes)
            releaseHead()
            return
        }
        let word = bridgeWord(in: headBytes)
        if let word, response.status == 409 {
            switch word.response.answer {
            case .missing, .stale: return instanceLacksSession(word.response)
            default: break
            }
        }
        writeHead(headBytes)
        guard let word else { return mirrorWithoutWord() }
        if case .late = word.response.answer { late = word.response }
        stage = .mirroring
        mirror(word.response, inlineState: word.state)
    }

    private struct BridgeWord {
        var response: BridgeResponse
        var state: ByteBuffer?
    }

    private func bridgeWord(in headBytes: ByteBuffer) -> BridgeWord? {
        guard response.headers.contains(.unstickSession) else { return nil }
        return headBytes.withUnsafeReadableBytes { bytes in
            guard let field = response.headers.first(.unstickSession) else { return nil }
            let parsed: BridgeResponse
            do {
                parsed = try BridgeResponse(parsing: field.value.text(in: bytes))
            } catch {
                loop.logger.warning("\(error)", metadata: ["instance": "\(pool.name)"])
                return nil
            }
            let state = response.headers.first(.unstickState).flatMap {
                Base64URL.decode($0.value.bytes(in: bytes)).map { ByteBuffer(bytes: $0) }
            }
            return BridgeWord(response: parsed, state: state)
        }
    }

    // MARK: Hydrate and replay

    /// The bridge answered before the application ran.
    private func instanceLacksSession(_ word: BridgeResponse) {
        pool.incarnation = word.incarnation
        attempts += 1
        let whole = response.framing == .none || responseLeft == UInt64(responseInput.readableBytes)
        if whole, response.keepAlive, requestBodyDone {
            responseInput.clear()
            releaseUpstream(reusable: true)
        } else {
            dropUpstream()
        }
        response.reset()
        responseInput.clear()
        guard replay != nil, attempts < 5 else {
            return answer(
                503, "The instance does not have this session and could not be given it in time.", retryAfter: 1,
                closes: !requestBodyDone)
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
        loop.mirror(word, inlineState: inlineState, in: mirrorContext()) { verdict in
            guard self.serial == serial else { return }
            switch verdict {
            case .release:
                if self.stage == .mirroringLate { self.releaseEnd() } else { self.releaseHead() }
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
        if decision.phase == .stateless, affinity == nil, let stored, let known = table.index(named: stored.home),
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
        answer(503, "The response was withheld: \(reason). Try again.", retryAfter: 1)
    }

    /// The instance answered without a word from its bridge: an error page of the server in front of the application,
    /// or an application without a bridge. Whether the session changed is not known.
    private func mirrorWithoutWord() {
        suspectSession()
        releaseHead()
    }

    /// Has the session looked at soon: the instance may have changed it without telling.
    func suspectSession() {
        guard decision.phase == .mirroring, let sessionID else { return }
        loop.markDirty(sessionID, ttlSeconds: 60, version: 0, isSuspicion: false, in: mirrorContext())
    }

    // MARK: Release

    private func writeHead(_ headBytes: ByteBuffer) {
        if loop.isStopping || response.framing == .untilClose { keepAlive = false }
        // A chunked body that is unwrapped for HTTP/1.0 ends with the connection.
        if response.framing == .chunked, request.versionMinor == 0 { keepAlive = false }
        let released = ReleasedResponse(
            clientMinorVersion: request.versionMinor, keepAlive: keepAlive, affinityLine: affinityLine())
        heldHead.clear(minimumCapacity: headBytes.readableBytes + 256)
        headBytes.withUnsafeReadableBytes { ResponseRewriter.write(response, of: $0, as: released, to: &heldHead) }
    }

    /// `Set-Cookie` for the affinity: when the client has none or another, and an expiring one in `completed`.
    private func affinityLine() -> [UInt8] {
        guard loop.options.affinity.method == .cookie, response.status != 101 else { return [] }
        if table.table.phase == .completed {
            return affinityCookiePresent ? loop.expiringAffinityLine : []
        }
        let home = home
        guard affinity != home else { return [] }
        return loop.affinityLinePrefix + table.affinityValues[home] + loop.affinityLineSuffix
    }

    private func releaseHead() {
        endGraceUnlessLate()
        guard let client else { return finishWithoutClient() }
        if responseInput.readableBytes <= Self.joinedBytesMax, response.framing != .chunked, response.status != 101,
            late == nil
        {
            joinBodyToHead()
        }
        client.write(NIOAny(heldHead), promise: nil)
        // Gives the memory to the next head of the loop, if that one has none.
        if loop.responseScratch.capacity == 0 { swap(&heldHead, &loop.responseScratch) }
        heldHead = ByteBuffer()
        if response.status == 101 {
            stage = .tunneling
            deadline = loop.now + TimeAmount(loop.options.timeouts.stream)
            if responseInput.readableBytes > 0 {
                client.write(NIOAny(responseInput), promise: nil)
                responseInput = ByteBuffer()
            }
            client.flush()
            if upstream == nil { return finishAndClose() }
            resumeUpstream()
            return pumpTunnel()
        }
        stage = .streaming
        deadline = loop.now + TimeAmount(loop.options.timeouts.stream)
        streamResponse(flush: true)
        guard stage == .streaming else { return }
        if upstream != nil { return resumeUpstream() }
        // The instance closed while the head was held: that ends the body, well or short.
        if response.framing == .untilClose { finishResponse() } else { abort() }
    }

    /// Bodies up to this many bytes are copied behind the head: one buffer is cheaper to write than two.
    private static let joinedBytesMax = 8 * 1024

    private func joinBodyToHead() {
        var body = responseInput
        if case .length = response.framing {
            body = responseInput.readSlice(length: Int(min(responseLeft, UInt64(responseInput.readableBytes))))!
            responseLeft -= UInt64(body.readableBytes)
            heldHead.writeBuffer(&body)
        }
    }

    private func endGraceUnlessLate() {
        if late == nil { endGrace() }
    }

    private func resumeUpstream() {
        guard upstreamReadsPaused, let client, client.channel.isWritable else { return }
        upstreamReadsPaused = false
        upstream?.setReading(true)
    }

    /// The mirror step is done and nobody is there to read the rest.
    private func finishWithoutClient() {
        if late != nil {
            stage = .streaming
            deadline = loop.now + TimeAmount(loop.options.timeouts.stream)
            if upstreamReadsPaused {
                upstreamReadsPaused = false
                upstream?.setReading(true)
            }
            return streamResponse(flush: false)
        }
        end()
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

    /// Passes on what has arrived of the body.
    private func streamResponse(flush: Bool = false) {
        var bytes = ByteBuffer()
        var complete = false
        switch response.framing {
        case .none:
            complete = true
        case .length:
            let count = Int(min(responseLeft, UInt64(responseInput.readableBytes)))
            bytes = count == responseInput.readableBytes ? responseInput : responseInput.readSlice(length: count)!
            if count == responseInput.readableBytes { responseInput = ByteBuffer() }
            responseLeft -= UInt64(count)
            complete = responseLeft == 0
        case .untilClose:
            bytes = responseInput
            responseInput = ByteBuffer()
        case .chunked:
            do {
                (bytes, complete) = try takeResponseChunks()
            } catch {
                return abort()
            }
        }
        if bytes.readableBytes > 0 { deadline = loop.now + TimeAmount(loop.options.timeouts.stream) }
        if complete, let word = late {
            heldEnd = bytes
            return mirrorLate(word)
        }
        if let client {
            if bytes.readableBytes > 0 {
                client.writeAndFlush(NIOAny(bytes), promise: nil)
            } else if flush {
                client.flush()
            }
            if !client.channel.isWritable { clientWritabilityChanged(isWritable: false) }
        }
        if complete { finishResponse() }
    }

    private func takeResponseChunks() throws(HTTPWireError) -> (ByteBuffer, Bool) {
        var content = ByteBuffer()
        let unwraps = request.versionMinor == 0
        let consumed = try responseInput.withBytes { (bytes) throws(HTTPWireError) in
            guard unwraps else { return try responseChunks!.decode(bytes) }
            return try responseChunks!.decode(bytes) { content.writeBytes($0.bytes(in: bytes)) }
        }
        let chunks = responseChunks!
        if unwraps {
            responseInput.moveReaderIndex(forwardBy: consumed)
        } else if chunks.isComplete, chunks.hasForbiddenTrailers {
            content = responseInput.readSlice(length: chunks.trailerSection.start) ?? ByteBuffer()
            responseInput.moveReaderIndex(forwardBy: consumed - chunks.trailerSection.start)
            content.writeStaticString("\r\n")
        } else {
            content = responseInput.readSlice(length: consumed) ?? ByteBuffer()
        }
        return (content, chunks.isComplete)
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
        if let client, let heldEnd { client.writeAndFlush(NIOAny(heldEnd), promise: nil) }
        heldEnd = nil
        finishResponse()
    }

    // MARK: End

    private func finishResponse() {
        endGrace()
        let reusable = response.keepAlive && requestBodyDone && response.framing != .untilClose
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
        case .streaming, .tunneling:
            abort()
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
        // A connection that the instance closed while it was idle: it has not read the request. Only methods that may
        // be repeated are tried again, since that cannot be told from a crash in the middle (RFC 9112 section 9.3.1).
        if wasReused, responseInput.readableBytes == 0, request.method.isIdempotent, replay != nil, attempts < 4,
            client != nil
        {
            attempts += 1
            return connect(fresh: true)
        }
        suspectSession()
        answer(502, "The instance closed the connection without an answer.")
    }
}
