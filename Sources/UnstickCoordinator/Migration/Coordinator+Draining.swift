import ControlAPI
import Synchronization
import UnstickCore

extension Coordinator {
    /// Three zeros of a drained instance: requests in flight as every proxy says, sessions in memory, sessions only
    /// there. Its memory is evicted once nothing is in flight, so that no request can lose what it works on.
    func awaitZeros(
        _ name: String, _ deadlineSeconds: Int?, force: Bool, _ operation: RunningOperation
    ) async throws -> StepResult {
        while true {
            let (table, inFlight, interruption) = state.withLock { state in
                (state.control.table, self.inFlight(at: name, state), state.control.operation?.interruption)
            }
            if let interruption { return .interrupted(interruption) }
            guard let instance = table.instances.first(where: { $0.name == name }) else { return .done }
            var sessions: Int?
            var onlyHere: Int?
            var note: String?
            if inFlight == 0 {
                let eviction = await verification.evict(instance: instance, scope: .everything, table: table)
                let description = await verification.describe(instance: instance)
                sessions = description.sessions
                onlyHere = eviction.inconclusive.isEmpty ? eviction.onlyHere : nil
                note = eviction.inconclusive.first ?? description.problem
                if sessions == 0, onlyHere == 0 { return .done }
            }
            let words =
                "\(name) has \(inFlight.words) requests in flight, \(sessions.words) sessions, "
                + "\(onlyHere.words) only there" + (note.map { " (\($0))" } ?? "")
            state.withLock { $0.progress = words }
            if isOver(deadlineSeconds, operation) {
                if force, let onlyHere, inFlight == 0 {
                    try giveUp(onlyHere, operation)
                    return .done
                }
                return .timedOut("the deadline has passed: \(words); it stays drained, nothing is dropped")
            }
            try await pause(options.checkInterval)
        }
    }

    /// Phase `sticky`: nothing but time empties an instance.
    func awaitSessionsEnd(
        _ name: String, _ deadlineSeconds: Int?, force: Bool, _ operation: RunningOperation
    ) async throws -> StepResult {
        while true {
            let (table, inFlight) = state.withLock { ($0.control.table, self.inFlight(at: name, $0)) }
            guard let instance = table.instances.first(where: { $0.name == name }) else { return .done }
            let description = await verification.describe(instance: instance)
            if description.sessions == 0, inFlight == 0 { return .done }
            let words =
                "\(description.sessions.words) sessions remain on \(name)"
                + (description.problem.map { " (\($0))" } ?? "")
            state.withLock { $0.progress = words }
            if isOver(deadlineSeconds, operation) {
                if force, let sessions = description.sessions {
                    try giveUp(sessions, operation)
                    return .done
                }
                return .timedOut(
                    "the deadline has passed: \(words); it stays draining, nothing is dropped; `--force` gives them up")
            }
            try await pause(options.checkInterval)
        }
    }

    private func giveUp(_ sessions: Int, _ operation: RunningOperation) throws {
        try commit { next, drafts in
            next.operation?.lost += sessions
            drafts.append(
                Draft(.event, "\(sessions) sessions are given up at the deadline (--force)", operation: operation))
        }
    }

    /// By the wall clock, because a deadline outlives a restart.
    private func isOver(_ deadlineSeconds: Int?, _ operation: RunningOperation) -> Bool {
        let seconds = deadlineSeconds.map(Int64.init) ?? options.drainDeadline.components.seconds
        return clock.wall() >= operation.startedAt.adding(seconds: seconds)
    }

    /// Requests in flight at an instance; nil unless every registered proxy is alive, has acknowledged the current
    /// epoch, and has said so.
    func inFlight(at name: String, _ state: State) -> Int? {
        var total = 0
        for (proxy, entry) in state.control.ledger.entries {
            guard let observation = state.proxies[proxy], entry.acknowledged == state.control.table.epoch,
                observation.report.acknowledged == entry.acknowledged,
                clock.monotonic() - observation.heardAt <= options.silenceLimit
            else { return nil }
            total += observation.report.instances.first { $0.name == name }?.inFlight ?? 0
        }
        return total
    }
}

extension Int? {
    /// For people.
    fileprivate var words: String { map(String.init) ?? "an unknown number of" }
}
