import ControlAPI
import NIOCore
import SessionStore
import Synchronization
import UnstickCore

extension Coordinator {
    /// Takes a step that publishes nothing.
    /// - Throws: `CancellationError`, ``Halted``, ``JournalError``: the step will be taken again.
    func perform(_ step: PlanStep, _ operation: RunningOperation) async throws -> StepResult {
        // A dry run looks at everything and changes nothing.
        if operation.request.dryRun {
            switch step {
            case .check, .verify: break
            default: return .done
            }
        }
        switch step {
        case .check(let gates): return try await check(gates, operation)
        case .beginGeneration(let generation): return try await begin(generation, operation)
        case .publish: return .failed("a publication is not a step to perform")
        case .awaitAcknowledgements: return try await awaitAcknowledgements(operation)
        case .verify(let demand): return try await verify(demand, operation)
        case .repatriate: return try await repatriate(isCheck: false, operation)
        case .checkHomes: return try await repatriate(isCheck: true, operation)
        case .evict(let instance, let staleOnly):
            return try await evict(instance, staleOnly ? .staleOnly : .everything, operation)
        case .awaitZeros(let name, let deadlineSeconds, let force):
            return try await awaitZeros(name, deadlineSeconds, force: force, operation)
        case .awaitSessionsEnd(let name, let deadlineSeconds, let force):
            return try await awaitSessionsEnd(name, deadlineSeconds, force: force, operation)
        case .countLoss(let name): return try await countLoss(name, operation)
        }
    }

    // MARK: Gates

    private func check(_ set: PlanStep.GateSet, _ operation: RunningOperation) async throws -> StepResult {
        async let probe: Void = refreshStoreProbe()
        async let descriptions: Void = refreshDescriptions()
        _ = await (probe, descriptions)
        return try await judge(operation) { Gates.evaluate(set, $0) }
    }

    /// Evaluates gates, again for a while when the next report may turn those that refuse; then journals them.
    private func judge(
        _ operation: RunningOperation, _ gates: @Sendable (GateEvidence) -> [GateResult]
    ) async throws -> StepResult {
        let deadline = clock.monotonic() + options.gatePatience
        let verdict: Verdict? = try await wait(until: deadline) { state in
            if operation.undo == nil, let reason = state.control.operation?.interruption { return .interrupted(reason) }
            let results = gates(self.evidence(state))
            let failing = results.filter { $0.verdict != .pass }
            return failing.isEmpty || !failing.allSatisfy(Gates.mendsItself)
                ? .judged(results) : nil
        }
        let results: [GateResult]
        switch verdict {
        case .interrupted(let reason): return .interrupted(reason)
        case .judged(let judged): results = judged
        case nil: results = gates(state.withLock { self.evidence($0) })
        }
        try commit { next, drafts in
            next.operation?.gates = results
            let failing = results.filter { $0.verdict != .pass }.map(\.name)
            drafts.append(
                Draft(
                    .gate,
                    failing.isEmpty
                        ? "\(results.count) gates pass" : "gates refuse: \(failing.joined(separator: ", "))",
                    operation: operation, detail: Draft.json(results)))
        }
        return Gates.passes(results) ? .done : .refused(results)
    }

    private enum Verdict {
        case judged([GateResult])
        case interrupted(String)
    }

    func evidence(_ state: State) -> GateEvidence {
        let now = clock.monotonic()
        let proxies = state.control.ledger.entries.keys.sorted().map { name in
            let observation = state.proxies[name]
            return GateEvidence.Proxy(
                name: name, report: observation?.report, silence: observation.map { now - $0.heardAt },
                answers: observation?.recent.answers ?? 0, failures: observation?.recent.failures ?? 0)
        }
        return GateEvidence(
            table: state.control.table, ledger: state.control.ledger, proxies: proxies, store: state.storeProbe,
            instances: state.descriptions, verification: state.verification, soak: state.control.soak,
            now: clock.wall(), options: options)
    }

    func refreshStoreProbe() async {
        let result: GateEvidence.Store
        do {
            result = .answered(try await store.probe(on: eventLoop).get())
        } catch {
            result = .failed("\(error)")
        }
        state.withLock { $0.storeProbe = result }
    }

    /// Asks every instance's bridge, all at once; each has its own deadline in the verifier.
    func refreshDescriptions() async {
        let instances = state.withLock { $0.control.table.instances }
        let descriptions = await withTaskGroup(of: InstanceDescription.self) { group in
            for instance in instances { group.addTask { await self.verification.describe(instance: instance) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        state.withLock { $0.descriptions = descriptions.sorted { $0.name < $1.name } }
    }

    // MARK: Store and proxies

    private func begin(_ generation: Generation, _ operation: RunningOperation) async throws -> StepResult {
        let deadline = clock.monotonic() + timeout(operation)
        while true {
            let problem: String
            do {
                if try await store.begin(generation, on: eventLoop).get() { return .done }
                return .failed("the store is already past generation \(generation); another coordinator uses it")
            } catch {
                problem = "\(error)"
            }
            // Forward, nothing has changed yet; on the way back there is no other way than to wait for the store.
            guard operation.undo != nil, clock.monotonic() < deadline else {
                return .failed("the store did not begin generation \(generation): \(problem)")
            }
            try await pause(.seconds(1))
        }
    }

    func timeout(_ operation: RunningOperation) -> Duration {
        operation.request.timeoutSeconds.map { .seconds($0) } ?? options.acknowledgementTimeout
    }

    func pause(_ duration: Duration) async throws {
        _ = try await wait(until: clock.monotonic() + duration) { _ in Never?.none }
    }

    func awaitAcknowledgements(_ operation: RunningOperation) async throws -> StepResult {
        let patience = timeout(operation)
        let result: StepResult? = try await wait(until: clock.monotonic() + patience) { state in
            if state.control.ledger.isSettled { return .done }
            if operation.undo == nil, let reason = state.control.operation?.interruption { return .interrupted(reason) }
            return nil
        }
        if let result { return result }
        let (control, silences) = state.withLock { state in
            (state.control, state.proxies.mapValues { self.clock.monotonic() - $0.heardAt })
        }
        let waiting = control.ledger.unsettled.map { name in
            "\(name) (" + (silences[name].map { "last heard of \($0.words) ago" } ?? "not heard of since the start")
                + ")"
        }
        return .timedOut(
            "\(waiting.joined(separator: ", ")) did not acknowledge epoch \(control.table.epoch) within "
                + "\(patience.words); `unstick proxies forget \(control.ledger.unsettled.first ?? "NAME")` if it is gone"
        )
    }

    // MARK: Sessions

    /// Runs what cannot be interrupted by itself. When another operation goes before this one, the work is cancelled
    /// and left behind: a rollback must not wait for an instance that does not answer.
    private func interruptible<Value: Sendable>(
        _ operation: RunningOperation, _ work: @escaping @Sendable () async -> Value
    ) async throws -> Result<Value, Interruption> {
        let slot = Slot<Value>()
        let task = Task {
            slot.fill(await work())
            self.signal.notify()
        }
        defer { task.cancel() }
        let result: Result<Value, Interruption>? = try await wait(until: .seconds(Int64.max / 2)) { state in
            if let value = slot.value { return .success(value) }
            if operation.undo == nil, let reason = state.control.operation?.interruption {
                return .failure(Interruption(reason: reason))
            }
            return nil
        }
        return result ?? .failure(Interruption(reason: "the end of time"))
    }

    private struct Interruption: Error {
        var reason: String
    }

    private final class Slot<Value: Sendable>: Sendable {
        private let content = Mutex<Value?>(nil)
        var value: Value? { content.withLock { $0 } }
        func fill(_ value: Value) { content.withLock { $0 = value } }
    }

    private func show(_ what: String) -> @Sendable (Coverage) -> Void {
        { coverage in
            self.state.withLock { state in
                state.coverage = coverage
                state.progress = "\(what): \(coverage.externalized) of \(coverage.sessions) sessions"
            }
            self.signal.notify()
        }
    }

    private func verify(
        _ demand: PlanStep.VerificationDemand, _ operation: RunningOperation
    ) async throws -> StepResult {
        let table = currentTable
        var instances: [String]?
        if case .instance(let name, _) = demand { instances = [name] }
        let named = instances
        let backfill = demand == .everything && !operation.request.dryRun
        let verification = verification
        let passes = options.verificationPasses
        let progress = show("verifying")
        let result = try await interruptible(operation) {
            await verification.verify(
                table: table, instances: named, backfill: backfill, passes: passes, progress: progress)
        }
        switch result {
        case .failure(let interruption): return .interrupted(interruption.reason)
        case .success(let report):
            if case .instance(_, let force) = demand {
                let left = report.problemCount + report.recheck
                if force, left > 0, report.inconclusive.isEmpty {
                    try commit { next, drafts in
                        next.operation?.lost = left
                        drafts.append(
                            Draft(
                                .event, "\(left) sessions are given up: they are not in the store (--force)",
                                operation: operation))
                    }
                    return .done
                }
                return try await judge(operation) { evidence in
                    var evidence = evidence
                    evidence.verification = report
                    return Gates.verified(demand, evidence)
                }
            }
            state.withLock { state in
                state.verification = report
                state.coverage = report.coverage
            }
            return try await judge(operation) { evidence in
                var evidence = evidence
                evidence.verification = report
                return Gates.verified(demand, evidence)
            }
        }
    }

    private func repatriate(isCheck: Bool, _ operation: RunningOperation) async throws -> StepResult {
        let table = currentTable
        let verification = verification
        let passes = options.verificationPasses
        let progress = show("bringing sessions home")
        let result = try await interruptible(operation) {
            await verification.repatriate(table: table, passes: passes, progress: progress)
        }
        switch result {
        case .failure(let interruption): return .interrupted(interruption.reason)
        case .success(let report):
            // While everything still moves, some left over says nothing; not being able to look does.
            if !isCheck, report.inconclusive.isEmpty { return .done }
            return try await judge(operation) { _ in [Gates.everySessionRepatriated(report)] }
        }
    }

    /// - Parameter name: nil: every instance of the table.
    private func evict(
        _ name: String?, _ scope: EvictionScope, _ operation: RunningOperation
    ) async throws -> StepResult {
        let table = currentTable
        let verification = verification
        var problems: [String] = []
        for instance in table.instances where name == nil || instance.name == name {
            let result = try await interruptible(operation) {
                await verification.evict(instance: instance, scope: scope, table: table)
            }
            switch result {
            case .failure(let interruption): return .interrupted(interruption.reason)
            case .success(let report):
                if let first = report.inconclusive.first { problems.append("\(instance.name): \(first)") }
                if scope == .everything, report.onlyHere > 0 {
                    problems.append("\(instance.name): \(report.onlyHere) sessions are not in the store")
                }
            }
        }
        guard problems.isEmpty else {
            return .failed("memory was not evicted: \(problems.joined(separator: "; ")); ask again when it is mended")
        }
        return .done
    }
}
