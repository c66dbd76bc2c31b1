import NIOCore

/// The arithmetic of a rate limit: the generic cell rate algorithm (ITU-T I.371, virtual scheduling), a token bucket kept
/// as one number, the theoretical arrival time of the next request. Times are counted in 256ths of the interval between two requests,
/// modulo 2⁴⁰, so that one and the next 24 bits beside it fit one atomic word.
struct CellRate {
    static let timeBits: UInt64 = 40
    static let timeMask: UInt64 = (1 << timeBits) - 1
    /// Ticks of one request.
    static let cell: UInt64 = 256

    /// Ticks per nanosecond, times 2⁶⁴.
    private let scale: UInt64
    /// How far ahead of the clock the arrival time may be when a request comes.
    let tolerance: UInt64
    private let ticksPerSecond: Double

    /// - Parameters:
    ///   - count: requests per `period`; a rate above a million a second counts as a million.
    ///   - burst: requests at once after a rest, 1 to a million.
    init(count: Int, period: Duration, burst: Int) {
        let nanoseconds = Double(max(1, TimeAmount(period).nanoseconds))
        let perNanosecond = min(Double(max(1, count)) / nanoseconds, 1e-3)
        scale = UInt64(perNanosecond * Double(CellRate.cell) * 0x1p64)
        ticksPerSecond = perNanosecond * 1e9 * Double(CellRate.cell)
        tolerance = UInt64(min(1_000_000, max(1, burst)) - 1) * CellRate.cell
    }

    enum Verdict: Equatable {
        /// The new arrival time to store.
        case admitted(arrival: UInt64)
        /// Ticks until a request would be admitted.
        case refused(wait: UInt64)
    }

    func ticks(at now: NIODeadline) -> UInt64 {
        now.uptimeNanoseconds.multipliedFullWidth(by: scale).high & CellRate.timeMask
    }

    /// How far `arrival` is ahead of `now`; 0 when it has passed. What lies further ahead than any stored time can is
    /// one that passed before the count began anew.
    func debt(_ arrival: UInt64, at now: UInt64) -> UInt64 {
        let ahead = (arrival &- now) & CellRate.timeMask
        // Loops read the clock at slightly different times: allow a second.
        return ahead > tolerance + CellRate.cell + max(UInt64(ticksPerSecond), CellRate.cell) ? 0 : ahead
    }

    func verdict(arrival: UInt64, now: UInt64) -> Verdict {
        let debt = debt(arrival, at: now)
        guard debt <= tolerance else { return .refused(wait: debt - tolerance) }
        return .admitted(arrival: (now &+ debt &+ CellRate.cell) & CellRate.timeMask)
    }

    /// Whole seconds for `Retry-After` (RFC 9110 section 10.2.3), rounded up, at least 1.
    func seconds(_ ticks: UInt64) -> Int {
        Int(max(1, (Double(ticks) / ticksPerSecond).rounded(.up)))
    }
}
