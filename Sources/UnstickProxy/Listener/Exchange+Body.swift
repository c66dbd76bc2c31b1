import BridgeContract
import HTTPWire
import NIOCore
import SessionStore
import SocketLoop
import UnstickCore

/// Step 6: pass the response's body on as it comes, hold its end where the bridge asked for it (`op=late`), end well or
/// short.
extension Exchange {
    // MARK: Body

    func startResponseBody() {
        responseChunks = nil
        responseLeft = 0
        switch response.framing {
        case .none, .untilClose: break
        case .length(let length): responseLeft = length
        case .chunked: responseChunks = ChunkedDecoder()
        }
    }

    /// Passes on what has arrived of the body, and with it a head that has just been released.
    func passOnBody(
        _ bytes: UnsafeRawBufferPointer,
        behind head: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) {
        let part: BodyPart
        do {
            part = try takeResponseBody(bytes)
        } catch {
            // What came before the mistake is the client's; the connection's end says that the body was cut short.
            if let client {
                client.send(head)
                observation.bytesOut &+= UInt64(head.count)
            }
            return abort()
        }
        if part.consumed > 0 { deadline = loop.now + loop.waits.stream }
        let content = UnsafeRawBufferPointer(rebasing: bytes[..<part.forwarded])
        if part.isComplete, let word = late {
            // The end is held. The head may go.
            heldEnd = part.unwrapped ?? ByteBuffer(bytes: content)
            if part.hasForbiddenTrailers { heldEnd!.writeBytes(permittedTrailers(of: bytes)) }
            if let client {
                client.send(head)
                observation.bytesOut &+= UInt64(head.count)
            }
            return mirrorLate(word)
        }
        if let client {
            if let unwrapped = part.unwrapped {
                unwrapped.withUnsafeReadableBytes { client.send(head, $0) }
                observation.bytesOut &+= UInt64(head.count + unwrapped.readableBytes)
            } else {
                client.send(head, content)
                observation.bytesOut &+= UInt64(head.count + content.count)
                if part.hasForbiddenTrailers {
                    let trailers = permittedTrailers(of: bytes)
                    client.send(trailers)
                    observation.bytesOut &+= UInt64(trailers.count)
                }
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

    func passOnTunnel(_ bytes: UnsafeRawBufferPointer) {
        guard let client else { return }
        deadline = loop.now + loop.waits.stream
        client.send(bytes)
        observation.bytesOut &+= UInt64(bytes.count)
        if !client.isWritable { streamWritabilityChanged(isWritable: false) }
    }

    // MARK: op=late

    /// The application commits behind the head: ask the instance what the session is now, and hold the body's end.
    private func mirrorLate(_ word: BridgeResponse) {
        guard case .late(let id) = word.answer else { return releaseEnd() }
        stage = .mirroringLate
        deadline = loop.now + loop.waits.store + .seconds(5)
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

    func releaseEnd() {
        late = nil
        endGrace()
        if let client, let heldEnd {
            client.send(heldEnd)
            observation.bytesOut &+= UInt64(heldEnd.readableBytes)
        }
        heldEnd = nil
        finishResponse(unread: responseInput.readableBytes)
    }

    // MARK: End

    /// - Parameter unread: bytes that the instance sent behind the end of the response, which nobody asked for.
    func finishResponse(unread: Int = 0) {
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
