import BridgeContract
import HTTPWire
import NIOCore
import UnstickCore
import UnstickCrypto

/// What one event loop notices: counters always, access log, request ids and traces when configured. Bound to its loop.
///
/// A request calls ``began(_:head:bytes:isTrusted:)`` when its head is complete and
/// ``finished(_:head:bytes:client:sessionID:)`` once at its end; what is not configured costs one branch in each.
final class LoopObserver {
    var metrics = LoopMetrics()

    private let accessLog: LoopAccessLog?
    private let identifier: Identifier?
    private let tracing: RequestSpans?
    /// Neither access log nor traces: nobody wants the head at the end.
    private let isQuiet: Bool
    /// Neither request ids nor traces: nothing to decide at the beginning.
    private let isAnonymous: Bool
    private var random: ObservationRandom
    /// The same moment on both clocks; renewed by ``tick(now:)``, because the wall clock may be set.
    private var moment: (uptime: UInt64, milliseconds: Int64)
    private let clock: WallClock
    /// What logs show of a session id.
    private let sessionHash: (String) -> String

    private struct Identifier {
        let name: FieldName
        /// `NAME: `
        let prefix: [UInt8]
        let trust: ObservationOptions.Trust
        let onResponse: Bool

        init?(_ options: ObservationOptions.RequestIdentifier) {
            guard let name = FieldName(options.header) else { return nil }
            self.name = name
            prefix = Array("\(options.header): ".utf8)
            trust = options.trust
            onResponse = options.onResponse
        }
    }

    /// - Parameters:
    ///   - secretParameters: names of URL parameters whose values are never logged.
    ///   - proxyName: for spans.
    ///   - sessionHash: keyed, see `BridgeSecret.sessionHash`.
    init(
        options: ObservationOptions, secretParameters: [String], proxyName: String,
        now: NIODeadline, clock: @escaping WallClock, random: ObservationRandom,
        sessionHash: @escaping (String) -> String
    ) {
        accessLog = options.accessLog.map { LoopAccessLog($0, secretParameters: secretParameters) }
        identifier = options.requestID.flatMap { Identifier($0) }
        let redaction = LogRedaction(
            parameters: secretParameters, showsQuery: options.accessLog?.showsQuery ?? false)
        tracing = options.tracing.map { RequestSpans($0, proxyName: proxyName, redaction: redaction) }
        isQuiet = accessLog == nil && tracing == nil
        isAnonymous = identifier == nil && tracing == nil
        self.random = random
        self.clock = clock
        self.sessionHash = sessionHash
        moment = (now.uptimeNanoseconds, clock().rawValue)
    }

    // MARK: Instances

    /// The instance's slot, for ``RequestObservation/instance``. Called when a table is applied.
    func slot(of name: String, host: String, port: Int) -> UInt16 {
        let slot = metrics.slot(of: name)
        tracing?.setEndpoint(host: host, port: port, slot: slot)
        return slot
    }

    // MARK: Beginning

    /// Counts the request and settles its id and trace.
    /// - Parameter isTrusted: the peer is one of `trusted-proxies`.
    @inline(__always)
    func began(
        _ request: inout RequestObservation, head: borrowing RequestHead, bytes: UnsafeRawBufferPointer, isTrusted: Bool
    ) {
        metrics.requestsBegun &+= 1
        if isAnonymous { return }
        identify(&request, head, bytes, isTrusted: isTrusted)
    }

    private func identify(
        _ request: inout RequestObservation, _ head: borrowing RequestHead, _ bytes: UnsafeRawBufferPointer,
        isTrusted: Bool
    ) {
        if let identifier {
            request.requestID = .made(random.next(), random.next())
            if Self.trusts(identifier.trust, isTrusted),
                let field = head.headers.first(named: identifier.name, in: bytes),
                RequestID.isAcceptable(field.value.bytes(in: bytes))
            {
                request.requestID = .passed(field.value)
            }
        }
        if let tracing {
            var parent: TraceContext.Parent?
            if Self.trusts(tracing.trust, isTrusted),
                let field = head.headers.first(named: "traceparent", in: bytes)
            {
                // Two of them mean nothing (section 3.2.1 allows one).
                let isSingle = head.headers.count { Self.isTraceParent($0, in: bytes) } == 1
                parent = isSingle ? TraceContext.Parent(field.value.bytes(in: bytes)) : nil
            }
            // What decides must not be part of the initializer's exclusive access.
            let isChosen = parent == nil && tracing.sample.includes(&random)
            var context = TraceContext(parent: parent, sampled: isChosen, random: &random)
            if context.keepsState {
                context.keepsState = head.headers.allSatisfy {
                    !Self.isTraceState($0, in: bytes) || TraceContext.isValidState($0.value.bytes(in: bytes))
                }
            }
            request.trace = context
        }
    }

    private static func trusts(_ trust: ObservationOptions.Trust, _ isTrusted: Bool) -> Bool {
        switch trust {
        case .everybody: true
        case .trustedPeers: isTrusted
        case .nobody: false
        }
    }

    private static func isTraceParent(_ field: HeaderSlice, in bytes: UnsafeRawBufferPointer) -> Bool {
        field.name.count == 11 && matches(field.name.bytes(in: bytes), "traceparent")
    }

    private static func isTraceState(_ field: HeaderSlice, in bytes: UnsafeRawBufferPointer) -> Bool {
        field.name.count == 10 && matches(field.name.bytes(in: bytes), "tracestate")
    }

    private static func matches(_ bytes: UnsafeRawBufferPointer, _ name: StaticString) -> Bool {
        bytes.count == name.utf8CodeUnitCount
            && bytes.indices.allSatisfy { index in
                let byte = bytes[index]
                return (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte) == name.utf8Start[index]
            }
    }

    // MARK: Headers

    /// Whether ``finished(_:head:isUnderstood:bytes:client:sessionID:)`` does more than count.
    var wantsHeads: Bool { !isQuiet }

    /// Whether the rewriter must look at fields at all: one branch per request.
    var rewritesFields: Bool { !isAnonymous }

    /// Whether a field of the request must not go to the instance, because ``writeRequestLines(_:head:to:)`` writes it
    /// anew or it belongs to a trace that is not gone on with.
    func drops(_ field: HeaderSlice, of request: RequestObservation, in bytes: UnsafeRawBufferPointer) -> Bool {
        if let identifier, matchesName(identifier.name, field, bytes) { return true }
        guard let trace = request.trace else { return false }
        if Self.isTraceParent(field, in: bytes) { return true }
        return !trace.keepsState && Self.isTraceState(field, in: bytes)
    }

    private func matchesName(_ name: FieldName, _ field: HeaderSlice, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let identifier, field.name.count == identifier.prefix.count - 2 else { return false }
        for index in 0..<field.name.count {
            let (given, own) = (bytes[field.name.start + index], identifier.prefix[index])
            let isLetter = (given | 0x20) >= 0x61 && (given | 0x20) <= 0x7a
            guard given == own || (isLetter && given | 0x20 == own | 0x20) else { return false }
        }
        return true
    }

    /// Appends `X-Request-ID: …` and `traceparent: …` for the instance, each with its CRLF.
    func writeRequestLines(_ request: RequestObservation, head: UnsafeRawBufferPointer, to out: inout ByteBuffer) {
        if identifier != nil { writeIdentifier(request, head, &out) }
        if let trace = request.trace {
            out.writeWithUnsafeMutableBytes(minimumWritableBytes: TraceContext.lineBytes) {
                trace.writeLine(to: $0.baseAddress!)
                return TraceContext.lineBytes
            }
        }
    }

    /// Appends `X-Request-ID: …` for the client, when configured.
    func writeResponseLines(_ request: RequestObservation, head: UnsafeRawBufferPointer, to out: inout ByteBuffer) {
        if let identifier, identifier.onResponse { writeIdentifier(request, head, &out) }
    }

    private func writeIdentifier(
        _ request: RequestObservation, _ head: UnsafeRawBufferPointer, _ out: inout ByteBuffer
    ) {
        guard let identifier, request.requestID != .none else { return }
        let room = identifier.prefix.count + RequestID.bytesMax + 2
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
            var writer = RawWriter(target.baseAddress!, capacity: room)
            writer.put(identifier.prefix)
            request.requestID.write(to: &writer, head: head)
            writer.put("\r\n")
            return writer.count
        }
    }

    // MARK: End

    /// Counts the request and tells log and traces of it. The only call at a request's end.
    /// - Parameters:
    ///   - head: as parsed from `bytes`.
    ///   - isUnderstood: false when it could not be parsed; nothing of it is told then.
    ///   - client: the client's address as text.
    @inline(__always)
    func finished(
        _ request: borrowing RequestObservation, head: borrowing RequestHead, isUnderstood: Bool = true,
        bytes: UnsafeRawBufferPointer, client: [UInt8], sessionID: @autoclosure () -> String?
    ) {
        metrics.record(request, method: isUnderstood ? head.method : .other)
        if isQuiet { return }
        tell(request, head, isUnderstood, bytes, client, sessionID())
    }

    private func tell(
        _ request: RequestObservation, _ head: borrowing RequestHead, _ isUnderstood: Bool,
        _ bytes: UnsafeRawBufferPointer, _ client: [UInt8], _ sessionID: String?
    ) {
        let isLogged = accessLog?.wants(request, &random) ?? false
        let isTraced = request.trace?.isSampled ?? false
        guard isLogged || isTraced else { return }
        let instance = metrics.name(ofSlot: request.instance)
        let milliseconds = Int64(wallNanoseconds(request.started) / 1_000_000)
        client.withUnsafeBytes { address in
            guard isUnderstood else {
                if isLogged {
                    accessLog?.append(
                        request, AccessLogSubject(client: address, instance: instance, milliseconds: milliseconds))
                }
                return
            }
            let subject = AccessLogSubject(
                head, head: bytes, client: address, instance: instance, session: sessionID.map(sessionHash),
                milliseconds: milliseconds)
            if isLogged { accessLog?.append(request, subject) }
            if isTraced, let tracing {
                let state = request.trace?.keepsState == true ? Self.traceState(head, bytes) : ""
                tracing.record(request, head.method, subject, state: state, random: &random) { wallNanoseconds($0) }
            }
        }
        if let accessLog { metrics.accessLogDropped = accessLog.dropped }
    }

    /// The members of all `tracestate` fields in their order (W3C Trace Context section 3.3.1.1).
    private static func traceState(_ head: borrowing RequestHead, _ bytes: UnsafeRawBufferPointer) -> String {
        head.headers.filter { isTraceState($0, in: bytes) }.map { $0.value.text(in: bytes) }.joined(separator: ",")
    }

    /// Nanoseconds since 1970 of a moment of the monotonic clock.
    private func wallNanoseconds(_ uptime: UInt64) -> UInt64 {
        let base = Int64(clamping: moment.milliseconds) &* 1_000_000
        return UInt64(max(0, base &+ Int64(truncatingIfNeeded: uptime &- moment.uptime)))
    }

    /// Hands over what has gathered; twice a second.
    func tick(now: NIODeadline) {
        guard !isQuiet else { return }
        moment = (now.uptimeNanoseconds, clock().rawValue)
        accessLog?.handOver()
        if let accessLog { metrics.accessLogDropped = accessLog.dropped }
    }
}

extension LoopObserver {
    /// For one event loop of a proxy.
    convenience init(_ options: ProxyOptions, clock: @escaping WallClock) {
        let seed = SecureRandom.bytes(16)
        func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        let secret = options.secret
        self.init(
            options: options.observation, secretParameters: [options.session.urlParameter].compactMap(\.self),
            proxyName: options.name, now: .now(), clock: clock,
            random: ObservationRandom(seed: word(seed[..<8]), word(seed[8...])),
            sessionHash: { secret.sessionHash($0) })
    }
}
