import ControlAPI
import UnstickCore

/// An operation as the journal keeps it: enough to resume or undo it after a crash.
struct RunningOperation: Sendable, Codable {
    var id: Int64
    var request: OperationRequest
    var startedAt: UnixMilliseconds
    var plan: [PlannedStep]
    /// Index of the step that runs or comes next; publishing moves it in the same transaction.
    var index = 0
    var undo: Undo?
    /// Journal entries written for it so far.
    var entries = 0
    /// Why it has to stop: another operation goes before it.
    var interruption: String?
    /// As last evaluated.
    var gates: [GateResult] = []
    /// Sessions given up by `force`.
    var lost = 0

    struct Undo: Sendable, Codable {
        var steps: [PlanStep]
        var index = 0
        /// What the operation ends with when the undoing has succeeded.
        var outcome: OperationOutcome
    }

    var current: PlanStep? {
        if let undo { return undo.index < undo.steps.count ? undo.steps[undo.index] : nil }
        return index < plan.count ? plan[index].step : nil
    }

    mutating func advance() {
        if undo != nil { undo!.index += 1 } else { index += 1 }
    }

    var isRollback: Bool {
        if case .rollback = request.kind { true } else { false }
    }

    func status(progress: String, outcome: OperationOutcome?, table: RoutingTable) -> OperationStatus {
        OperationStatus(
            id: id, kind: request.kind, by: request.by, reason: request.reason, dryRun: request.dryRun,
            startedAt: startedAt, progress: progress, step: min(index, plan.count), steps: plan.count,
            plan: plan.map(\.step.words), outcome: outcome, phase: table.phase, epoch: table.epoch)
    }
}

extension OperationKind {
    var transition: Transition {
        switch self {
        case .mirror: .mirror
        case .verify: .verify
        case .externalize: .externalize
        case .switchTo(let percent): .switchTo(percent: percent)
        case .complete(let confirm): .complete(confirm: confirm)
        case .rollback(let phase): .rollback(to: phase)
        case .drain(let instance, let deadlineSeconds, let force):
            .drain(instance: instance, deadlineSeconds: deadlineSeconds, force: force)
        case .undrain(let instance): .undrain(instance: instance)
        case .addInstance(let name, let url, let weight): .addInstance(name: name, url: url, weight: weight)
        case .removeInstance(let name, let force): .removeInstance(name: name, force: force)
        case .setWeight(let instance, let weight): .setWeight(instance: instance, weight: weight)
        }
    }
}
