import ControlAPI
import Logging
import Synchronization
import UnstickCore

/// Instances changed by configuration and discovery. By command they change as every operation does.
extension Coordinator {
    /// Whose wishes these are, in the journal.
    static let rosterOperator = "configuration"

    /// At a start on an existing journal: what the configuration wants now and did not want before becomes operations.
    func adoptConfiguredInstances() throws {
        let (roster, table) = state.withLock { ($0.control.roster, $0.control.table) }
        // An older version's state does not say what was wanted: then the table stands for it.
        var next = roster ?? InstanceRoster(followed: table.instances)
        // A source knows more than the configuration of the start does: discovered instances are not gone because it
        // has not looked yet.
        let isNews = options.instanceSource == nil && next.follow(options.instances)
        guard isNews || roster == nil else { return }
        try commit { control, drafts in
            control.roster = next
            if let words = Self.words(next.pending) {
                drafts.append(Draft(.event, "configuration: \(words)", by: Self.rosterOperator))
            }
        }
    }

    private static func words(_ changes: [InstanceRoster.Change]) -> String? {
        changes.isEmpty
            ? nil
            : changes.map { change in
                switch change {
                case .join(let instance): "\(instance.name) is to join"
                case .leave(let name): "\(name) is to leave, after a drain"
                case .weight(let name, let weight): "\(name) is to have weight \(weight)"
                }
            }.joined(separator: "; ")
    }

    /// One look at the source; whatever is new becomes durable before anything is done about it.
    func followInstances(_ source: InstanceSource) async {
        switch await source.ask() {
        case .unknown(let reason):
            let isNews = state.withLock { state in
                defer { state.rosterRetry.reason = reason }
                return state.rosterRetry.reason != reason
            }
            if isNews { logger.warning("instances stay as they are: \(reason)") }
        case .wanted(let instances):
            state.withLock { $0.rosterRetry.reason = nil }
            guard let roster = state.withLock({ $0.control.roster }), roster.followed != instances else { return }
            do {
                try commit { control, drafts in
                    guard control.roster?.follow(instances) == true else { return }
                    if let words = Self.words(control.roster?.pending ?? []) {
                        drafts.append(Draft(.event, "configuration: \(words)", by: Self.rosterOperator))
                    }
                }
            } catch {
                logger.warning("instances: \(error)")
            }
        }
    }

    /// Asks for the next pending change when nothing else is going on. Pausing automation stops it.
    func advanceRoster() async {
        noteRosterOutcome()
        let now = clock.monotonic()
        let transition = state.withLock { state -> Transition? in
            guard !state.isHalted, !state.control.isPaused, state.control.operation == nil,
                now >= state.rosterRetry.notBefore
            else { return nil }
            var roster = state.control.roster
            return roster?.next(state.control.table)
        }
        guard let transition, let kind = OperationKind(transition) else { return }
        do {
            let status = try await submit(
                OperationRequest(kind: kind, by: Self.rosterOperator, reason: "as configured"), from: nil)
            state.withLock { $0.rosterRetry.operation = status.id }
        } catch let problem as APIProblem where problem.code == .locked {
            // An operator was faster.
        } catch {
            let problem = (error as? APIProblem)?.message ?? "\(error)"
            logger.warning("\(kind.command) as configured is not possible now: \(problem)")
            postponeRoster()
        }
    }

    /// Whether the operation that was asked for last has brought the table closer.
    private func noteRosterOutcome() {
        guard let id = state.withLock({ $0.rosterRetry.operation }), let status = try? journal.operation(id),
            let outcome = status.outcome
        else { return }
        if outcome.code == .done { state.withLock { $0.rosterRetry.succeed() } } else { postponeRoster() }
    }

    private func postponeRoster() {
        let now = clock.monotonic()
        state.withLock { $0.rosterRetry.fail(at: now) }
        do {
            try commit { control, _ in
                let table = control.table
                _ = control.roster?.next(table)
                control.roster?.postpone()
            }
        } catch {
            logger.warning("instances: \(error)")
        }
    }

    /// Counts the sessions that are lost with an instance, as its bridge knows them.
    func countLoss(_ name: String, _ operation: RunningOperation) async throws -> StepResult {
        guard let instance = currentTable.instances.first(where: { $0.name == name }) else { return .done }
        let description = await verification.describe(instance: instance)
        try commit { next, drafts in
            next.operation?.lost = description.sessions ?? 0
            drafts.append(
                Draft(
                    .event,
                    description.sessions.map { "\($0) sessions are given up with \(name) (--force)" }
                        ?? "\(name) does not say how many sessions are given up with it (--force)",
                    operation: operation))
        }
        return .done
    }
}

extension OperationKind {
    /// Nil for what the roster never asks for.
    init?(_ transition: Transition) {
        switch transition {
        case .addInstance(let name, let url, let weight): self = .addInstance(name: name, url: url, weight: weight)
        case .removeInstance(let name, let force): self = .removeInstance(name: name, force: force)
        case .setWeight(let instance, let weight): self = .setWeight(instance: instance, weight: weight)
        case .drain(let instance, let deadline, let force):
            self = .drain(instance: instance, deadlineSeconds: deadline, force: force)
        case .undrain(let instance): self = .undrain(instance: instance)
        default: return nil
        }
    }
}
