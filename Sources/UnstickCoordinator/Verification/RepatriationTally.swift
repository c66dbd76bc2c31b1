import ControlAPI
import Synchronization
import UnstickCore

/// The counts of a running repatriation: of all its passes, and of the present one.
final class RepatriationTally: Sendable {
    private struct State {
        var counts: [RepatriationReport.InstanceCounts]
        var inconclusive: [String] = []
        // Of the present pass.
        var sessions = 0
        var atHome = 0
        var work = 0
        var problemCount = 0
        var problems: [SessionProblem] = []
        var reportedAt: UnixMilliseconds?
    }

    private let state: Mutex<State>
    private let startedAt: UnixMilliseconds
    private let clock: WallClock
    private let progress: @Sendable (Coverage) -> Void

    init(names: [String], clock: @escaping WallClock, progress: @escaping @Sendable (Coverage) -> Void) {
        startedAt = clock()
        self.clock = clock
        self.progress = progress
        state = Mutex(State(counts: names.map(RepatriationReport.InstanceCounts.init(name:))))
    }

    func beginPass() {
        state.withLock { state in
            state.sessions = 0
            state.atHome = 0
            state.work = 0
            state.problemCount = 0
            state.problems = []
            for index in state.counts.indices { state.counts[index].sessions = 0 }
        }
    }

    /// A live record whose home this is.
    func session(of home: Int, isAtHome: Bool) {
        state.withLock { state in
            state.sessions += 1
            state.counts[home].sessions += 1
            if isAtHome { state.atHome += 1 }
        }
    }

    /// Something was changed, or could not be made right yet: one more pass is needed.
    func work() { state.withLock { $0.work += 1 } }

    func imported(into home: Int) {
        state.withLock { state in
            state.work += 1
            state.counts[home].imported += 1
        }
    }

    func evicted(from instance: Int) {
        state.withLock { state in
            state.work += 1
            state.counts[instance].evicted += 1
        }
    }

    func problem(_ problem: SessionProblem) {
        state.withLock { state in
            state.problemCount += 1
            if state.problems.count < SessionProblem.examplesMax { state.problems.append(problem) }
        }
    }

    func inconclusive(_ reason: String) {
        state.withLock { if !$0.inconclusive.contains(reason) { $0.inconclusive.append(reason) } }
    }

    /// Whether the present pass changed nothing and left nothing.
    var isSettled: Bool { state.withLock { $0.work == 0 } }
    var isConclusive: Bool { state.withLock { $0.inconclusive.isEmpty } }

    func reportProgress() {
        let now = clock()
        let coverage = state.withLock { state -> Coverage? in
            if let last = state.reportedAt,
                now.rawValue - last.rawValue < VerificationTally.progressIntervalMilliseconds
            {
                return nil
            }
            state.reportedAt = now
            return Coverage(
                sessions: state.sessions, externalized: state.atHome, recheck: state.work, verifiedAt: nil,
                isComplete: false)
        }
        if let coverage { progress(coverage) }
    }

    func report(generation: Generation, passes: Int) -> RepatriationReport {
        let now = clock()
        return state.withLock { state in
            RepatriationReport(
                startedAt: startedAt, finishedAt: now, generation: generation, passes: passes, instances: state.counts,
                sessions: state.sessions, atHome: state.atHome, recheck: state.work, inconclusive: state.inconclusive,
                problemCount: state.problemCount, problems: state.problems)
        }
    }
}
