/// What one request came to, as the figures see it.
package struct RequestRecord {
    package var client: Int
    package var key: Int
    /// Nanoseconds since the run's start, when the answer was complete or given up.
    package var at: Int64
    package var result: Result
    /// An increment or logout that may have been applied although it failed.
    package var isUnknown = false
    /// The session's first answer.
    package var beginsSession = false
    package var finding: Finding?
    /// On success: from the client's first try since its last success.
    package var waitMicroseconds = 0

    package enum Result {
        case success(latencyMicroseconds: Int)
        case error(kind: String)
    }

    package init(client: Int, key: Int, at: Int64, result: Result) {
        self.client = client
        self.key = key
        self.at = at
        self.result = result
    }
}

/// The sums of a run. Pure: times come in as nanoseconds since the run's start.
package struct RunFigures: Sendable {
    private struct Sums: Sendable {
        var name: String
        var start: Int64
        var requests = 0
        var succeeded = 0
        var errors: [String: Int] = [:]
        var unknown = 0
        var violations: [ViolationKind: Int] = [:]
        var longestPause: Int64 = 0
        var latency = LatencyHistogram()
        var sessions = 0

        mutating func add(_ record: RequestRecord, pause: Int64) {
            requests += 1
            if record.isUnknown { unknown += 1 }
            if record.beginsSession { sessions += 1 }
            if let finding = record.finding { violations[finding.kind, default: 0] += 1 }
            switch record.result {
            case .success(let latencyMicroseconds):
                succeeded += 1
                latency.record(microseconds: latencyMicroseconds)
                longestPause = max(longestPause, pause)
            case .error(let kind):
                errors[kind, default: 0] += 1
            }
        }
    }

    package static let examplesLimit = 20
    /// Stages beyond this count into the last one.
    package static let stagesLimit = 256

    private let keyName: @Sendable (Int) -> String
    private var run = Sums(name: "", start: 0)
    private var stages: [Sums] = []
    private var examples: [ViolationExample] = []
    private var lastSuccess: Int64 = 0
    private var unaudited = 0
    /// Every client's longest wait in microseconds.
    private var waits: [Int]
    private var end: Int64?

    package init(clients: Int, keyName: @escaping @Sendable (Int) -> String) {
        self.keyName = keyName
        waits = Array(repeating: 0, count: clients)
    }

    package mutating func add(_ record: RequestRecord) {
        var pause: Int64 = 0
        if case .success = record.result {
            pause = record.at - lastSuccess
            lastSuccess = max(lastSuccess, record.at)
            waits[record.client] = max(waits[record.client], record.waitMicroseconds)
        }
        run.add(record, pause: pause)
        if !stages.isEmpty { stages[stages.count - 1].add(record, pause: pause) }
        if let finding = record.finding, examples.count < Self.examplesLimit {
            examples.append(
                ViolationExample(
                    kind: finding.kind, client: record.client, key: keyName(record.key), expected: finding.expected,
                    seen: finding.seen, atMs: Int(record.at / 1_000_000), stage: stages.last?.name))
        }
    }

    package mutating func addUnaudited(_ counters: Int) { unaudited += counters }

    /// A client gave up waiting at the run's end.
    package mutating func addWait(client: Int, microseconds: Int) { waits[client] = max(waits[client], microseconds) }

    package mutating func beginStage(_ name: String, at now: Int64) {
        guard stages.count < Self.stagesLimit else { return }
        if !stages.isEmpty {
            stages[stages.count - 1].longestPause = max(stages[stages.count - 1].longestPause, now - lastSuccess)
        }
        stages.append(Sums(name: name, start: now))
    }

    package mutating func finish(at now: Int64) {
        if end == nil { end = now }
    }

    package func report(at now: Int64) -> SoakReport {
        let now = end ?? now
        // The pause that is going on counts as far as it got.
        let open = max(0, now - lastSuccess)
        var waitHistogram = LatencyHistogram()
        for wait in waits { waitHistogram.record(microseconds: wait) }
        var report = SoakReport(
            schema: SoakReport.schemaName, clients: waits.count, durationMs: Int(now / 1_000_000),
            requests: run.requests, succeeded: run.succeeded, errors: run.errors,
            errorCount: run.requests - run.succeeded, unknown: run.unknown,
            lost: run.violations[.lost] ?? 0, stale: run.violations[.stale] ?? 0,
            repeated: run.violations[.repeated] ?? 0, resurrected: run.violations[.resurrected] ?? 0,
            longestPauseMilliseconds: Int(max(run.longestPause, open) / 1_000_000),
            latency: run.latency.percentiles, clientWait: waitHistogram.percentiles, sessions: run.sessions,
            unaudited: unaudited, stages: [], violations: examples, verdict: .fail)
        for (index, stage) in stages.enumerated() {
            let isLast = index == stages.count - 1
            let stageEnd = isLast ? now : stages[index + 1].start
            report.stages.append(
                StageReport(
                    name: stage.name, startMs: Int(stage.start / 1_000_000),
                    durationMs: Int(max(0, stageEnd - stage.start) / 1_000_000),
                    requests: stage.requests, succeeded: stage.succeeded, errors: stage.errors,
                    errorCount: stage.requests - stage.succeeded, unknown: stage.unknown,
                    lost: stage.violations[.lost] ?? 0, stale: stage.violations[.stale] ?? 0,
                    repeated: stage.violations[.repeated] ?? 0, resurrected: stage.violations[.resurrected] ?? 0,
                    longestPauseMilliseconds: Int(max(stage.longestPause, isLast ? open : 0) / 1_000_000),
                    latency: stage.latency.percentiles, sessions: stage.sessions))
        }
        report.verdict = report.passed ? .pass : .fail
        return report
    }
}
