import ControlAPI
import Synchronization
import UnstickCore

/// The counts of a running verification, shared by the crawls of all instances.
final class VerificationTally: Sendable {
    typealias Counts = VerificationReport.InstanceCounts

    /// A session to look at again. Kept in memory for all that moved, so it holds no more than it must.
    struct Recheck: Sendable {
        var instance: Int
        var id: String
        /// What both sides had at the last look; the same again, one pass later, is no longer "moving".
        var memory: VersionTag
        var stored: VersionTag?
    }

    private struct State {
        var counts: [Counts]
        var recheck: [Recheck] = []
        var inconclusive: [String] = []
        var problemCount = 0
        var problems: [SessionProblem] = []
        var reportedAt: UnixMilliseconds?
    }

    private let state: Mutex<State>
    private let startedAt: UnixMilliseconds
    private let clock: WallClock
    private let progress: @Sendable (Coverage) -> Void

    /// Least time between two reports of progress.
    static let progressIntervalMilliseconds: Int64 = 250

    init(names: [String], clock: @escaping WallClock, progress: @escaping @Sendable (Coverage) -> Void) {
        startedAt = clock()
        self.clock = clock
        self.progress = progress
        state = Mutex(State(counts: names.map(Counts.init(name:))))
    }

    func count(_ path: any WritableKeyPath<Counts, Int> & Sendable, of instance: Int, by amount: Int = 1) {
        state.withLock { $0.counts[instance][keyPath: path] += amount }
    }

    func countUnserializable(attributes: [String], of instance: Int) {
        state.withLock { state in
            state.counts[instance].unserializable += 1
            for name in attributes
            where state.counts[instance].unserializableAttributes.count < SessionListing.attributesMax
                && !state.counts[instance].unserializableAttributes.contains(name)
            {
                state.counts[instance].unserializableAttributes.append(name)
            }
        }
    }

    var isInconclusive: Bool { state.withLock { !$0.inconclusive.isEmpty } }

    func problem(_ problem: SessionProblem) {
        state.withLock { state in
            state.problemCount += 1
            if state.problems.count < SessionProblem.examplesMax { state.problems.append(problem) }
        }
    }

    func inconclusive(_ reason: String) {
        state.withLock { if !$0.inconclusive.contains(reason) { $0.inconclusive.append(reason) } }
    }

    func lookAgain(_ entry: Recheck, limit: Int) throws(InconclusiveError) {
        let isFull = state.withLock { state in
            state.recheck.append(entry)
            return state.recheck.count > limit
        }
        if isFull { throw InconclusiveError("more than \(limit) sessions wait to be looked at again") }
    }

    /// Empties the set.
    func takeRecheck() -> [Recheck] {
        state.withLock { state in
            defer { state.recheck = [] }
            return state.recheck
        }
    }

    func reportProgress() {
        let now = clock()
        let due = state.withLock { state -> VerificationReport? in
            if let last = state.reportedAt, now.rawValue - last.rawValue < Self.progressIntervalMilliseconds {
                return nil
            }
            state.reportedAt = now
            return report(state, at: now, generation: .none, passes: 0)
        }
        guard let due else { return }
        var coverage = due.coverage
        coverage.isComplete = false
        coverage.verifiedAt = nil
        progress(coverage)
    }

    func report(generation: Generation, passes: Int) -> VerificationReport {
        let now = clock()
        return state.withLock { report($0, at: now, generation: generation, passes: passes) }
    }

    private func report(
        _ state: State, at now: UnixMilliseconds, generation: Generation, passes: Int
    ) -> VerificationReport {
        VerificationReport(
            startedAt: startedAt, finishedAt: now, generation: generation, passes: passes, instances: state.counts,
            recheck: state.recheck.count, inconclusive: state.inconclusive, problemCount: state.problemCount,
            problems: state.problems)
    }
}
