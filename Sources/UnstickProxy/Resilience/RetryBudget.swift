import NIOCore

/// Keeps retries from multiplying the load on instances that are failing under it: within any ten seconds there are at
/// most `percent` retries per hundred requests and `minimumPerSecond` more. Finagle's budget of the same defaults (20 %
/// and 10 a second), as linkerd has it too; a window in place of tokens that expire.
struct RetryBudget {
    static let windowSeconds = 10

    private let percent: Int
    private let reserve: Int
    private var counts = SlidingCounts(window: .seconds(Int64(RetryBudget.windowSeconds)))

    /// - Parameters:
    ///   - percent: 0 or more.
    ///   - minimumPerSecond: of the whole proxy, 0 or more.
    ///   - loops: event loops that share the minimum, each with a budget of its own.
    init(percent: Int, minimumPerSecond: Int, loops: Int = 1) {
        self.percent = max(0, percent)
        // At least one in the window, or a proxy with many loops and a small minimum could never retry.
        let minimum = max(0, minimumPerSecond) * RetryBudget.windowSeconds
        reserve = minimum == 0 ? 0 : max(1, minimum / max(1, loops))
    }

    /// Counts a request; retries of it are no requests.
    mutating func requestBegan(now: NIODeadline) {
        counts.add(events: 1, marked: 0, now: now)
    }

    /// Retries that may still be made now.
    mutating func balance(now: NIODeadline) -> Int {
        counts.advance(to: now)
        return max(0, counts.events * percent / 100 + reserve - counts.marked)
    }

    /// Takes one retry out. False, and nothing taken, when the budget is spent.
    mutating func withdraw(now: NIODeadline) -> Bool {
        guard balance(now: now) > 0 else { return false }
        counts.add(events: 0, marked: 1, now: now)
        return true
    }
}
