import BridgeContract
import ControlAPI
import HTTPWire
import NIOCore
import SessionStore
import SocketLoop
import UnstickCore

/// A request, for a client connection that it is lent to: the request path of DESIGN section 4, whose steps are this
/// class's extensions in the order in which a request meets them:
///
/// 1. `readHead`, `beginRequest` (Exchange+Request)
/// 2. `route`, `readVersion`, `chooseInstance`, `hydrate` (Exchange+Routing)
/// 3. `connect`, `forward`, `pumpRequestBody` (Exchange+Forwarding)
/// 4. `takeResponseHead`, `mirror`, `releaseHead` (Exchange+Response)
/// 5. `passOnBody`, `finishResponse` (Exchange+Body)
///
/// Bound to one event loop, which keeps exchanges for reuse, so that the steady state allocates nothing per request in
/// `sticky` and an idle connection costs next to nothing. `serial` tells a late answer to an earlier use. Bytes come in memory that the loop's connections share: what can go on goes on from
/// there, and only what must wait is copied (`input`, `head`, `responseInput`). A client that goes away does not end the
/// exchange before the mirror step is done; the upstream connection keeps it alive.
final class Exchange: UpstreamDelegate, ByteStreamDelegate {
    /// What the exchange waits for.
    enum Stage {
        /// A request head, or the next request.
        case readingHead
        /// The store, a hydration, or a connection.
        case deciding
        /// The response head; the request body may still be on its way.
        case forwarding
        /// The store, while the response head is held.
        case mirroring
        /// The rest of the response body.
        case streaming
        /// The store, while the end of the body is held (`op=late`).
        case mirroringLate
        /// Bytes in both directions without meaning for us (RFC 9110 section 7.8).
        case tunneling
        /// Nothing; the connection is closed or closing.
        case closed
    }

    let loop: ProxyLoop
    /// Nil once the client has gone.
    private(set) var connection: ClientConnection?
    /// The connection's bytes; nil once the client has gone.
    private(set) var client: ByteStream?
    var stage = Stage.readingHead
    /// When the stage must have ended.
    var deadline: NIODeadline
    /// Increases with each request and with an abort: completions of an older one are ignored.
    var serial = 0

    // MARK: Client side

    /// What has arrived and cannot go on yet.
    var input = ByteBuffer()
    var clientReadsPaused = false
    /// The answers so far are still to be taken: until the client has, its next request is not begun, or one who only asks and
    /// never reads would fill the memory.
    private(set) var waitsForReader = false
    /// The first bytes of a head have arrived and the deadline for the rest is set.
    var headBegun = false
    /// `readKeptHeads` is at work: a request that ends meanwhile leaves the next one to it.
    var isReadingKeptHeads = false
    var request: RequestHead
    /// The request's head as received; offsets of `request` count from its first byte.
    var head = ByteBuffer()
    var bodyLeft: UInt64 = 0
    var bodyChunks: ChunkedDecoder?
    var bodyReceived: UInt64 = 0
    var requestBodyDone = true
    var keepAlive = true

    // MARK: Routing

    var table: LoopTable
    var ledgerOpen = false
    var started = NIODeadline.uptimeNanoseconds(0)
    /// Where the session id stands in `head`; nil: the request has none.
    var sessionSlice: ByteSlice?
    var sessionHash: UInt64?
    private(set) var knownSessionID: String?
    /// Where the request says its session is.
    var marks = RequestMarks()
    /// Who sent the request.
    var identity: ClientIdentity
    var decision = RouteDecision(target: .any, phase: .sticky, mayFailOver: false, home: nil)
    var stored: StoredVersion?
    var expectation = BridgeExpectation.none
    var inlineState: ByteBuffer?
    /// Instances that could not be reached for this request.
    var tried = TriedInstances()
    /// Times that an instance was asked, or tried to be asked.
    var tries = 0
    /// Times that an instance said that it lacks the session.
    var hydrations = 0
    /// The leave to use `served`, until its outcome is known.
    var permit: InstanceCondition.Permit?
    /// Index of the instance that serves the request.
    var served = 0

    // MARK: Upstream side

    var upstream: UpstreamConnection?
    var upstreamReadsPaused = false
    /// Body bytes forwarded so far; nil when they cannot be replayed.
    var replay: ByteBuffer?
    var response: ResponseHead
    var responseInput = ByteBuffer()
    var responseLeft: UInt64 = 0
    var responseChunks: ChunkedDecoder?
    /// The head for the client, held until the mirror step is done; with it what came behind it, in `responseInput`.
    var heldHead = ByteBuffer()
    /// The bridge's word that the session is committed behind the head.
    var late: BridgeResponse?
    /// The end of the body, held until what `late` announced is mirrored.
    var heldEnd: ByteBuffer?

    // MARK: Limits and observation

    /// When the request must be over, whatever it waits for.
    var totalDeadline = NIODeadline.distantFuture
    /// The least rate of the request's body.
    var bodyRate: RateFloor?
    var observation = RequestObservation()
    /// The request has begun and the observer has not heard of its end.
    var isObserved = false
    /// The request's head could be parsed.
    var isUnderstood = true

    init(loop: ProxyLoop) {
        self.loop = loop
        let limits = HeadLimits(
            maxHeadBytes: loop.options.limits.headBytes, maxTargetBytes: loop.options.limits.targetBytes,
            maxFields: loop.options.limits.headFields)
        request = RequestHead(limits: limits)
        identity = ClientIdentity(peer: nil, under: loop.forwardingPolicy)
        response = ResponseHead(limits: HeadLimits(maxHeadBytes: 256 * 1024, maxFields: 256))
        table = loop.table
        deadline = loop.now
    }

    /// Begins to serve a connection.
    func attach(to connection: ClientConnection) {
        precondition(input.readableBytes == 0 && upstream == nil, "an exchange is lent while it is in use")
        self.connection = connection
        client = connection.stream
        identity = connection.identity
        clientReadsPaused = false
        stage = .readingHead
        deadline = loop.now + loop.waits.idle
    }

    /// The connection is no longer served from here.
    private func detach() -> ByteStream? {
        let client = client
        self.client = nil
        connection?.leave()
        connection = nil
        return client
    }

    var pool: UpstreamPool { table.pools[served] }

    /// The id as the client presents it. Made when it is asked for: `sticky` never does.
    var sessionID: String? {
        if let knownSessionID { return knownSessionID }
        guard let sessionSlice else { return nil }
        knownSessionID = head.withUnsafeReadableBytes {
            String(decoding: sessionSlice.bytes(in: $0), as: UTF8.self)
        }
        return knownSessionID
    }

    /// Beyond this much unread input the client is not read until the instance takes more, and likewise in the other
    /// direction while a head is held.
    static let inputBytesMax = 256 * 1024

    // MARK: Client events

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        guard input.readableBytes == 0 else {
            input.writeBytes(bytes)
            return processInput()
        }
        switch stage {
        case .readingHead where waitsForReader: input.writeBytes(bytes)
        case .readingHead: readHead(bytes)
        case .forwarding, .streaming, .mirroring, .mirroringLate: forwardBody(bytes)
        case .tunneling: forwardTunnel(bytes)
        case .deciding:
            input.writeBytes(bytes)
            pauseClientIfNeeded()
        case .closed: break
        }
    }

    /// Goes on with what has been kept.
    func processInput() {
        switch stage {
        case .readingHead: readKeptHeads()
        case .forwarding, .streaming, .mirroring, .mirroringLate: pumpRequestBody()
        case .tunneling: pumpTunnel()
        case .deciding: break
        case .closed: input.clear()
        }
        pauseClientIfNeeded()
    }

    /// Takes the kept bytes out while they are worked on; `takeBack` returns what was left of them.
    func takeInput() -> ByteBuffer {
        let taken = input
        input = ByteBuffer()
        return taken
    }

    /// Puts back what was not consumed, unless the connection has ended.
    func keepRest(of taken: ByteBuffer, consumed: Int) {
        guard stage != .closed, consumed < taken.readableBytes else { return }
        var rest = taken
        rest.moveReaderIndex(forwardBy: consumed)
        if input.readableBytes > 0 {
            var later = input
            rest.writeBuffer(&later)
        }
        input = rest
    }

    func pauseClientIfNeeded() {
        let full = waitsForReader || input.readableBytes > Self.inputBytesMax
        guard full != clientReadsPaused, let client else { return }
        clientReadsPaused = full
        bodyRate?.setReading(!full, now: loop.now)
        client.setReading(!full)
    }

    /// The client has closed its connection, or it broke.
    func streamDidClose() {
        // The end of a tunnel is no loss: nobody says there when an answer is complete.
        if stage != .tunneling { observation.flags.insert(.clientGone) }
        _ = detach()
        switch stage {
        case .forwarding where decision.phase.mirrors && requestBodyDone:
            // The application may be changing the session now: see the mirror step through.
            loop.registerOrphan(self)
        case .mirroring, .mirroringLate:
            loop.registerOrphan(self)
        case .streaming where late != nil:
            loop.registerOrphan(self)
        default:
            end()
        }
    }

    func streamWritabilityChanged(isWritable: Bool) {
        if waitsForReader, isWritable { return readerHasTaken() }
        guard let upstream, stage == .streaming || stage == .tunneling, upstreamReadsPaused == isWritable else {
            return
        }
        upstreamReadsPaused = !isWritable
        upstream.setReading(isWritable)
    }

    // MARK: Ends

    /// This request no longer delays its epoch's acknowledgement.
    func endGrace() {
        guard ledgerOpen else { return }
        ledgerOpen = false
        loop.requestMirrored(under: table)
    }

    func endRequest() {
        endGrace()
        dropUpstream()
        abandonPermit()
    }

    /// The instance's part in the request is over, and it says nothing about the instance.
    func abandonPermit() {
        guard let permit else { return }
        self.permit = nil
        loop.abandon(permit, of: pool)
    }

    /// The instance has served the request, or failed to.
    func settlePermit(_ outcome: InstanceOutcome) {
        guard let permit else { return }
        self.permit = nil
        loop.settle(permit, of: pool, outcome)
    }

    /// Nothing more will happen here.
    func end() {
        stage = .closed
        serial += 1
        finishObservation()
        endRequest()
        loop.unregisterOrphan(self)
    }

    /// Tells the observer that the request is over; once.
    func finishObservation() {
        guard isObserved else { return }
        isObserved = false
        observation.ended = loop.now.uptimeNanoseconds
        observation.bytesIn = UInt64(head.readableBytes) + bodyReceived
        head.withUnsafeReadableBytes {
            loop.observer.finished(
                observation, head: request, isUnderstood: isUnderstood, bytes: $0,
                client: loop.observer.wantsHeads ? identity.clientText : [],
                sessionID: sessionID)
        }
    }

    /// Closes the upstream connection: what it would still say is not wanted, or not understood.
    func dropUpstream() {
        guard let upstream else { return }
        self.upstream = nil
        pool.requestEnded()
        upstream.close()
    }

    /// Gives the upstream connection back for the next request.
    func releaseUpstream(reusable: Bool) {
        guard let upstream else { return }
        guard reusable else { return dropUpstream() }
        self.upstream = nil
        pool.requestEnded()
        pool.release(upstream, now: loop.now)
    }

    /// Ends the exchange at once, whatever it waits for.
    func abort() {
        guard stage != .closed else { return }
        end()
        detach()?.close()
    }

    func closeIfIdle() {
        if waitsForReader { return finishAndClose() }
        if stage == .readingHead, input.readableBytes == 0 { abort() }
    }

    /// Answers for the proxy itself. The connection persists only when the request was read to its end.
    func answer(
        _ status: Int, _ message: String, because reason: OwnAnswer = .other, retryAfter: Int? = nil,
        closes: Bool = false
    ) {
        switch stage {
        // The instance's head is out: a second one in the middle of its body would be read as content.
        case .streaming, .mirroringLate, .tunneling: return abort()
        default: break
        }
        observation.ownAnswer = reason
        if status >= 500 { loop.counters.proxyErrors &+= 1 }
        serial += 1
        endRequest()
        guard let client else {
            // Nobody has been sent the status that an instance may have given.
            observation.status = 0
            return end()
        }
        let persists = !closes && keepAlive && requestBodyDone && !loop.isStopping
        let omitsBody = request.method == .head
        let isIdentified = isUnderstood && loop.observer.rewritesFields
        let out = loop.withResponseLines { lines in
            // The request's id for the client, where it is told.
            guard isObserved, isIdentified else { return }
            head.withUnsafeReadableBytes { loop.observer.writeResponseLines(observation, head: $0, to: &lines) }
        } then: { lines in
            let size = ProxyAnswer.maxSize(messageBytes: message.utf8.count) + lines.count
            var writer = HeadWriter(loop.headMemory(size))
            ProxyAnswer.write(
                status: status, message: message, retryAfterSeconds: retryAfter, lines: lines, keepAlive: persists,
                omitsBody: omitsBody, to: &writer)
            return writer.written
        }
        client.send(out)
        observation.status = UInt16(status)
        observation.bytesOut &+= UInt64(out.count)
        let bodyBytes = omitsBody ? 0 : ProxyAnswer.bodySize(messageBytes: message.utf8.count)
        observation.headBytesOut &+= UInt32(truncatingIfNeeded: out.count - bodyBytes)
        finishObservation()
        if persists { nextRequest() } else { finishAndClose() }
    }

    /// Lets the client read what was written, then closes.
    func finishAndClose() {
        let mayFollow = request.keepAlive || !requestBodyDone || input.readableBytes > 0
        end()
        detach()?.finish(lingers: mayFollow)
        // What this client sent beyond its request must never be taken for another one's.
        input.forget()
        reset()
        loop.giveBack(self)
    }

    func nextRequest() {
        reset()
        stage = .readingHead
        deadline = loop.now + loop.waits.idle
        guard let client else { return end() }
        if loop.isStopping { return abort() }
        guard client.isWritable else {
            waitsForReader = true
            deadline = loop.now + loop.waits.stream
            return pauseClientIfNeeded()
        }
        if input.readableBytes > 0 { readKeptHeads() }
        pauseClientIfNeeded()
        // Nothing of a next request is here: the connection waits without an exchange.
        if stage == .readingHead, input.readableBytes == 0, !isReadingKeptHeads { rest() }
    }

    /// The client has taken enough of its answers: its next request may begin.
    private func readerHasTaken() {
        waitsForReader = false
        deadline = loop.now + loop.waits.idle
        pauseClientIfNeeded()
        if input.readableBytes > 0 { readKeptHeads() } else { rest() }
    }

    /// Ready for another use.
    func rest() {
        guard let connection else { return }
        pauseClientIfNeeded()
        stage = .closed
        client = nil
        self.connection = nil
        connection.becomeIdle()
        loop.giveBack(self)
    }

    /// Forgets the request; keeps the memory that every request needs.
    private func reset() {
        finishObservation()
        request.reset()
        response.reset()
        head.forget()
        input.forgetIfEmpty()
        responseInput.forget()
        heldHead.forget()
        replay = nil
        inlineState = nil
        late = nil
        heldEnd = nil
        sessionSlice = nil
        sessionHash = nil
        knownSessionID = nil
        stored = nil
        bodyChunks = nil
        responseChunks = nil
        bodyRate = nil
        bodyReceived = 0
        totalDeadline = .distantFuture
        waitsForReader = false
        headBegun = false
    }

    func checkDeadline(now: NIODeadline) {
        if now >= totalDeadline, stage != .readingHead, stage != .closed {
            suspectSession()
            return answer(504, "The request took too long.", because: .upstreamTimeout, closes: true)
        }
        if stage == .forwarding, !requestBodyDone, bodyRate?.isTooSlow(now: now) == true {
            return answer(408, "The request body arrives too slowly.", because: .clientTimeout, closes: true)
        }
        guard now >= deadline else { return }
        switch stage {
        case .readingHead:
            if input.readableBytes > 0, !waitsForReader {
                observeUnreadable(bytes: input.readableBytes)
                answer(408, "The request head did not arrive in time.", because: .clientTimeout, closes: true)
            } else {
                abort()
            }
        case .deciding:
            answer(503, "No instance could be asked in time.", because: .queueTimeout, retryAfter: 1, closes: true)
        case .forwarding where requestBodyDone || upstream?.isWritable == false:
            suspectSession()
            settlePermit(.responseTimedOut)
            answer(504, "The instance did not answer in time.", because: .upstreamTimeout, closes: true)
        case .forwarding:
            answer(408, "The request body did not arrive in time.", because: .clientTimeout, closes: true)
        case .mirroring:
            answer(
                503, "The session store did not answer in time.", because: .storeUnavailable, retryAfter: 1,
                closes: true)
        case .streaming, .tunneling, .mirroringLate:
            abort()
        case .closed:
            break
        }
    }
}

extension ByteBuffer {
    /// What a pooled exchange may keep: enough for usual heads.
    private static let keptBytesMax = 16 * 1024

    /// Empties the buffer, and gives its memory back when it is large.
    fileprivate mutating func forget() {
        if capacity > Self.keptBytesMax { self = ByteBuffer() } else { clear() }
    }

    fileprivate mutating func forgetIfEmpty() {
        if readableBytes == 0 { forget() }
    }
}
