import NIOCore

/// Which wait of a client's connection is over.
enum ExpiredWait: UInt8, CaseIterable {
    case idle, clientHead, clientBody, bodyRate, response, stream, total

    /// What the client is told while no head has been sent to it; nil: the connection is closed without a word.
    var status: Int? {
        switch self {
        case .idle, .stream: nil
        // RFC 9110 sections 15.5.9 and 15.6.5.
        case .clientHead, .clientBody, .bodyRate: 408
        case .response, .total: 504
        }
    }

    /// The value of a metric's label.
    var label: StaticString {
        switch self {
        case .idle: "idle"
        case .clientHead: "client-head"
        case .clientBody: "client-body"
        case .bodyRate: "body-rate"
        case .response: "response"
        case .stream: "stream"
        case .total: "total"
        }
    }
}

/// The waits of one client connection, one request after another. Pure: it compares clock values that it is given.
struct ExchangeTimers {
    enum Stage: Equatable {
        /// Between requests. Becomes `head`.
        case idle
        /// From a request's first byte, or a connection's beginning. Becomes `body` or `response`.
        case head
        /// The request's body is coming in. Becomes `response`, or `stream` when the answer is early.
        case body
        /// The request is forwarded. Becomes `stream`, or `idle` with an answer that has come whole.
        case response
        /// A body or tunnel is flowing. Becomes `idle`.
        case stream
    }

    /// ``ProxyOptions/Timeouts`` and the least rate as `NIODeadline` reckons, made once for a loop.
    struct Limits {
        var idle: TimeAmount
        var head: TimeAmount
        var body: TimeAmount
        var response: TimeAmount
        var stream: TimeAmount
        var total: TimeAmount?
        var clients: ProxyOptions.Clients

        init(timeouts: ProxyOptions.Timeouts, clients: ProxyOptions.Clients) {
            idle = TimeAmount(timeouts.idle)
            head = TimeAmount(timeouts.clientHead)
            body = TimeAmount(timeouts.clientBody)
            response = TimeAmount(timeouts.response)
            stream = TimeAmount(timeouts.stream)
            total = timeouts.total.map { TimeAmount($0) }
            self.clients = clients
        }
    }

    private(set) var stage = Stage.head
    /// The stage's beginning, or its last byte where bytes prolong it.
    private var since: NIODeadline
    private var requestBegan: NIODeadline?
    private var isLongLived = false
    private var floor: RateFloor?
    private var readsBody = true

    /// A new connection: its first request's head is due.
    init(now: NIODeadline) { since = now }

    /// Goes on to another stage; the same stage again begins its wait anew.
    mutating func enter(_ next: Stage, limits: Limits, now: NIODeadline) {
        if next == .head { requestBegan = now }
        if next == .idle {
            requestBegan = nil
            isLongLived = false
        }
        floor = nil
        if next == .body, limits.clients.bodyRate > 0 {
            floor = RateFloor(
                bytesPerSecond: limits.clients.bodyRate, grace: limits.clients.bodyRateGrace,
                window: limits.clients.bodyRateWindow, now: now)
        }
        readsBody = true
        stage = next
        since = now
    }

    /// Bytes have come from the client, or gone either way while streaming.
    mutating func moved(_ bytes: Int, now: NIODeadline) {
        switch stage {
        case .idle, .head, .response: break
        case .body:
            since = now
            floor?.received(bytes)
        case .stream: since = now
        }
    }

    /// Whether the proxy takes bytes of the request's body; false while the instance takes none.
    mutating func setReading(_ reading: Bool, now: NIODeadline) {
        guard stage == .body, reading != readsBody else { return }
        readsBody = reading
        floor?.setReading(reading, now: now)
        since = now
    }

    /// The answer is an upgrade or an event stream: it has no end that a total could wait for.
    mutating func becomeLongLived() { isLongLived = true }

    /// The wait that is over, if one is. Call twice a second or so, or at ``deadline(limits:)``.
    mutating func expired(limits: Limits, now: NIODeadline) -> ExpiredWait? {
        if let total = limits.total, let began = requestBegan, !isLongLived, now - began >= total { return .total }
        let waited = now - since
        switch stage {
        case .idle: return waited >= limits.idle ? .idle : nil
        case .head: return waited >= limits.head ? .clientHead : nil
        case .response: return waited >= limits.response ? .response : nil
        case .stream: return waited >= limits.stream ? .stream : nil
        case .body:
            // While the instance takes nothing, it is the instance that is slow.
            guard readsBody else { return waited >= limits.response ? .response : nil }
            if waited >= limits.body { return .clientBody }
            return floor?.isTooSlow(now: now) == true ? .bodyRate : nil
        }
    }

    /// When a wait is over if nothing happens until then; the least rate is found by the periodic call alone.
    func deadline(limits: Limits) -> NIODeadline {
        let wait =
            switch stage {
            case .idle: limits.idle
            case .head: limits.head
            case .body: readsBody ? limits.body : limits.response
            case .response: limits.response
            case .stream: limits.stream
            }
        guard let total = limits.total, let began = requestBegan, !isLongLived else { return since + wait }
        return min(since + wait, began + total)
    }
}
