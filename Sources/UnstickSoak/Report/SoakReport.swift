/// What a soak saw. Milliseconds and microseconds are on a monotonic clock, from the run's start.
public struct SoakReport: Codable, Sendable, Equatable {
    public static let schemaName = "unstick.soak/v1"

    public var schema: String
    public var clients: Int
    public var durationMs: Int
    /// All figures of the run; the same names as in every stage.
    public var requests: Int
    /// Well-formed answers with status 2xx (after a logout also 3xx), whatever the checker thought of them.
    public var succeeded: Int
    /// Requests that did not succeed, by kind: the status code, `connect`, `reset`, `timeout`, or `protocol`.
    public var errors: [String: Int]
    /// The sum of `errors`.
    public var errorCount: Int
    /// Increments and logouts among the errors that may have been applied nevertheless.
    public var unknown: Int
    public var lost: Int
    public var stale: Int
    public var repeated: Int
    public var resurrected: Int
    /// The longest stretch in which no request of the whole run succeeded.
    public var longestPauseMilliseconds: Int
    /// Of requests that succeeded.
    public var latency: Percentiles
    /// Every client's longest wait, from a request to the next success, whatever failed in between; over all clients.
    public var clientWait: Percentiles
    /// Sessions that were begun and answered.
    public var sessions: Int
    /// Counters whose last state could not be read at the end: losses may hide there.
    public var unaudited: Int
    /// In the order in which they began; empty unless stages were named.
    public var stages: [StageReport]
    /// The first 20.
    public var violations: [ViolationExample]
    public var verdict: Verdict

    /// Nothing lost, stale, repeated or resurrected, and something succeeded at all.
    public var passed: Bool { lost + stale + repeated + resurrected == 0 && succeeded > 0 }

    public enum Verdict: String, Codable, Sendable {
        case pass, fail
    }

    /// In microseconds; all 0 when nothing was measured. At most 7 % above the true value.
    public struct Percentiles: Codable, Sendable, Equatable {
        public var p50Microseconds: Int
        public var p99Microseconds: Int
        public var maxMicroseconds: Int
    }
}

/// The figures of one named stretch of a run. A request counts where its answer arrived.
public struct StageReport: Codable, Sendable, Equatable {
    public var name: String
    public var startMs: Int
    public var durationMs: Int
    public var requests: Int
    public var succeeded: Int
    public var errors: [String: Int]
    public var errorCount: Int
    public var unknown: Int
    public var lost: Int
    public var stale: Int
    public var repeated: Int
    public var resurrected: Int
    /// A pause that began before the stage counts in full where it ended, and up to there where it began.
    public var longestPauseMilliseconds: Int
    public var latency: SoakReport.Percentiles
    public var sessions: Int
}

/// One answer that contradicts its client's history. Carries no cookie values.
public struct ViolationExample: Codable, Sendable, Equatable {
    public var kind: ViolationKind
    /// From 0.
    public var client: Int
    /// `default`, or the `key` parameter.
    public var key: String
    public var expected: String
    /// The counter that was shown.
    public var seen: Int
    public var atMs: Int
    /// Nil outside of named stages.
    public var stage: String?
}
