import BridgeContract
import ControlAPI
import HTTPWire
import Logging
import NIOCore
import SessionStore
import SocketLoop
import UnstickCore
import UnstickCrypto

/// Steps 4 and 5: take the bridge's word out of the response head, mirror, release the head.
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
                observation.headBytesOut &+= UInt32(truncatingIfNeeded: writer.count)
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

    func mirror(_ word: BridgeResponse, inlineState: ByteBuffer?) {
        let serial = serial
        deadline = loop.now + loop.waits.store + .seconds(5)
        let began = loop.now.uptimeNanoseconds
        loop.mirror(word, inlineState: inlineState, in: mirrorContext()) { verdict in
            guard self.serial == serial else { return }
            let ended = self.loop.now.uptimeNanoseconds
            // What changes nothing has no lag, and would hide that of what does.
            switch word.answer {
            case .put, .rotate, .destroy: self.observation.mirrored = .init(began: began, ended: ended)
            case .touch where ended > began: self.observation.mirrored = .init(began: began, ended: ended)
            case .touch, .none, .late, .missing, .stale: break
            }
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
        let affinity = affinityLine()
        guard loop.observer.rewritesFields else { return writeHead(headBytes, adding: affinity) }
        return loop.withResponseLines { lines in
            lines.writeBytes(affinity)
            head.withUnsafeReadableBytes { loop.observer.writeResponseLines(observation, head: $0, to: &lines) }
        } then: {
            writeHead(headBytes, adding: $0)
        }
    }

    private func writeHead(
        _ headBytes: UnsafeRawBufferPointer, adding lines: UnsafeRawBufferPointer
    ) -> UnsafeRawBufferPointer {
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

    /// `Set-Cookie` for the affinity: when the client has none or another, and an expiring one in `completed`.
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
        deadline = loop.now + loop.waits.stream
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
        observation.headBytesOut &+= UInt32(truncatingIfNeeded: head.count)
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
        // Nobody has been sent the status that the instance gave.
        observation.status = 0
        guard late != nil else { return end() }
        stage = .streaming
        deadline = loop.now + loop.waits.stream
        if upstreamReadsPaused {
            upstreamReadsPaused = false
            upstream?.setReading(true)
        }
        passOnBody(rest)
    }
}
