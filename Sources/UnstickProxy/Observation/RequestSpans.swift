import HTTPWire
import UnstickCore

/// Makes the spans of a recorded request: the server's, and below it what the time went into. Attributes follow
/// OpenTelemetry's semantic conventions for HTTP (stable, 1.23 and later); what they have no word for begins with
/// `unstick.`.
final class RequestSpans {
    let trust: ObservationOptions.Trust
    let sample: SampleShare
    private let sink: any SpanSink
    private let proxyName: String
    private let redaction: LogRedaction
    /// By slot.
    private var endpoints: [(host: String, port: Int)] = [("", 0)]

    init(_ options: ObservationOptions.Tracing, proxyName: String, redaction: LogRedaction) {
        trust = options.trust
        sample = SampleShare(options.sample)
        sink = options.sink
        self.proxyName = proxyName
        self.redaction = redaction
    }

    func setEndpoint(host: String, port: Int, slot: UInt16) {
        while endpoints.count <= Int(slot) { endpoints.append(("", 0)) }
        endpoints[Int(slot)] = (host, port)
    }

    /// - Parameters:
    ///   - state: the caller's `tracestate`; empty when there is none.
    ///   - time: from the monotonic clock's nanoseconds to those since 1970.
    func record(
        _ request: RequestObservation, _ method: RequestMethod, _ subject: AccessLogSubject,
        state: String, random: inout ObservationRandom, time: (UInt64) -> UInt64
    ) {
        guard let trace = request.trace else { return }
        var spans = [server(request, trace, method, subject, time)]
        func child(_ name: String, _ period: RequestObservation.Period) {
            guard period.nanoseconds != nil else { return }
            spans.append(
                Span(
                    trace: trace.trace, id: random.nextSpanID(), parent: trace.server, name: name, kind: .internal,
                    startNanoseconds: time(period.began), endNanoseconds: time(period.ended)))
        }
        child("unstick.store.read", request.storeRead)
        child("unstick.hydrate", request.hydrated)
        if request.answered.began != 0 || request.connected.began != 0 {
            spans.append(upstream(request, trace, method, subject, time))
        }
        child("unstick.mirror", request.mirrored)
        if !state.isEmpty {
            for index in spans.indices { spans[index].traceState = state }
        }
        sink.record(spans)
    }

    private func server(
        _ request: RequestObservation, _ trace: TraceContext, _ method: RequestMethod, _ subject: AccessLogSubject,
        _ time: (UInt64) -> UInt64
    ) -> Span {
        var span = Span(
            trace: trace.trace, id: trace.server, parent: trace.parent, name: Self.name(method), kind: .server,
            startNanoseconds: time(request.started), endNanoseconds: time(request.ended))
        setMethod(method, subject, &span)
        span.attributes += [
            .init("url.scheme", .text(request.flags.contains(.tls) ? "https" : "http")),
            .init("url.path", .text(redacted(redaction.path(of: subject.target)))),
            .init("network.protocol.name", .text("http")),
            .init(
                "network.protocol.version",
                .text(request.flags.contains(.http2) ? "2" : subject.versionMinor == 0 ? "1.0" : "1.1")),
            .init("client.address", .text(Self.text(subject.client, 64))),
            .init("unstick.proxy", .text(proxyName)),
            .init("unstick.instance", .text(subject.instance)),
            .init("unstick.phase", .text(request.phase.name)),
        ]
        let path = redaction.path(of: subject.target)
        if redaction.showsQuery, subject.target.count > path.count + 1 {
            let query = UnsafeRawBufferPointer(rebasing: subject.target[(path.count + 1)...])
            span.attributes.append(.init("url.query", .text(redacted(query))))
        }
        setAuthority(subject.host, &span)
        if !subject.userAgent.isEmpty {
            span.attributes.append(.init("user_agent.original", .text(Self.text(subject.userAgent, 1024))))
        }
        if let id = request.requestID.text(head: subject.head) {
            span.attributes.append(.init("unstick.request_id", .text(id)))
        }
        if let session = subject.session { span.attributes.append(.init("unstick.session", .text(session))) }
        if request.ownAnswer != .none {
            span.attributes.append(.init("unstick.own_answer", .text("\(request.ownAnswer.word)")))
        }
        // A client's mistake is no failure of the server's (conventions, "Status").
        setOutcome(request, failsFrom: 500, &span)
        return span
    }

    private func upstream(
        _ request: RequestObservation, _ trace: TraceContext, _ method: RequestMethod, _ subject: AccessLogSubject,
        _ time: (UInt64) -> UInt64
    ) -> Span {
        let began = request.connected.began != 0 ? request.connected.began : request.answered.began
        var ended = request.answered.ended
        // No answer: what was waited for ended with the request, or the answer before it.
        if ended < began { ended = request.ended }
        var span = Span(
            trace: trace.trace, id: trace.upstream, parent: trace.server, name: Self.name(method), kind: .client,
            startNanoseconds: time(began), endNanoseconds: time(ended))
        setMethod(method, subject, &span)
        let slot = Int(request.instance)
        if slot > 0, slot < endpoints.count, endpoints[slot].port != 0 {
            let (host, port) = endpoints[slot]
            let authority = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
            span.attributes += [
                .init("server.address", .text(host)),
                .init("server.port", .integer(Int64(port))),
                .init(
                    "url.full", .text("http://\(authority)\(redacted(redaction.shown(of: subject.target)))")),
            ]
        }
        if request.retries > 0 {
            span.attributes.append(.init("http.request.resend_count", .integer(Int64(request.retries))))
        }
        if request.ownAnswer == .none {
            setOutcome(request, failsFrom: 400, &span)
        } else {
            span.attributes.append(.init("error.type", .text("\(request.ownAnswer.word)")))
            span.status = .error("")
        }
        return span
    }

    // MARK: Attributes

    /// Without a route a name has nothing but the method, so that there are few of them.
    private static func name(_ method: RequestMethod) -> String {
        method == .other ? "HTTP" : "\(RequestMethod.labels[Int(method.rawValue)])"
    }

    private func setMethod(_ method: RequestMethod, _ subject: AccessLogSubject, _ span: inout Span) {
        if method == .other {
            span.attributes += [
                .init("http.request.method", .text("_OTHER")),
                .init("http.request.method_original", .text(Self.text(subject.method, 64))),
            ]
        } else {
            span.attributes.append(
                .init("http.request.method", .text("\(RequestMethod.labels[Int(method.rawValue)])")))
        }
    }

    private func setAuthority(_ host: UnsafeRawBufferPointer, _ span: inout Span) {
        guard !host.isEmpty else { return }
        let text = Self.text(host, 256)
        // Behind the last colon, unless that stands within an IPv6 address's brackets.
        if let colon = text.lastIndex(of: ":"), text.lastIndex(of: "]").map({ $0 < colon }) ?? true,
            let port = Int64(text[text.index(after: colon)...])
        {
            span.attributes += [
                .init("server.address", .text(String(text[..<colon]))), .init("server.port", .integer(port)),
            ]
        } else {
            span.attributes.append(.init("server.address", .text(text)))
        }
    }

    private func setOutcome(_ request: RequestObservation, failsFrom: UInt16, _ span: inout Span) {
        guard request.status != 0 else {
            span.attributes.append(.init("error.type", .text("no_response")))
            span.status = .error("")
            return
        }
        span.attributes.append(.init("http.response.status_code", .integer(Int64(request.status))))
        if request.status >= failsFrom {
            span.attributes.append(.init("error.type", .text("\(request.status)")))
            span.status = .error("")
        }
    }

    private func redacted(_ text: UnsafeRawBufferPointer) -> String {
        var result = ""
        let shown = UnsafeRawBufferPointer(rebasing: text.prefix(AccessLogFormat.targetBytesMax))
        redaction.pieces(of: shown) { piece, isSecret in
            result += isSecret ? "REDACTED" : Self.text(piece, piece.count)
        }
        return result
    }

    private static func text(_ bytes: UnsafeRawBufferPointer, _ limit: Int) -> String {
        String(decoding: bytes.prefix(limit), as: UTF8.self)
    }
}
