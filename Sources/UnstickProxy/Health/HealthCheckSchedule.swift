import NIOCore
import UnstickCore

/// When the next check of an instance begins; pure.
struct HealthCheckSchedule {
    private let usual: Int64
    private let unhealthy: Int64
    private var random: UInt64

    init(options: ProxyOptions.Health, seed: UInt64) {
        usual = max(1, TimeAmount(options.interval).nanoseconds)
        unhealthy = min(usual, max(1, TimeAmount(options.unhealthyInterval).nanoseconds))
        random = seed
    }

    /// From the beginning of one check to the next: the interval for the verdict, a tenth more or less.
    mutating func pause(isHealthy: Bool?) -> TimeAmount {
        random = StableHash.mix(random)
        let interval = isHealthy == true ? usual : unhealthy
        let tenth = interval / 10
        return .nanoseconds(interval - tenth + Int64(random % UInt64(2 * tenth + 1)))
    }
}
