import HTTPWire
import UnstickCore

/// What an access log line tells beside the ``RequestObservation``: slices of the head, and what the loop knows.
struct AccessLogSubject {
    var head: UnsafeRawBufferPointer
    var method: UnsafeRawBufferPointer
    var target: UnsafeRawBufferPointer
    var host: UnsafeRawBufferPointer
    var userAgent: UnsafeRawBufferPointer
    var referrer: UnsafeRawBufferPointer
    /// As text.
    var client: UnsafeRawBufferPointer
    var versionMinor: Int
    var instance: String
    /// The keyed hash of the session's id; nil without a session.
    var session: String?
    /// When the request began, milliseconds since 1970.
    var milliseconds: Int64

    private static var nothing: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    init(
        _ request: borrowing RequestHead, head: UnsafeRawBufferPointer, client: UnsafeRawBufferPointer,
        instance: String,
        session: String?, milliseconds: Int64
    ) {
        self.head = head
        method = request.methodSlice.bytes(in: head)
        target = (request.pathAndQuery.isEmpty ? request.target : request.pathAndQuery).bytes(in: head)
        host = request.host.bytes(in: head)
        userAgent = request.headers.first(named: "user-agent", in: head)?.value.bytes(in: head) ?? Self.nothing
        referrer = request.headers.first(named: "referer", in: head)?.value.bytes(in: head) ?? Self.nothing
        self.client = client
        versionMinor = request.versionMinor
        self.instance = instance
        self.session = session
        self.milliseconds = milliseconds
    }

    /// Of a request whose head could not be understood: nothing of it is told.
    init(client: UnsafeRawBufferPointer, instance: String, milliseconds: Int64) {
        head = Self.nothing
        method = Self.nothing
        target = Self.nothing
        host = Self.nothing
        userAgent = Self.nothing
        referrer = Self.nothing
        self.client = client
        versionMinor = 1
        self.instance = instance
        session = nil
        self.milliseconds = milliseconds
    }
}

/// Formats one line of the access log; pure.
struct AccessLogFormat: Sendable {
    /// No line is longer: targets, referrers and user agents are cut off at these many bytes, and a byte becomes six at
    /// most.
    static let targetBytesMax = 2048
    static let fieldBytesMax = 1024
    static let lineBytesMax = 48 * 1024

    let format: ObservationOptions.AccessLog.Format
    let redaction: LogRedaction

    func write(_ request: RequestObservation, _ subject: AccessLogSubject, to writer: inout RawWriter) {
        switch format {
        case .json: writeJSON(request, subject, &writer)
        case .combined: writeCombined(request, subject, &writer)
        }
    }

    // MARK: JSON

    private func writeJSON(_ request: RequestObservation, _ subject: AccessLogSubject, _ out: inout RawWriter) {
        out.put("{\"time\":\"")
        out.putTimestamp(milliseconds: subject.milliseconds)
        out.put("\",\"client\":\"")
        out.putJSON(subject.client, limit: 64)
        out.put("\",\"method\":\"")
        out.putJSON(subject.method, limit: 64)
        let path = redaction.path(of: subject.target)
        text("\",\"path\":\"", path, Self.targetBytesMax, &out)
        if redaction.showsQuery, subject.target.count > path.count {
            let query = UnsafeRawBufferPointer(rebasing: subject.target[(path.count + 1)...])
            text("\",\"query\":\"", query, Self.targetBytesMax, &out)
        }
        out.put("\",\"protocol\":\"")
        putProtocol(request, subject, &out)
        if !subject.host.isEmpty {
            out.put("\",\"host\":\"")
            out.putJSON(subject.host, limit: 256)
        }
        out.put("\",\"status\":")
        out.putDecimal(UInt64(request.status))
        out.put(",\"bytes_in\":")
        out.putDecimal(request.bytesIn)
        out.put(",\"bytes_out\":")
        out.putDecimal(request.bytesOut)
        seconds(",\"duration\":", .init(began: request.started, ended: request.ended), &out)
        seconds(",\"store_read\":", request.storeRead, &out)
        seconds(",\"hydrate\":", request.hydrated, &out)
        seconds(",\"connect\":", request.connected, &out)
        seconds(",\"response\":", request.answered, &out)
        seconds(",\"mirror\":", request.mirrored, &out)
        out.put(",\"instance\":\"")
        out.put(subject.instance)
        out.put("\",\"phase\":\"")
        out.put(request.phase.label)
        out.put("\",\"retries\":")
        out.putDecimal(UInt64(request.retries))
        if request.ownAnswer != .none {
            out.put(",\"own_answer\":\"")
            out.put(request.ownAnswer.word)
            out.put("\"")
        }
        if request.requestID != .none {
            out.put(",\"request_id\":\"")
            // Of characters that need no escape.
            request.requestID.write(to: &out, head: subject.head)
            out.put("\"")
        }
        if let trace = request.trace {
            out.put(",\"trace_id\":\"")
            out.putHex(trace.trace.high)
            out.putHex(trace.trace.low)
            out.put("\"")
        }
        if let session = subject.session {
            out.put(",\"session\":\"")
            out.put(session)
            out.put("\"")
        }
        if !subject.userAgent.isEmpty {
            out.put(",\"user_agent\":\"")
            out.putJSON(subject.userAgent, limit: Self.fieldBytesMax)
            out.put("\"")
        }
        if !subject.referrer.isEmpty {
            text(",\"referer\":\"", redaction.shown(of: subject.referrer), Self.fieldBytesMax, &out)
            out.put("\"")
        }
        putFlags(request.flags, &out)
        out.put("}\n")
    }

    private func putFlags(_ flags: RequestObservation.Flags, _ out: inout RawWriter) {
        guard !flags.isEmpty else { return }
        if flags.contains(.tls) { out.put(",\"tls\":true") }
        if flags.contains(.upgraded) { out.put(",\"upgraded\":true") }
        if flags.contains(.clientGone) { out.put(",\"client_gone\":true") }
        if flags.contains(.truncated) { out.put(",\"truncated\":true") }
        if flags.contains(.failedOver) { out.put(",\"failed_over\":true") }
    }

    private func seconds(_ key: StaticString, _ period: RequestObservation.Period, _ out: inout RawWriter) {
        guard let nanoseconds = period.nanoseconds else { return }
        out.put(key)
        out.putSeconds(nanoseconds: nanoseconds)
    }

    private func text(
        _ key: StaticString, _ text: UnsafeRawBufferPointer, _ limit: Int, _ out: inout RawWriter
    ) {
        out.put(key)
        let shown = UnsafeRawBufferPointer(rebasing: text.prefix(limit))
        redaction.pieces(of: shown) { piece, isSecret in
            if isSecret { out.put("-") } else { out.putJSON(piece, limit: limit) }
        }
        if text.count > limit { out.put("...") }
    }

    private func putProtocol(_ request: RequestObservation, _ subject: AccessLogSubject, _ out: inout RawWriter) {
        if request.flags.contains(.http2) {
            out.put("HTTP/2.0")
        } else {
            out.put(subject.versionMinor == 0 ? "HTTP/1.0" : "HTTP/1.1")
        }
    }

    // MARK: Combined

    /// NCSA's combined format, nothing more, so that what reads such logs reads this one:
    /// `CLIENT - - [TIME] "METHOD TARGET PROTOCOL" STATUS BYTES "REFERER" "USER AGENT"`.
    private func writeCombined(_ request: RequestObservation, _ subject: AccessLogSubject, _ out: inout RawWriter) {
        out.putCombined(subject.client, limit: 64)
        out.put(" - - [")
        out.putLogTime(milliseconds: subject.milliseconds)
        out.put("] \"")
        if subject.method.isEmpty {
            out.put("-")
        } else {
            out.putCombined(subject.method, limit: 64)
            out.put(" ")
            combined(redaction.shown(of: subject.target), Self.targetBytesMax, &out)
            out.put(" ")
            putProtocol(request, subject, &out)
        }
        out.put("\" ")
        out.putDecimal(UInt64(request.status), digits: 3)
        out.put(" ")
        out.putDecimal(request.bytesOut &- min(request.bytesOut, UInt64(request.headBytesOut)))
        out.put(" \"")
        if subject.referrer.isEmpty {
            out.put("-")
        } else {
            combined(redaction.shown(of: subject.referrer), Self.fieldBytesMax, &out)
        }
        out.put("\" \"")
        if subject.userAgent.isEmpty {
            out.put("-")
        } else {
            out.putCombined(subject.userAgent, limit: Self.fieldBytesMax)
        }
        out.put("\"\n")
    }

    private func combined(_ text: UnsafeRawBufferPointer, _ limit: Int, _ out: inout RawWriter) {
        let shown = UnsafeRawBufferPointer(rebasing: text.prefix(limit))
        redaction.pieces(of: shown) { piece, isSecret in
            if isSecret { out.put("-") } else { out.putCombined(piece, limit: limit) }
        }
        if text.count > limit { out.put("...") }
    }
}

extension Phase {
    /// ``name`` without a string of its own.
    var label: StaticString {
        switch self {
        case .sticky: "sticky"
        case .mirroring: "mirroring"
        case .externalized: "externalized"
        case .stateless: "stateless"
        case .completed: "completed"
        }
    }
}
