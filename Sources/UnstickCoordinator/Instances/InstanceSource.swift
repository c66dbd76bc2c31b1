public import UnstickCore

/// Where the wanted instances come from at run time: a configuration file that is watched, names that are resolved.
public struct InstanceSource: Sendable {
    public enum Answer: Sendable {
        /// Everything that is wanted now.
        case wanted([RoutingTable.Instance])
        /// Could not be found out: nothing changes. The reason is logged when it is another than before.
        case unknown(reason: String)
    }

    /// Between two questions.
    public var interval: Duration
    public var ask: @Sendable () async -> Answer

    public init(interval: Duration, ask: @escaping @Sendable () async -> Answer) {
        self.interval = interval
        self.ask = ask
    }
}

/// When a change of the roster that was refused may be tried again.
struct RosterRetry: Sendable {
    /// In vain so far, in a row.
    var failures = 0
    /// On the monotonic clock.
    var notBefore: Duration = .zero
    /// Operation that carries out the first pending change.
    var operation: Int64?
    /// Of the last unknown answer.
    var reason: String?

    /// 10 s, doubled each time, at most 10 min: each attempt is in the journal.
    mutating func fail(at now: Duration) {
        failures += 1
        operation = nil
        notBefore = now + .seconds(min(600, 10 << min(failures - 1, 6)))
    }

    mutating func succeed() {
        failures = 0
        operation = nil
        notBefore = .zero
    }
}
