import HTTPWire
import NIOCore
import Synchronization

/// Answers for a request whether the configured rates allow it. One for all event loops, so that a client gets its rate
/// and no multiple of it, however its connections are spread.
///
/// Rules are asked in their order and the first refusal counts; what rules before it have charged stays charged.
final class RateLimiter: Sendable {
    /// The answer is 429 with `Retry-After` (RFC 6585 section 4).
    struct Refusal: Equatable {
        /// Position of the rule in the configuration.
        var rule: Int
        var retryAfterSeconds: Int
    }

    private let rules: [Rule]

    /// - Parameters:
    ///   - clients: that each rule `per: client` remembers.
    ///   - seed: from a random source; keeps clients from choosing their place in the table.
    init(_ limits: [ProxyOptions.RateLimit], clients: Int, seed: UInt64) {
        rules = limits.map { Rule($0, clients: clients, seed: seed) }
    }

    var isEmpty: Bool { rules.isEmpty }

    /// Charges the request to every rule that is for it, up to the first that refuses.
    /// - Parameters:
    ///   - methodName: for methods that `method` does not know.
    ///   - target: path and query.
    ///   - client: nil for a peer without an address (a Unix socket): only rules `per: route` are for it.
    func check(
        method: RequestMethod, methodName: UnsafeRawBufferPointer, target: UnsafeRawBufferPointer, client: ClientKey?,
        now: NIODeadline
    ) -> Refusal? {
        for index in rules.indices where rules[index].matches(method, methodName, target) {
            if let seconds = rules[index].charge(client, now: now) {
                return Refusal(rule: index, retryAfterSeconds: seconds)
            }
        }
        return nil
    }

    /// Requests refused since the start, by rule.
    func refusals() -> [(name: String, count: UInt64)] {
        rules.map { ($0.name, $0.refused.load(ordering: .relaxed)) }
    }
}

private final class Rule: Sendable {
    private enum State {
        case route
        case client(ClientRateTable)
    }

    let name: String
    let refused = Atomic<UInt64>(0)
    private let prefix: PathPrefix
    /// Bit per known method; 0 with no names: all.
    private let methods: UInt16
    private let otherMethods: [[UInt8]]
    private let rate: CellRate
    private let state: State
    /// Of `per: route`.
    private let arrival = Atomic<UInt64>(0)

    init(_ limit: ProxyOptions.RateLimit, clients: Int, seed: UInt64) {
        name = limit.name
        prefix = PathPrefix(limit.pathPrefix)
        var bits: UInt16 = 0
        var others: [[UInt8]] = []
        for name in limit.methods {
            if let method = RequestMethod(name: name) {
                bits |= 1 << UInt16(method.rawValue)
            } else {
                others.append(Array(name.utf8))
            }
        }
        methods = bits
        otherMethods = others
        rate = CellRate(count: limit.count, period: limit.period, burst: limit.burst)
        state =
            switch limit.scope {
            case .route: .route
            case .client: .client(ClientRateTable(rate: rate, clients: clients, seed: seed))
            }
    }

    func matches(
        _ method: RequestMethod, _ methodName: UnsafeRawBufferPointer, _ target: UnsafeRawBufferPointer
    ) -> Bool {
        guard methods != 0 || !otherMethods.isEmpty else { return prefix.covers(target) }
        if method != .other {
            return methods & 1 << UInt16(method.rawValue) != 0 && prefix.covers(target)
        }
        return otherMethods.contains { $0.elementsEqual(methodName) } && prefix.covers(target)
    }

    /// Seconds to wait; nil when admitted.
    func charge(_ client: ClientKey?, now: NIODeadline) -> Int? {
        let wait: UInt64?
        switch state {
        case .client(let table):
            guard let client else { return nil }
            wait = table.charge(client, now: now)
        case .route:
            wait = chargeRoute(now: now)
        }
        guard let wait else { return nil }
        refused.add(1, ordering: .relaxed)
        return rate.seconds(wait)
    }

    private func chargeRoute(now: NIODeadline) -> UInt64? {
        let ticks = rate.ticks(at: now)
        var expected = arrival.load(ordering: .relaxed)
        while true {
            // 0 is "never charged": a time that reads 0 by chance costs one request's worth of precision.
            switch rate.verdict(arrival: expected == 0 ? ticks : expected, now: ticks) {
            case .refused(let wait):
                return wait
            case .admitted(let new):
                let result = arrival.compareExchange(expected: expected, desired: new, ordering: .relaxed)
                if result.exchanged { return nil }
                expected = result.original
            }
        }
    }
}

extension RequestMethod {
    /// Case counts (RFC 9110 section 9.1). Nil for methods that have no case of their own.
    init?(name: String) {
        switch name {
        case "GET": self = .get
        case "HEAD": self = .head
        case "POST": self = .post
        case "PUT": self = .put
        case "DELETE": self = .delete
        case "CONNECT": self = .connect
        case "OPTIONS": self = .options
        case "TRACE": self = .trace
        case "PATCH": self = .patch
        default: return nil
        }
    }
}
