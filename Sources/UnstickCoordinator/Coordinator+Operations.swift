public import ControlAPI
import NIOCore
import SessionStore
import Synchronization
import UnstickCore

extension Coordinator {
    /// Plans an operation, writes its intent, and leaves it to ``run()``.
    /// - Parameter from: the caller's address, for the journal.
    /// - Throws: ``APIProblem`` with `locked`, `invalid`, or `refused` when the table is not where the operation
    ///   begins. A gate's refusal is the operation's outcome instead.
    public func submit(_ request: OperationRequest, from: String?) async throws -> OperationStatus {
        if request.killAtJournalEntry != nil, !options.allowsKillPoints {
            throw APIProblem(code: .invalid, message: "this coordinator was started without kill points")
        }
        if let timeout = request.timeoutSeconds, timeout < 1 {
            throw APIProblem(code: .invalid, message: "timeout must be at least one second, not \(timeout)")
        }
        // A store that cannot be reached must not hold up a rollback; `mirror` has a gate for it.
        let storeGeneration = (try? await store.generation(on: eventLoop).get()) ?? .none
        return try commit { next, drafts in
            if let expected = request.expectedEpoch, expected != next.table.epoch {
                throw APIProblem(
                    code: .locked,
                    message: "the plan is stale: it was made at epoch \(expected), the table is at \(next.table.epoch)")
            }
            let preempts = try Self.admit(request, next)
            let plan: TransitionPlan
            do throws(PlanError) {
                plan = try TransitionPlan.plan(
                    for: request.kind.transition, table: next.table,
                    latestGeneration: max(next.table.generation, storeGeneration))
            } catch {
                switch error {
                case .invalid(let message): throw APIProblem(code: .invalid, message: message)
                case .misplaced(let message): throw APIProblem(code: .refused, message: message)
                }
            }
            next.lastOperation += 1
            let operation = RunningOperation(
                id: next.lastOperation, request: request, startedAt: clock.wall(), plan: plan.steps)
            if preempts {
                next.operation?.interruption =
                    "\(request.kind.command) by \(request.by) goes before it"
                next.queued = operation
            } else {
                next.operation = operation
            }
            drafts.append(
                Draft(
                    .intent, "\(request.kind.command)\(request.dryRun ? " (dry run)" : "") is asked for",
                    operation: operation, from: from, reason: request.reason,
                    detail: Draft.json(Intent(kind: request.kind, plan: plan.steps.map(\.step.words)))))
            return operation.status(
                progress: preempts ? "waiting until the running operation is undone" : "about to begin", outcome: nil,
                table: next.table)
        }
    }

    private struct Intent: Encodable {
        var kind: OperationKind
        var plan: [String]
    }

    /// One operation at a time; only the rollback that has no gates goes before another.
    /// - Returns: whether the running operation has to be undone first.
    private static func admit(_ request: OperationRequest, _ control: ControlState) throws -> Bool {
        guard let running = control.operation else { return false }
        if case .rollback(to: .externalized) = request.kind, control.table.phase == .stateless, !running.isRollback,
            control.queued == nil, !request.dryRun
        {
            return true
        }
        throw APIProblem(
            code: .locked,
            message: "\(running.request.kind.command) by \(running.request.by) is running since "
                + "\(TimeText.utc(running.startedAt)) (operation \(running.id))")
    }

    /// The operation that runs; nil when none does.
    public func currentOperation() -> OperationStatus? {
        state.withLock { state in
            state.control.operation.map {
                $0.status(progress: state.progressWords, outcome: nil, table: state.control.table)
            }
        }
    }

    /// Answers when the operation has ended or its progress changed, or after `wait`.
    /// - Returns: nil when there is no operation of that id.
    public func operation(_ id: Int64, wait patience: Duration = .zero) async throws -> OperationStatus? {
        let first = running(id)
        if first != nil {
            let changed: OperationStatus?? = try await wait(
                until: clock.monotonic() + min(patience, .seconds(60))
            ) { state in
                guard let now = state.running(id) else { return .some(nil) }
                let isSame = now.progress == first?.progress && now.step == first?.step && now.epoch == first?.epoch
                return isSame ? nil : .some(now)
            }
            if let status = (changed ?? nil) ?? running(id) { return status }
        }
        return try journal.operation(id)
    }

    private func running(_ id: Int64) -> OperationStatus? { state.withLock { $0.running(id) } }

    /// Waits for the operation's end.
    public func outcome(of id: Int64) async throws -> OperationStatus {
        while true {
            guard let status = try await operation(id, wait: .seconds(60)) else {
                throw APIProblem(code: .invalid, message: "there is no operation \(id)")
            }
            if status.outcome != nil { return status }
        }
    }

    public func setAutomation(_ request: AutomationRequest, from: String?) throws -> AutomationStatus {
        try commit { next, drafts in
            guard next.isPaused != request.paused else { return AutomationStatus(paused: next.isPaused) }
            next.isPaused = request.paused
            drafts.append(
                Draft(
                    .event, request.paused ? "automation is paused" : "automation resumes", from: from,
                    by: request.by, reason: request.reason))
            return AutomationStatus(paused: next.isPaused)
        }
    }
}

extension Coordinator.State {
    /// What the running operation does, for a person.
    var progressWords: String {
        guard let step = control.operation?.current else { return "about to end" }
        let prefix = control.operation?.undo == nil ? "" : "undoing: "
        if case .awaitAcknowledgements = step {
            let waiting = control.ledger.unsettled.joined(separator: ", ")
            if waiting.isEmpty { return prefix + "every proxy has acknowledged epoch \(control.table.epoch)" }
            return prefix + "waiting for \(waiting) to acknowledge epoch \(control.table.epoch)"
        }
        return prefix + (progress.isEmpty ? step.words : progress)
    }

    func running(_ id: Int64) -> OperationStatus? {
        if let operation = control.operation, operation.id == id {
            return operation.status(progress: progressWords, outcome: nil, table: control.table)
        }
        if let queued = control.queued, queued.id == id {
            return queued.status(
                progress: "waiting until the running operation is undone", outcome: nil, table: control.table)
        }
        return nil
    }
}
