import NIOCore

/// One instance's record of how it answers compared with its peers, after Envoy's outlier detection: ejected for a row
/// of bad answers at once, or for a success rate far below the mean at the next comparison. An ejection lasts longer
/// each time; each interval without one shortens the next. Pure.
struct OutlierEjection {
    enum Cause: UInt8, CaseIterable {
        case consecutiveErrors, consecutiveGatewayErrors, successRate
    }

    private let options: ProxyOptions.Ejection
    private(set) var errorsInRow = 0
    private(set) var gatewayErrorsInRow = 0
    /// Since the last comparison.
    private(set) var requests = 0
    private(set) var successes = 0
    /// Nil: not ejected.
    private(set) var ejectedUntil: NIODeadline?
    private(set) var cause: Cause?
    private(set) var ejections: UInt64 = 0
    private var multiplier = 0

    init(options: ProxyOptions.Ejection) { self.options = options }

    var isEjected: Bool { ejectedUntil != nil }

    /// Takes an answer in; returns why the instance should be ejected now, if it should. Whether it is, the fleet
    /// decides (``FleetCondition/allowsEjection``).
    mutating func record(_ outcome: InstanceOutcome) -> Cause? {
        requests += 1
        if !outcome.isServerError { successes += 1 }
        errorsInRow = outcome.isServerError ? errorsInRow + 1 : 0
        gatewayErrorsInRow = outcome.isGatewayError ? gatewayErrorsInRow + 1 : 0
        guard !isEjected else { return nil }
        if let limit = options.consecutiveGatewayErrors, gatewayErrorsInRow >= limit {
            return .consecutiveGatewayErrors
        }
        if let limit = options.consecutiveErrors, errorsInRow >= limit { return .consecutiveErrors }
        return nil
    }

    mutating func eject(because cause: Cause, now: NIODeadline) {
        multiplier += 1
        ejections &+= 1
        let base = max(1, TimeAmount(options.time).nanoseconds)
        let longest = max(base, TimeAmount(options.timeMax).nanoseconds)
        let (grown, overflow) = base.multipliedReportingOverflow(by: Int64(multiplier))
        ejectedUntil = now + .nanoseconds(overflow ? longest : min(longest, grown))
        self.cause = cause
    }

    /// Ends an ejection whose time is over; returns whether it did.
    mutating func tick(now: NIODeadline) -> Bool {
        guard let until = ejectedUntil, now >= until else { return false }
        ejectedUntil = nil
        cause = nil
        errorsInRow = 0
        gatewayErrorsInRow = 0
        return true
    }

    /// The interval's figures, and a fresh start for the next interval.
    mutating func takeSample() -> Sample {
        defer {
            requests = 0
            successes = 0
        }
        if !isEjected { multiplier = max(0, multiplier - 1) }
        return Sample(requests: requests, successes: successes, isEjected: isEjected)
    }

    /// What one instance brings to a comparison.
    struct Sample {
        var requests: Int
        var successes: Int
        var isEjected: Bool
    }

    /// Positions of the instances whose success rate is below `mean − k · σ` of those with enough requests (σ of the
    /// population, as in Envoy), the worst first. Empty while fewer instances than configured have enough requests.
    static func outliers(among samples: [Sample], options: ProxyOptions.Ejection) -> [Int] {
        guard let tenths = options.deviationTenths else { return [] }
        let rated = samples.indices.filter { samples[$0].requests >= max(1, options.samples) && !samples[$0].isEjected }
        guard rated.count >= max(2, options.instances) else { return [] }
        func rate(_ index: Int) -> Double { Double(samples[index].successes) / Double(samples[index].requests) }
        let mean = rated.reduce(0) { $0 + rate($1) } / Double(rated.count)
        let variance = rated.reduce(0) { $0 + (rate($1) - mean) * (rate($1) - mean) } / Double(rated.count)
        let threshold = mean - variance.squareRoot() * Double(tenths) / 10
        return rated.filter { rate($0) < threshold }.sorted { rate($0) < rate($1) }
    }
}
