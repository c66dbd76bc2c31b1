import NIOCore

/// Notices a body that arrives more slowly than a least rate (RFC 9110 section 15.5.9 gives the status, 408). Apache's
/// mod_reqtimeout sets the same defaults: 500 bytes a second after 20 seconds.
///
/// Time in which the proxy itself does not read, because the instance takes no more, does not count.
struct RateFloor {
    private let bytesPerSecond: Int
    private let window: Int64
    private var graceLeft: Int64
    private var last: NIODeadline
    /// Time read within the current window, in nanoseconds.
    private var elapsed: Int64 = 0
    private var bytes = 0
    private var isPaused = false

    /// - Parameter bytesPerSecond: 0: anything is fast enough.
    init(bytesPerSecond: Int, grace: Duration, window: Duration, now: NIODeadline) {
        self.bytesPerSecond = max(0, bytesPerSecond)
        self.window = max(1, TimeAmount(window).nanoseconds)
        graceLeft = max(0, TimeAmount(grace).nanoseconds)
        last = now
    }

    /// Reading stops or goes on. The same twice changes nothing.
    mutating func setReading(_ reading: Bool, now: NIODeadline) {
        pass(until: now)
        isPaused = !reading
    }

    mutating func received(_ count: Int) { bytes += count }

    /// Whether the last whole window stayed below the rate. Call twice a second or so.
    mutating func isTooSlow(now: NIODeadline) -> Bool {
        pass(until: now)
        guard bytesPerSecond > 0, elapsed >= window else { return false }
        let seconds = Double(elapsed) / 1e9
        let tooSlow = Double(bytes) < Double(bytesPerSecond) * seconds
        elapsed = 0
        bytes = 0
        return tooSlow
    }

    private mutating func pass(until now: NIODeadline) {
        let passed = max(0, (now - last).nanoseconds)
        last = max(last, now)
        guard !isPaused else { return }
        let ofGrace = min(graceLeft, passed)
        graceLeft -= ofGrace
        elapsed += passed - ofGrace
    }
}
