import NIOCore
import UnstickCore

/// What a request asks of the instance that it is meant for.
enum HomeClaim {
    /// Nothing binds it to this instance: new work.
    case none
    /// The instance is its session's home, but the store has the authority: another may serve it.
    case movable
    /// The instance's memory alone has the session (`sticky`, `mirroring`). No other can serve the request rightly, so
    /// no verdict on the instance keeps the request away from it: at worst the client gets the instance's own error.
    case exclusive

    /// - Parameter mayFailOver: of the route that leads to this home.
    init(isHome: Bool, mayFailOver: Bool) {
        self = !isHome ? .none : mayFailOver ? .movable : .exclusive
    }
}

/// What one event loop thinks of one instance: active checks, circuit breaker and ejection together.
///
/// There is no plain "healthy": whether an instance may take a request depends on the request's ``HomeClaim``. Verdicts
/// concern work that has a choice; a session whose home has no substitute always goes home.
///
/// Every event returns whether ``mayTakeNewWork`` or the ejection changed: then the loop makes its ``FleetCondition`` anew.
struct InstanceCondition {
    /// Goes back by ``end(_:outcome:fleet:now:random:)`` or ``abandon(_:)``, exactly once.
    struct Permit: Equatable {
        fileprivate var breaker: CircuitBreaker.Permit
    }

    /// Whether the instance itself is fit for work that has a choice; a panicking fleet overrules it. Stored, so that
    /// the balancer's loop reads one byte.
    private(set) var mayTakeNewWork = true
    /// By active checks; nil until they know.
    private(set) var activeHealth: Bool?
    private(set) var breaker: CircuitBreaker
    private(set) var ejection: OutlierEjection
    private var checkReason: String?

    init(options: ProxyOptions.Resilience) {
        breaker = CircuitBreaker(options: options.breaker)
        ejection = OutlierEjection(options: options.ejection)
    }

    var isEjected: Bool { ejection.isEjected }

    /// Why it gets no new work, for the operator; nil when it does.
    var reason: String? {
        if activeHealth == false { return checkReason ?? "fails its health check" }
        if let cause = ejection.cause {
            return switch cause {
            case .consecutiveErrors: "ejected: errors in a row"
            case .consecutiveGatewayErrors: "ejected: gateway errors in a row"
            case .successRate: "ejected: fewer successes than its peers"
            }
        }
        switch (breaker.state, breaker.cause) {
        case (.closed, _): return nil
        case (.halfOpen, _): return mayTakeNewWork ? nil : "circuit half open: a probe is under way"
        case (.open, .consecutiveFailures?): return "circuit open: connections fail in a row"
        case (.open, .failureRatio?): return "circuit open: too many connections fail"
        case (.open, _): return "circuit open: the probe failed"
        }
    }

    // MARK: Requests

    /// Lets a request through, or returns nil: then it has to go elsewhere. Never nil for a claim that is
    /// ``HomeClaim/exclusive``, nor while the fleet panics.
    mutating func begin(_ claim: HomeClaim, fleet: FleetCondition, now: NIODeadline) -> Permit? {
        if claim == .exclusive { return Permit(breaker: breaker.admitAlways()) }
        guard mayTakeNewWork else {
            return fleet.isPanicking ? Permit(breaker: breaker.admitAlways()) : nil
        }
        guard let permit = breaker.admit(now: now) else { return nil }
        _ = settle()
        return Permit(breaker: permit)
    }

    /// Takes in how the instance served the request.
    mutating func end(
        _ permit: Permit, outcome: InstanceOutcome, fleet: FleetCondition, now: NIODeadline, random: UInt64
    ) -> Bool {
        _ = breaker.record(success: !outcome.isTransportFault, permit: permit.breaker, now: now, random: random)
        var ejected = false
        if let cause = ejection.record(outcome), fleet.allowsEjection {
            ejection.eject(because: cause, now: now)
            ejected = true
        }
        return settle() || ejected
    }

    /// The request says nothing about the instance: its client went away first, or a kept connection was stale.
    mutating func abandon(_ permit: Permit) -> Bool {
        breaker.abandon(permit.breaker)
        return settle()
    }

    // MARK: Other events

    /// Takes in the verdict of active checks.
    mutating func healthChecked(healthy: Bool, reason: String?) -> Bool {
        activeHealth = healthy
        checkReason = healthy ? nil : reason
        if healthy { _ = breaker.reached() }
        return settle()
    }

    /// Moves on with the time. Call twice a second or so.
    mutating func tick(now: NIODeadline) -> Bool {
        _ = breaker.tick(now: now)
        let ended = ejection.tick(now: now)
        return settle() || ended
    }

    mutating func takeSample() -> OutlierEjection.Sample { ejection.takeSample() }

    /// Ejects it for its success rate; whether it may, the fleet has said.
    mutating func ejectAsOutlier(now: NIODeadline) {
        ejection.eject(because: .successRate, now: now)
        _ = settle()
    }

    private mutating func settle() -> Bool {
        let now = activeHealth != false && !ejection.isEjected && breaker.isAdmitting
        defer { mayTakeNewWork = now }
        return now != mayTakeNewWork
    }
}

/// What one event loop thinks of all instances that accept new sessions. Made anew when one of them changes.
struct FleetCondition: Equatable {
    private(set) var instances = 0
    /// Fit for new work by themselves.
    private(set) var available = 0
    private(set) var ejected = 0
    /// Too few are left: verdicts are ignored, and new work goes to all instances.
    private(set) var isPanicking = false
    /// Whether one more may be ejected.
    private(set) var allowsEjection = false

    /// No instances.
    init() {}

    /// - Parameter conditions: of the instances that the routing table lets take new sessions; draining ones are no help.
    init(_ conditions: some Sequence<InstanceCondition>, options: ProxyOptions.Resilience) {
        for condition in conditions {
            instances += 1
            if condition.mayTakeNewWork { available += 1 }
            if condition.isEjected { ejected += 1 }
        }
        isPanicking = available * 100 < options.panicPercent * instances
        allowsEjection =
            (ejected + 1) * 100 <= options.ejection.percentMax * instances && available > 1
    }

    /// Whether the balancer may choose the instance for work that has a choice.
    func mayChoose(_ condition: InstanceCondition) -> Bool { isPanicking || condition.mayTakeNewWork }
}

extension FleetCondition {
    /// Compares success rates and ejects outliers. Call every ``ProxyOptions/Ejection/interval``.
    /// - Returns: the fleet afterwards, and the positions of those that were ejected.
    static func compare(
        _ conditions: inout [InstanceCondition], options: ProxyOptions.Resilience, now: NIODeadline
    ) -> (fleet: FleetCondition, ejected: [Int]) {
        var samples: [OutlierEjection.Sample] = []
        for index in conditions.indices { samples.append(conditions[index].takeSample()) }
        var fleet = FleetCondition(conditions, options: options)
        var ejected: [Int] = []
        for index in OutlierEjection.outliers(among: samples, options: options.ejection) where fleet.allowsEjection {
            conditions[index].ejectAsOutlier(now: now)
            ejected.append(index)
            fleet = FleetCondition(conditions, options: options)
        }
        return (fleet, ejected)
    }
}
