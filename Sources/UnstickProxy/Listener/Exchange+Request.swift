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
            return refuseHead(error)
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
            if stage == .readingHead, input.readableBytes == 0 { rest() }
        }
        while stage == .readingHead, input.readableBytes > 0 {
            do {
                let complete = try input.withBytes { (bytes) throws(HTTPWireError) in try request.parse(bytes) }
                guard complete else { return headIsIncomplete() }
            } catch {
                return refuseHead(error)
            }
            let length = request.headLength
            if let slice = input.readSlice(length: length) { head.writeImmutableBuffer(slice) }
            beginRequest()
        }
    }

    private func headIsIncomplete() {
        guard !headBegun else { return }
        headBegun = true
        deadline = loop.now + TimeAmount(loop.options.timeouts.clientHead)
    }

    private func refuseHead(_ error: HTTPWireError) {
        requestBodyDone = false
        answer(error.status, "The request was refused: \(error).", closes: true)
    }

    func beginRequest() {
        serial += 1
        started = loop.now
        loop.counters.requests &+= 1
        keepAlive = request.keepAlive
        tried = 0
        attempts = 0
        expectation = .none
        bodyReceived = 0
        if let refusal = startBody() {
            requestBodyDone = request.framing.isEmpty
            return answer(refusal.status, refusal.message, closes: true)
        }
        table = loop.table
        findSessionAndAffinity()
        loop.requestBegan(under: table)
        ledgerOpen = true
        stage = .deciding
        deadline = started + TimeAmount(loop.options.timeouts.response)
        route()
    }

    private struct Refusal {
        var status: Int
        var message: String
    }

    private func startBody() -> Refusal? {
        let reserved = head.withUnsafeReadableBytes {
            RequestTarget.isReservedPath(request.target.bytes(in: $0))
        }
        if reserved { return Refusal(status: 404, message: "There is nothing here.") }
        if request.method == .connect { return Refusal(status: 501, message: "CONNECT is not available here.") }
        bodyChunks = nil
        bodyLeft = 0
        let limits = loop.options.limits
        switch request.framing {
        case .none, .untilClose:
            requestBodyDone = true
            replay = ByteBuffer()
        case .length(let length):
            if let limit = limits.bodyBytes, length > limit {
                return Refusal(status: 413, message: "The request body has \(length) bytes; the limit is \(limit).")
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
        sessionSlice = nil
        sessionHash = nil
        affinity = nil
        affinityCookiePresent = false
        let names = loop.cookieNames
        head.withUnsafeReadableBytes { bytes in
            if request.headers.contains(.cookie) {
                if let name = names.session,
                    let value = CookieScanner.value(of: name, in: request.headers, of: bytes), !value.isEmpty
                {
                    takeSession(value, of: bytes)
                }
                if let name = names.affinity,
                    let value = CookieScanner.value(of: name, in: request.headers, of: bytes)
                {
                    affinityCookiePresent = true
                    affinity = table.instance(affinityValue: value.bytes(in: bytes))
                }
            }
            if sessionSlice == nil, let parameter = names.urlParameter,
                let value = RequestTarget.sessionID(in: request.target, of: bytes, parameter: parameter), !value.isEmpty
            {
                takeSession(value, of: bytes)
            }
        }
        if loop.options.affinity.method == .ipHash {
            let hash = (connection?.addressText ?? []).withUnsafeBytes { StableHash.hash($0) }
            affinity = table.table.rendezvous(hash)
        }
        if sessionSlice != nil { loop.counters.sessionRequests &+= 1 }
    }

    private func takeSession(_ slice: ByteSlice, of bytes: UnsafeRawBufferPointer) {
        // Longer ids are no framework's: without a session the application refuses or ignores it.
        guard slice.count <= 4096 else { return }
        sessionSlice = slice
        sessionHash = StableHash.hash(slice.bytes(in: bytes))
    }
}
