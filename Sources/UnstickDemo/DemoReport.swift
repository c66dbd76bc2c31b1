public import UnstickSoak

/// `unstick demo -o json`: what the whole story came to.
public struct DemoReport: Codable, Sendable {
    public static let schemaName = "unstick.demo/v1"

    public var schema = DemoReport.schemaName
    public var verdict: Verdict
    /// Why the verdict is `fail`, one sentence each; empty for a pass.
    public var failures: [String]
    /// Whether the person who logged in to the shop's admin before the migration still was after every chapter, with
    /// the same session cookie and cart.
    public var adminSession: AdminSession
    public var clients: Int
    /// In the order of the story; only those that were begun, and the last reading of every counter.
    public var phases: [PhaseFigures]
    public var totals: Totals
    /// The first wrong answers, without cookie values.
    public var violations: [ViolationExample]

    public enum Verdict: String, Codable, Sendable { case pass, fail }
    public enum AdminSession: String, Codable, Sendable { case kept, lost }

    /// One chapter under load.
    public struct PhaseFigures: Codable, Sendable {
        public var name: String
        /// Where the migration stood at the chapter's end; nil when it did not come that far.
        public var migrationPhase: String?
        public var rampPercent: Int?
        public var seconds: Double
        public var requests: Int
        public var errors: Int
        /// By status code, or `connect`, `reset`, `timeout`, `protocol`.
        public var errorKinds: [String: Int]
        /// Increments and logouts among the errors that may have been applied nevertheless.
        public var unknown: Int
        public var lost: Int
        public var stale: Int
        public var repeated: Int
        public var resurrected: Int
        /// The longest stretch in which no request of any client succeeded.
        public var longestPauseMs: Int
        public var p99Ms: Double
        /// What the operation said; nil where there was none.
        public var outcome: String?
        /// Whether the admin was still logged in at the chapter's end; nil where nobody looked.
        public var adminLoggedIn: Bool?
    }

    public struct Totals: Codable, Sendable {
        public var seconds: Double
        public var requests: Int
        public var errors: Int
        public var errorKinds: [String: Int]
        public var unknown: Int
        public var lost: Int
        public var stale: Int
        public var repeated: Int
        public var resurrected: Int
        public var longestPauseMs: Int
        public var p99Ms: Double
        public var sessions: Int
        /// Counters whose last value could not be read at the end.
        public var unaudited: Int
    }

    /// What the demonstration itself saw of a chapter.
    struct Visit: Sendable {
        var chapter: String
        var migrationPhase: String?
        var rampPercent: Int?
        var outcome: String?
        var adminLoggedIn: Bool?
    }

    /// Name of the stage in which every counter is read a last time.
    static let auditName = "audit"

    /// - Parameters:
    ///   - chapters: names of everything that has to be visited.
    ///   - visits: in order; a chapter that did not come to its end has no `migrationPhase`.
    ///   - failure: what ended the story early.
    init(chapters: [String], visits: [Visit], soak: SoakReport, failure: String?) {
        clients = soak.clients
        violations = soak.violations
        phases = soak.stages.map { stage in
            let visit = visits.last { $0.chapter == stage.name }
            return PhaseFigures(
                name: stage.name, migrationPhase: visit?.migrationPhase, rampPercent: visit?.rampPercent,
                seconds: Double(stage.durationMs) / 1000, requests: stage.requests, errors: stage.errorCount,
                errorKinds: stage.errors, unknown: stage.unknown, lost: stage.lost, stale: stage.stale,
                repeated: stage.repeated, resurrected: stage.resurrected,
                longestPauseMs: stage.longestPauseMilliseconds,
                p99Ms: Double(stage.latency.p99Microseconds) / 1000, outcome: visit?.outcome,
                adminLoggedIn: visit?.adminLoggedIn)
        }
        totals = Totals(
            seconds: Double(soak.durationMs) / 1000, requests: soak.requests, errors: soak.errorCount,
            errorKinds: soak.errors, unknown: soak.unknown, lost: soak.lost, stale: soak.stale,
            repeated: soak.repeated, resurrected: soak.resurrected, longestPauseMs: soak.longestPauseMilliseconds,
            p99Ms: Double(soak.latency.p99Microseconds) / 1000, sessions: soak.sessions, unaudited: soak.unaudited)

        var failures = failure.map { [$0] } ?? []
        for (count, word) in [
            (soak.lost, "lost"), (soak.stale, "stale"), (soak.repeated, "repeated"), (soak.resurrected, "resurrected"),
        ] where count > 0 {
            failures.append("\(count) answers were \(word)")
        }
        if soak.unaudited > 0 { failures.append("\(soak.unaudited) counters could not be read at the end") }
        for chapter in chapters {
            let visit = visits.last { $0.chapter == chapter }
            if visit?.migrationPhase == nil {
                if failure == nil { failures.append("chapter \(chapter) was not visited") }
            } else if soak.stages.first(where: { $0.name == chapter })?.succeeded ?? 0 == 0 {
                failures.append("no request succeeded in chapter \(chapter)")
            }
        }
        let looks = visits.compactMap(\.adminLoggedIn)
        adminSession = looks.isEmpty || looks.contains(false) ? .lost : .kept
        if adminSession == .lost, failure == nil || looks.contains(false) {
            failures.append("the admin did not stay logged in")
        }
        self.failures = failures
        verdict = failures.isEmpty ? .pass : .fail
    }
}
