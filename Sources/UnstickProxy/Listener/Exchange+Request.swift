import BridgeContract
import ControlAPI
import HTTPWire
import NIOCore
import UnstickCore

/// Step 1: read a head, refuse what is ambiguous, find session and affinity.
extension Exchange {
    /// Reads a head from its first byte on.
    func readHead(_ bytes: UnsafeRawBufferPointer) {
        do {
            guard try request.parse(bytes) else {
                input.writeBytes(bytes)
                return headIsIncomplete()
            }
        } catch {
            return refuseHead(error, bytes: bytes.count)
        }
        let length = request.headLength
        head.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[..<length]))
        if bytes.count > length { input.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[length...])) }
        beginRequest()
        if input.readableBytes > 0 { pauseClientIfNeeded() }
    }

    /// Reads heads from what has been kept, one after the other as long as each is answered at once.
    func readKeptHeads() {
        guard !isReadingKeptHeads else { return }
        isReadingKeptHeads = true
        defer {
            isReadingKeptHeads = false
            if stage == .readingHead, input.readableBytes == 0, !waitsForReader { rest() }
        }
        while stage == .readingHead, input.readableBytes > 0, !waitsForReader {
            do {
                let complete = try input.withBytes { (bytes) throws(HTTPWireError) in try request.parse(bytes) }
                guard complete else { return headIsIncomplete() }
            } catch {
                return refuseHead(error, bytes: input.readableBytes)
            }
            let length = request.headLength
            if let slice = input.readSlice(length: length) { head.writeImmutableBuffer(slice) }
            beginRequest()
        }
    }

    private func headIsIncomplete() {
        guard !headBegun else { return }
        headBegun = true
        deadline = loop.now + loop.waits.clientHead
    }

    /// A request whose head cannot be read, or does not come in time, counts as one.
    /// - Parameter bytes: what came of it.
    func observeUnreadable(bytes: Int) {
        requestBodyDone = false
        bodyReceived = UInt64(bytes)
        loop.counters.requests &+= 1
        loop.observer.metrics.requestsBegun &+= 1
        observation = RequestObservation()
        observation.started = loop.now.uptimeNanoseconds
        observation.phase = loop.table.table.phase
        isObserved = true
        isUnderstood = false
    }

    private func refuseHead(_ error: HTTPWireError, bytes: Int) {
        observeUnreadable(bytes: bytes)
        let isTooLarge = error.status == 431 || error.status == 414
        answer(
            error.status, "The request was refused: \(error).", because: isTooLarge ? .headTooLarge : .badRequest,
            closes: true)
    }

    func beginRequest() {
        serial += 1
        started = loop.now
        loop.counters.requests &+= 1
        keepAlive = request.keepAlive
        tried = TriedInstances()
        tries = 0
        hydrations = 0
        expectation = .none
        observe()
        if let connection, identity.isPeerTrusted {
            identity = head.withUnsafeReadableBytes {
                connection.identity.resolved(for: request, of: $0, under: loop.forwardingPolicy)
            }
        }
        if let total = loop.waits.total { totalDeadline = started + total }
        if let refusal = startBody() ?? rateLimitRefusal() {
            requestBodyDone = request.framing.isEmpty
            return answer(
                refusal.status, refusal.message, because: refusal.reason, retryAfter: refusal.retryAfter,
                closes: refusal.closes)
        }
        loop.retries.requestBegan(now: started)
        table = loop.table
        findSessionAndAffinity()
        loop.requestBegan(under: table)
        ledgerOpen = true
        stage = .deciding
        deadline = started + loop.waits.response
        route()
    }

    private func observe() {
        observation = RequestObservation()
        observation.started = started.uptimeNanoseconds
        // Until it is routed; what is refused before is told under the phase of the time.
        observation.phase = loop.table.table.phase
        isObserved = true
        isUnderstood = true
        if let security = connection?.security, security.version != nil {
            observation.flags.insert(.tls)
            if security.isHTTP2 { observation.flags.insert(.http2) }
        }
        head.withUnsafeReadableBytes {
            loop.observer.began(&observation, head: request, bytes: $0, isTrusted: identity.isPeerTrusted)
        }
    }

    private struct Refusal {
        var status: Int
        var message: String
        var reason: OwnAnswer
        var retryAfter: Int?
        var closes = true
    }

    private func rateLimitRefusal() -> Refusal? {
        guard let limiter = loop.rateLimiter, !limiter.isEmpty else { return nil }
        let refusal = head.withUnsafeReadableBytes { bytes in
            limiter.check(
                method: request.method, methodName: request.methodSlice.bytes(in: bytes),
                target: (request.targetForm == .absolute ? request.pathAndQuery : request.target).bytes(in: bytes),
                client: identity.client.map { ClientKey($0) }, now: started)
        }
        guard let refusal else { return nil }
        loop.observer.metrics.rateLimited &+= 1
        return Refusal(
            status: 429, message: "Too many requests.", reason: .rateLimited, retryAfter: refusal.retryAfterSeconds,
            closes: false)
    }

    private func startBody() -> Refusal? {
        let reserved = head.withUnsafeReadableBytes {
            RequestTarget.isReservedPath(request.target.bytes(in: $0))
        }
        if reserved { return Refusal(status: 404, message: "There is nothing here.", reason: .reservedPath) }
        if request.method == .connect {
            return Refusal(status: 501, message: "CONNECT is not available here.", reason: .badRequest)
        }
        let forwardsLeft = head.withUnsafeReadableBytes { request.forwardsLeft(in: $0) }
        if forwardsLeft == .none {
            // RFC 9110 section 7.6.2: the request ends here.
            let status = request.method == .trace ? 405 : 200
            return Refusal(status: status, message: "Max-Forwards is 0.", reason: .badRequest, closes: false)
        }
        bodyChunks = nil
        bodyLeft = 0
        let limits = loop.options.limits
        switch request.framing {
        case .none, .untilClose:
            requestBodyDone = true
            replay = ByteBuffer()
        case .length(let length):
            if let limit = limits.bodyBytes, length > limit {
                return Refusal(
                    status: 413, message: "The request body has \(length) bytes; the limit is \(limit).",
                    reason: .bodyTooLarge)
            }
            bodyLeft = length
            requestBodyDone = length == 0
            replay = length <= UInt64(limits.replayBytes) ? ByteBuffer() : nil
        case .chunked:
            bodyChunks = ChunkedDecoder()
            requestBodyDone = false
            replay = nil
        }
        return nil
    }

    private func findSessionAndAffinity() {
        head.withUnsafeReadableBytes { bytes in
            marks = loop.marks.read(request, in: bytes, table: table, addressHash: addressHash)
            if let session = marks.session { takeSession(session, of: bytes) }
        }
        if sessionSlice != nil { loop.counters.sessionRequests &+= 1 }
    }

    /// For affinity by address.
    private var addressHash: UInt64 { AddressAffinity.hash(identity.clientText) }

    private func takeSession(_ slice: ByteSlice, of bytes: UnsafeRawBufferPointer) {
        // Longer ids are no framework's: without a session the application refuses or ignores it.
        guard slice.count <= 4096 else { return }
        sessionSlice = slice
        sessionHash = StableHash.hash(slice.bytes(in: bytes))
    }
}
