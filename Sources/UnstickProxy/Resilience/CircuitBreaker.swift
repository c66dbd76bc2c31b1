import NIOCore
import UnstickCore

/// Stops new work for an instance whose connections fail, so that requests do not each wait for the same failure; then
/// lets a few probes find out whether it is back. One per instance and event loop; pure.
///
/// It counts transport faults only. An instance that answers, however badly, is ``OutlierEjection``'s matter.
struct CircuitBreaker {
    enum State: Equatable {
        /// All may pass. Becomes `open` by failures.
        case closed
        /// None may pass. Becomes `halfOpen` when the time has come, or a health check shows that it can be reached.
        case open(until: NIODeadline)
        /// As many may pass as there are probes. Becomes `closed` by successes, `open` by one failure.
        case halfOpen
    }

    /// What opened it.
    enum Cause: UInt8, CaseIterable {
        case consecutiveFailures, failureRatio, probeFailed
    }

    /// Handed out with each request; the era tells results that belong to an earlier state.
    struct Permit: Equatable {
        fileprivate var era: UInt32
        fileprivate var isProbe: Bool
    }

    private let options: ProxyOptions.Breaker
    private(set) var state = State.closed
    private(set) var cause: Cause?
    private(set) var openings: UInt64 = 0
    private var era: UInt32 = 0
    private var counts: SlidingCounts
    private(set) var failuresInRow = 0
    /// Openings without a long quiet time between them.
    private var openingsInRow = 0
    private var closedSince = NIODeadline.uptimeNanoseconds(0)
    private var probesUnderWay = 0
    private var probeSuccesses = 0
    private var lastProbe = NIODeadline.uptimeNanoseconds(0)

    init(options: ProxyOptions.Breaker) {
        self.options = options
        counts = SlidingCounts(window: TimeAmount(options.window))
    }

    /// Whether the next request may pass. Time alone changes it only in `tick`.
    var isAdmitting: Bool {
        switch state {
        case .closed: true
        case .open: false
        case .halfOpen: probesUnderWay < max(1, options.probes)
        }
    }

    /// A permit for new work, or nil. Every permit is given back by `record` or `abandon`.
    mutating func admit(now: NIODeadline) -> Permit? {
        guard isAdmitting else { return nil }
        guard state == .halfOpen else { return Permit(era: era, isProbe: false) }
        probesUnderWay += 1
        lastProbe = now
        return Permit(era: era, isProbe: true)
    }

    /// A permit for what has to pass whatever the state: a session's own home has no substitute.
    func admitAlways() -> Permit { Permit(era: era, isProbe: false) }

    /// Takes a request's result in; returns whether ``state`` or ``isAdmitting`` may have changed.
    /// - Parameter random: any number, for the open time's jitter.
    mutating func record(success: Bool, permit: Permit, now: NIODeadline, random: UInt64) -> Bool {
        guard permit.era == era else { return false }
        if permit.isProbe { probesUnderWay = max(0, probesUnderWay - 1) }
        switch state {
        case .open:
            return false
        case .halfOpen:
            guard success else {
                open(because: .probeFailed, now: now, random: random)
                return true
            }
            probeSuccesses += 1
            if probeSuccesses >= max(1, options.probes) { close(now: now) }
            return true
        case .closed:
            counts.add(events: 1, marked: success ? 0 : 1, now: now)
            guard !success else {
                failuresInRow = 0
                return false
            }
            failuresInRow += 1
            if let limit = options.consecutiveFailures, failuresInRow >= limit {
                open(because: .consecutiveFailures, now: now, random: random)
                return true
            }
            if let percent = options.failurePercent, counts.events >= max(1, options.samples),
                counts.marked * 100 >= percent * counts.events
            {
                open(because: .failureRatio, now: now, random: random)
                return true
            }
            return false
        }
    }

    /// Gives a permit back whose request says nothing about the instance.
    mutating func abandon(_ permit: Permit) {
        guard permit.era == era, permit.isProbe else { return }
        probesUnderWay = max(0, probesUnderWay - 1)
    }

    /// Moves on with the time; returns whether anything changed. Call twice a second or so.
    mutating func tick(now: NIODeadline) -> Bool {
        switch state {
        case .closed:
            return false
        case .open(let until):
            guard now >= until else { return false }
            probe()
            return true
        case .halfOpen:
            // A probe that never comes back (a long poll, say) must not keep the instance out for ever.
            guard probesUnderWay > 0, now - lastProbe >= TimeAmount(options.openTimeMax) else { return false }
            probesUnderWay = 0
            return true
        }
    }

    /// A health check's own connection succeeded: probes may begin at once. Returns whether anything changed.
    mutating func reached() -> Bool {
        if case .closed = state {
            failuresInRow = 0
            return false
        }
        guard case .open = state else { return false }
        probe()
        return true
    }

    private mutating func probe() {
        state = .halfOpen
        era &+= 1
        probesUnderWay = 0
        probeSuccesses = 0
    }

    private mutating func close(now: NIODeadline) {
        state = .closed
        cause = nil
        era &+= 1
        closedSince = now
        failuresInRow = 0
        counts.removeAll()
    }

    private mutating func open(because cause: Cause, now: NIODeadline, random: UInt64) {
        let longest = max(1, TimeAmount(options.openTimeMax).nanoseconds)
        // Quiet for as long as the longest opening: the next trouble is another one.
        if state == .closed, now - closedSince > .nanoseconds(longest) { openingsInRow = 0 }
        let first = max(1, TimeAmount(options.openTime).nanoseconds)
        let (grown, overflow) = first.multipliedReportingOverflow(by: 1 << Int64(min(20, openingsInRow)))
        let whole = overflow ? longest : min(longest, grown)
        // Up to an eighth sooner, so that event loops and proxies do not probe in step.
        let jitter = Int64(random % UInt64(whole / 8 + 1))
        state = .open(until: now + .nanoseconds(whole - jitter))
        self.cause = cause
        openingsInRow += 1
        openings &+= 1
        era &+= 1
        failuresInRow = 0
        counts.removeAll()
    }
}
