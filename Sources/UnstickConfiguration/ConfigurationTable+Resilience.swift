internal import Yams

extension ConfigurationTable where Root == ConfigurationDraft {
    private typealias Key = ConfigurationKey<ConfigurationDraft>

    static func resilienceKeys(_ document: YAMLDocument?) -> [ConfigurationKey<ConfigurationDraft>] {
        retryKeys + breakerKeys + ejectionKeys + clientKeys + [
            Key(
                "rate-limits", .rateLimits(of: document), \.configuration.resilience.rateLimits,
                "Rates of requests, asked in this order; what is above them is answered 429 with `Retry-After`."),
            Key(
                "limits.rate-limit-clients", .count(1024...1 << 24), \.configuration.resilience.rateLimitClients,
                "Clients that each rule `per: client` remembers, 8 bytes each; with more at once, those that owe least "
                    + "are forgotten."),
        ]
    }

    private static var retryKeys: [Key] {
        [
            Key(
                "retries.count", .count(0...10), \.configuration.resilience.retries.count,
                "Tries of a request after the first, where it is safe."),
            Key(
                "retries.budget", .percent(0...100), \.configuration.resilience.retries.budgetPercent,
                "Retries per hundred requests of the last ten seconds."),
            Key(
                "retries.minimum", .count(0...10_000), \.configuration.resilience.retries.minimum,
                "Retries per second that are allowed beside the budget."),
            Key(
                "retries.unsent", .word(Configuration.Retries.Unsent.allCases),
                \.configuration.resilience.retries.unsent,
                "Which requests may be tried again that no instance has seen: `any`, or those that are `idempotent` or "
                    + "have an `Idempotency-Key`. Others that may have been seen are never tried again."),
            Key(
                "retries.delay", .duration(.zero...(.seconds(10))), \.configuration.resilience.retries.delay,
                "Before a retry at the same instance; doubles with each one. Another instance is tried at once."),
            Key(
                "retries.delay-max", .duration(.zero...(.seconds(60))), \.configuration.resilience.retries.delayMax,
                "What the delay grows to; not below `retries.delay`."),
        ]
    }

    private static var breakerKeys: [Key] {
        let open: ClosedRange<Duration> = .milliseconds(10)...(.seconds(3600))
        return [
            Key(
                "breaker.consecutive-failures", .optional(.count(1...1000), word: "none"),
                \.configuration.resilience.breaker.consecutiveFailures,
                "Failed connections to an instance in a row after which it gets no new work."),
            Key(
                "breaker.failure-ratio", .optional(.percent(1...100), word: "none"),
                \.configuration.resilience.breaker.failurePercent,
                "Share of its requests without an answer within `breaker.window` that has the same effect."),
            Key(
                "breaker.samples", .count(1...1_000_000), \.configuration.resilience.breaker.samples,
                "Requests within `breaker.window` below which no share counts."),
            Key(
                "breaker.window", .duration(.seconds(1)...(.seconds(3600))), \.configuration.resilience.breaker.window,
                "What `breaker.failure-ratio` looks back on."),
            Key(
                "breaker.open-time", .duration(open), \.configuration.resilience.breaker.openTime,
                "Until the first probe; doubles with each opening that follows."),
            Key(
                "breaker.open-time-max", .duration(open), \.configuration.resilience.breaker.openTimeMax,
                "What the open time grows to; not below `breaker.open-time`."),
            Key(
                "breaker.probes", .count(1...100), \.configuration.resilience.breaker.probes,
                "Probes at once, and good ones in a row that close the circuit."),
        ]
    }

    private static var ejectionKeys: [Key] {
        let time: ClosedRange<Duration> = .seconds(1)...(.seconds(86400))
        return [
            Key(
                "ejection.consecutive-errors", .optional(.count(1...1000), word: "none"),
                \.configuration.resilience.ejection.consecutiveErrors,
                "Statuses 500 to 599 of an instance in a row after which it gets no new work."),
            Key(
                "ejection.consecutive-gateway-errors", .optional(.count(1...1000), word: "none"),
                \.configuration.resilience.ejection.consecutiveGatewayErrors,
                "Statuses 502 to 504 in a row that have the same effect."),
            Key(
                "ejection.deviation", .optional(.tenths(1...100), word: "none"),
                \.configuration.resilience.ejection.deviationTenths,
                "Standard deviations below the instances' mean success rate that have the same effect."),
            Key(
                "ejection.samples", .count(1...1_000_000), \.configuration.resilience.ejection.samples,
                "Requests within `ejection.interval`, on one event loop, below which an instance is not compared."),
            Key(
                "ejection.instances", .count(2...1000), \.configuration.resilience.ejection.instances,
                "Instances with so many requests below which none is compared."),
            Key(
                "ejection.interval", .duration(.seconds(1)...(.seconds(3600))),
                \.configuration.resilience.ejection.interval, "Between two comparisons of success rates."),
            Key(
                "ejection.time", .duration(time), \.configuration.resilience.ejection.time,
                "Of the first ejection; the second lasts twice as long, the third three times."),
            Key(
                "ejection.time-max", .duration(time), \.configuration.resilience.ejection.timeMax,
                "What the time grows to; not below `ejection.time`."),
            Key(
                "ejection.max", .percent(0...100), \.configuration.resilience.ejection.percentMax,
                "Instances ejected at once; the last that is fit for new work never is."),
        ]
    }

    private static var clientKeys: [Key] {
        [
            Key(
                "limits.connections-per-client", .optional(.count(1...1_000_000), word: "none"),
                \.configuration.resilience.clients.connections,
                "Most connections of one client address (IPv6: of one /64) to a proxy; not above `limits.connections`."),
            Key(
                "limits.body-rate", .byteRate(0...1 << 30), \.configuration.resilience.clients.bodyRate,
                "Least rate of a request's body, while the proxy reads; below it 408. `0`: none."),
            Key(
                "limits.body-rate-grace", .duration(.zero...(.seconds(3600))),
                \.configuration.resilience.clients.bodyRateGrace, "From the head's end until the rate counts."),
            Key(
                "limits.body-rate-window", .duration(.seconds(1)...(.seconds(3600))),
                \.configuration.resilience.clients.bodyRateWindow, "What the rate is measured over."),
        ]
    }
}

/// An element of `rate-limits`.
struct RateLimitDraft {
    var name: String?
    var pathPrefix: String?
    var methods: [String] = []
    var scope = Configuration.RateLimit.Scope.client
    var rate: Configuration.Rate?
    var burst: Int?
}

extension ConfigurationTable where Root == RateLimitDraft {
    /// The keys of one element of `rate-limits`.
    static var rateLimit: ConfigurationTable {
        ConfigurationTable(keys: [
            ConfigurationKey(
                "name", .present(.name), \.name, default: "required", "The rule's name in metrics and logs; distinct."),
            ConfigurationKey(
                "match.path-prefix", .optional(.pathPrefix), \.pathPrefix,
                "Whole segments that the path begins with; `null`: all paths."),
            ConfigurationKey(
                "match.methods", .list(.method, of: "methods", most: 16), \.methods, "Request methods; empty: all."),
            ConfigurationKey(
                "per", .word(Configuration.RateLimit.Scope.allCases), \.scope,
                "Whether each client address (IPv6: each /64) has the rate, or all share it."),
            ConfigurationKey("rate", .present(.rate(1...1_000_000)), \.rate, default: "required", "The lasting rate."),
            ConfigurationKey(
                "burst", .present(.count(1...1_000_000)), \.burst, default: "the rate's number",
                "Requests at once after a rest."),
        ])
    }
}

extension ValueKind {
    /// Another kind, for a place that is empty while nothing is given.
    fileprivate static func present<Wrapped>(_ kind: ValueKind<Wrapped>) -> ValueKind where Value == Wrapped? {
        ValueKind(
            expected: kind.expected,
            read: { node, keyPath, log in kind.read(node, keyPath, &log).map { .some($0) } },
            format: { _ in "none" })
    }
}

extension ValueKind where Value == [Configuration.RateLimit] {
    static let rateLimitsMax = 64

    static func rateLimits(of document: YAMLDocument?) -> ValueKind {
        let element = "{ name: NAME, per: client, rate: 100/s }"
        let expected = "a list of \(element), at most \(rateLimitsMax)"
        return ValueKind(
            expected: expected,
            read: { node, keyPath, log in
                guard case .sequence(let sequence) = node, let document else {
                    log.report(keyPath, at: node.place, "is \(node.shape); expected \(expected)")
                    return nil
                }
                guard sequence.count <= rateLimitsMax else {
                    log.report(keyPath, at: node.place, "has \(sequence.count) entries; expected \(expected)")
                    return nil
                }
                var names: [String: Int] = [:]
                var limits: [Configuration.RateLimit] = []
                for (index, node) in sequence.enumerated() {
                    let path = "\(keyPath)[\(index)]"
                    log.note(path, at: node.place)
                    guard case .mapping(let mapping) = node else {
                        log.report(path, at: node.place, "is \(node.shape); expected \(element)")
                        continue
                    }
                    var draft = RateLimitDraft()
                    ConfigurationTable.rateLimit.read(mapping, of: document, prefix: path, into: &draft, log: &log)
                    for key in ["name", "rate"] where !log.isGiven("\(path).\(key)") {
                        log.report(path, at: node.place, "has no \(key); expected \(element)")
                    }
                    if let name = draft.name {
                        if let first = names[name] {
                            log.report(
                                "\(path).name", value: name, "'\(name)' is already the name of \(keyPath)[\(first)]")
                        }
                        names[name] = names[name] ?? index
                    }
                    guard let name = draft.name, let rate = draft.rate else { continue }
                    limits.append(
                        Configuration.RateLimit(
                            name: name, pathPrefix: draft.pathPrefix, methods: draft.methods, scope: draft.scope,
                            rate: rate, burst: draft.burst ?? rate.count))
                }
                return limits
            },
            format: { _ in "[]" })
    }
}

extension ConfigurationChecks {
    /// Rules across the keys of this area.
    func checkResilience(_ configuration: Configuration, _ log: inout ProblemLog) {
        let resilience = configuration.resilience
        let pairs: [(key: String, value: Duration, maxKey: String, max: Duration)] = [
            ("retries.delay", resilience.retries.delay, "retries.delay-max", resilience.retries.delayMax),
            (
                "breaker.open-time", resilience.breaker.openTime, "breaker.open-time-max",
                resilience.breaker.openTimeMax
            ),
            ("ejection.time", resilience.ejection.time, "ejection.time-max", resilience.ejection.timeMax),
        ]
        for pair in pairs where pair.value > pair.max && !log.isRefused(pair.key) && !log.isRefused(pair.maxKey) {
            let shown = Quantity.duration(pair.value)
            log.report(
                log.isGiven(pair.key) ? pair.key : pair.maxKey, value: shown,
                "\(pair.key), '\(shown)', is above \(pair.maxKey), '\(Quantity.duration(pair.max))'")
        }
        let key = "limits.connections-per-client"
        if let own = resilience.clients.connections, own > configuration.limits.connections, !log.isRefused(key),
            !log.isRefused("limits.connections")
        {
            log.report(
                key, value: "\(own)",
                "\(key), '\(own)', is above limits.connections, '\(configuration.limits.connections)'")
        }
    }
}
