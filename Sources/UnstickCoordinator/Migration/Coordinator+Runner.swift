import ControlAPI
import Logging
import Synchronization
import UnstickCore

/// How a step ended.
enum StepResult: Sendable {
    case done
    /// By a gate.
    case refused([GateResult])
    case timedOut(String)
    case failed(String)
    /// Another operation goes before this one.
    case interrupted(String)
}

extension Coordinator {
    /// Runs operations one after the other until it is cancelled; begins with the one that a crash interrupted.
    func runOperations() async {
        while !Task.isCancelled {
            do {
                let isReady: Bool? = try await wait(until: .seconds(Int64.max / 2)) {
                    $0.control.operation != nil ? true : nil
                }
                if isReady == true { try await advanceOperation() }
            } catch is Halted {
                return
            } catch is CancellationError {
                return
            } catch {
                // The journal cannot be written: nothing has changed, and nothing may. Ask again in a moment.
                logger.error("\(error)")
                _ = try? await wait(until: clock.monotonic() + .seconds(1)) { _ in Never?.none }
            }
        }
    }

    /// Takes one step of the running operation: announces it, takes it, and moves on, undoes, or ends.
    private func advanceOperation() async throws {
        guard let operation = state.withLock({ $0.control.operation }) else { return }
        if operation.undo == nil, let reason = operation.interruption {
            try recover(operation, from: .interrupted(reason))
            return
        }
        guard let step = operation.current else {
            try end(operation)
            return
        }
        state.withLock { $0.progress = "" }
        let result: StepResult
        if case .publish(let change) = step {
            result = try await publish(change, operation)
        } else {
            try commit { _, drafts in
                drafts.append(Draft(.step, step.words, operation: operation))
            }
            result = try await perform(step, operation)
            if case .done = result { state.withLock { $0.control.operation?.advance() } }
        }
        if case .done = result { return }
        guard let current = state.withLock({ $0.control.operation }) else { return }
        try recover(current, from: result)
    }

    /// Publishing and moving on are one transaction, so that a crash finds either both or neither.
    private func publish(_ change: TableChange, _ operation: RunningOperation) async throws -> StepResult {
        if operation.request.dryRun {
            state.withLock { $0.control.operation?.advance() }
            return .done
        }
        let isUrgent = operation.undo != nil || operation.plan[operation.index].urgency == .urgent
        if !isUrgent {
            // Reconciliation may have published while the operation waited for something else.
            let result = try await awaitAcknowledgements(operation)
            guard case .done = result else { return result }
        }
        do {
            try commit { next, drafts in
                let table = try Self.publish(change, isUrgent ? .urgent : .orderly, in: &next)
                next.operation?.advance()
                guard let table else { return }
                drafts.append(
                    Draft(
                        .table, "epoch \(table.epoch): \(change.words)", operation: operation,
                        detail: Draft.json(table)))
            }
            return .done
        } catch let refusal as ProxyLedger.Refusal {
            switch refusal {
            case .unsettled(let names): return .failed("\(names.joined(separator: ", ")) joined meanwhile")
            case .tooFarApart(let proxy, let level):
                return .failed(
                    "proxy \(proxy) may still be at \(level), which cannot coexist with \(change.words); "
                        + "`unstick proxies forget \(proxy)` if it is gone")
            }
        }
    }

    // MARK: Ends

    private func recover(_ operation: RunningOperation, from result: StepResult) throws {
        let (code, reason, gates) = Self.judge(result)
        if let undo = operation.undo {
            try finish(
                operation,
                OperationOutcome(
                    code: .needsRepair,
                    message: "\(undo.outcome.message); taking it back stopped: \(reason). The table stands at "
                        + "\(standing); `unstick status` shows what is missing", gates: undo.outcome.gates))
            return
        }
        guard operation.index < operation.plan.count else {
            try end(operation)
            return
        }
        switch operation.plan[operation.index].recovery {
        case .refuse:
            let hasMoved = operation.plan[..<operation.index].contains { planned in
                if case .publish = planned.step { true } else { false }
            }
            let message =
                hasMoved && !operation.request.dryRun
                ? "stopped at \(standing): \(reason)" : "nothing has changed: \(reason)"
            let ending: OperationOutcome.Code = if case .interrupted = result { .rolledBack } else { code }
            try finish(operation, OperationOutcome(code: ending, message: message, gates: gates))
        case .enough:
            // An interruption is somebody's wish to go elsewhere, not a success.
            let ending: OperationOutcome.Code = if case .interrupted = result { code } else { .done }
            try finish(
                operation,
                OperationOutcome(
                    code: ending,
                    message: "\(operation.request.kind.command): \(standing). Not every session is in the store yet "
                        + "(\(reason)); that goes on in the background, see `unstick status`", gates: gates))
        case .stand:
            let ending: OperationOutcome.Code = if case .failed = result { .needsRepair } else { code }
            try finish(
                operation,
                OperationOutcome(
                    code: ending, message: "\(reason). What was published stands: \(standing)", gates: gates))
        case .undo(let steps):
            let isTimeout = if case .timedOut = result { true } else { false }
            let outcome = OperationOutcome(
                code: isTimeout ? .timedOut : .rolledBack, message: reason, gates: gates)
            if operation.request.dryRun {
                try finish(operation, OperationOutcome(code: code, message: reason, gates: gates))
                return
            }
            try commit { next, drafts in
                next.operation?.undo = RunningOperation.Undo(steps: steps, outcome: outcome)
                drafts.append(Draft(.step, "take it back: \(reason)", operation: operation))
            }
        }
    }

    private static func judge(_ result: StepResult) -> (OperationOutcome.Code, String, [GateResult]) {
        switch result {
        case .done: (.done, "", [])
        case .refused(let gates): (.refused, Gates.refusal(gates), gates)
        case .timedOut(let reason): (.timedOut, reason, [])
        case .failed(let reason): (.failed, reason, [])
        case .interrupted(let reason): (.rolledBack, reason, [])
        }
    }

    /// All steps are taken, forward or back.
    private func end(_ operation: RunningOperation) throws {
        guard let undo = operation.undo else {
            var message = "\(operation.request.kind.command): \(standing)"
            if operation.request.dryRun { message = "dry run: every gate passes; nothing has changed" }
            if operation.lost > 0 { message += "; \(operation.lost) sessions were given up by --force" }
            try finish(operation, OperationOutcome(code: .done, message: message, gates: operation.gates))
            return
        }
        var outcome = undo.outcome
        outcome.message += ". Taken back: \(standing)"
        try finish(operation, outcome)
    }

    /// Where the table is, in words.
    var standing: String {
        let control = state.withLock { $0.control }
        var words = "\(control.table.phase)"
        if control.table.phase == .stateless { words += " \(control.table.rampPercent) %" }
        words += " at epoch \(control.table.epoch)"
        if !control.ledger.isSettled {
            words += ", not yet acknowledged by \(control.ledger.unsettled.joined(separator: ", "))"
        }
        return words
    }

    private func finish(_ operation: RunningOperation, _ outcome: OperationOutcome) throws {
        var finished = operation
        finished.index = outcome.code == .done ? operation.plan.count : operation.index
        try commit(
            finished: { next in finished.status(progress: "ended", outcome: outcome, table: next.table) }
        ) { next, drafts in
            // Counted here, as the operation leaves the state with this entry.
            var last = next.operation ?? operation
            last.request = operation.request
            next.operation = next.queued
            next.queued = nil
            if let queued = next.operation, let replanned = replan(queued, next) { next.operation = replanned }
            drafts.append(
                Draft(
                    .outcome, "\(operation.request.kind.command) ended (\(outcome.code.rawValue)): \(outcome.message)",
                    operation: last, detail: Draft.json(outcome)))
        }
    }

    /// The queued rollback was planned before the operation that it pre-empts was undone.
    private func replan(_ queued: RunningOperation, _ control: ControlState) -> RunningOperation? {
        guard
            let plan = try? TransitionPlan.plan(
                for: queued.request.kind.transition, table: control.table,
                latestGeneration: control.table.generation)
        else { return nil }
        var queued = queued
        queued.plan = plan.steps
        return queued
    }
}
