import ControlAPI
import Logging
import NIOCore
import SessionStore
import Synchronization
import UnstickCore

extension Coordinator {
    /// One look at instances and pending relaxations. Never holds up an operator: it publishes only while no operation
    /// is between two publications.
    func reconcile() async {
        await refreshDescriptions()
        let action = state.withLock { state -> Reconciliation.Action? in
            guard !state.isHalted else { return nil }
            let observations = state.descriptions.map { description in
                Reconciliation.Observation(
                    name: description.name, isUnhealthyEverywhere: isUnhealthyEverywhere(description.name, state),
                    answers: description.incarnation != nil && description.problem == nil)
            }
            let action = state.reconciliation.decide(
                table: state.control.table, isSettled: state.control.ledger.isSettled, observations: observations,
                failuresLimit: options.fencingFailures, isPaused: state.control.isPaused)
            return state.control.mayReconcile ? action : nil
        }
        do {
            switch action {
            case .publish(let change, let isUrgent, let reason): try reconcile(change, isUrgent: isUrgent, reason)
            case .readmit(let instance): try await readmit(instance)
            case nil: break
            }
            try keepSoak()
        } catch {
            logger.warning("reconciliation: \(error)")
        }
    }

    private func reconcile(_ change: TableChange, isUrgent: Bool, _ reason: String) throws {
        try commit { next, drafts in
            guard next.mayReconcile,
                let table = try Self.publish(change, isUrgent ? .urgent : .orderly, in: &next)
            else { return }
            drafts.append(
                Draft(.table, "epoch \(table.epoch): \(change.words); \(reason)", detail: Draft.json(table)))
        }
    }

    private func readmit(_ name: String) async throws {
        let table = currentTable
        guard let instance = table.instances.first(where: { $0.name == name }) else { return }
        let report = await verification.evict(instance: instance, scope: .staleOnly, table: table)
        guard report.isComplete else {
            let reason = report.inconclusive.first ?? "\(report.onlyHere) sessions there differ from the store"
            logger.warning("\(name) is not readmitted: \(reason); restart it, or `unstick undrain \(name)`")
            return
        }
        try reconcile(
            .instance(name, .fencing), isUrgent: false,
            "\(name) answers again; \(report.evicted) stale sessions were evicted there")
    }

    private func isUnhealthyEverywhere(_ name: String, _ state: State) -> Bool {
        let now = clock.monotonic()
        let alive = state.proxies.filter { entry in
            state.control.ledger.entries[entry.key] != nil && now - entry.value.heardAt <= options.silenceLimit
        }
        return !alive.isEmpty
            && alive.values.allSatisfy { proxy in
                proxy.report.instances.contains { $0.name == name && $0.health == .unhealthy }
            }
    }

    /// The soak begins when every proxy has acknowledged 100 %; it ends with the ramp or the phase.
    private func keepSoak() throws {
        let begins = state.withLock { state in
            let control = state.control
            return control.soak == nil && control.table.phase == .stateless && control.table.rampPercent == 100
                && control.ledger.isSettled && !control.ledger.entries.isEmpty
                && control.ledger.entries.keys.allSatisfy { state.proxies[$0] != nil }
        }
        guard begins else { return }
        let marks = state.withLock { state in
            state.proxies.mapValues { proxy in
                ControlState.FallbackMark(
                    incarnation: proxy.report.incarnation, count: proxy.report.counters.fallbackReads)
            }
        }
        try commit { next, drafts in
            next.soak = ControlState.Soak(since: clock.wall(), fallbackReads: marks)
            drafts.append(Draft(.event, "every proxy is at 100 %: the soak begins"))
        }
    }

    // MARK: In the background

    /// Keeps coverage fresh. In `mirroring`, until deaths are covered, it saves what the store lacks, so that coverage
    /// grows by itself; when nothing is left, they are covered from the next epoch on.
    func verifyInBackground() async {
        await refreshStoreProbe()
        let table = state.withLock { state -> RoutingTable? in
            let control = state.control
            guard !state.isHalted, control.operation == nil, !control.isPaused else { return nil }
            // A proxy that is still in `sticky` mirrors nothing: what is compared would not stay true.
            guard control.ledger.isSettled else { return nil }
            return control.table.phase.mirrors && control.table.phase != .completed ? control.table : nil
        }
        guard let table else { return }
        let covers = CoexistenceLevel(table) == .mirroringUncovered
        let report = await verification.verify(
            table: table, instances: nil, backfill: covers, passes: covers ? options.verificationPasses : 2,
            progress: { coverage in self.state.withLock { $0.coverage = coverage } })
        state.withLock { state in
            guard state.control.table.generation == table.generation else { return }
            state.verification = report
            state.coverage = report.coverage
        }
        signal.notify()
        guard covers, report.isComplete else { return }
        do {
            try commit { next, drafts in
                // Only if everybody was in `mirroring` from the verification's beginning to now.
                guard next.mayReconcile, next.operation == nil, next.table.epoch == table.epoch,
                    let covered = try Self.publish(.mirroring(.serve), .orderly, in: &next)
                else { return }
                drafts.append(
                    Draft(
                        .table,
                        "epoch \(covered.epoch): every session is in the store: from now on sessions that a memory lacks "
                            + "come from there", detail: Draft.json(covered)))
            }
        } catch {
            logger.warning("coverage: \(error)")
        }
    }

    /// Batches are bounded so that the store serves requests in between.
    func sweep() async {
        let (generation, isPaused) = state.withLock { ($0.control.table.generation, $0.control.isPaused) }
        guard !isPaused, generation != .none else { return }
        for _ in 0..<10 where !Task.isCancelled {
            do {
                let deleted = try await store.sweep(olderThan: generation, limit: 1000, on: eventLoop).get()
                if deleted < 1000 { return }
            } catch {
                logger.warning("sweep: \(error)")
                return
            }
        }
    }
}

extension ControlState {
    /// Whether no operation is under way that plans with the table as it is. One that waits for an instance to empty
    /// may wait for hours; meanwhile others may die.
    fileprivate var mayReconcile: Bool {
        guard let operation else { return true }
        switch operation.current {
        case .awaitZeros, .awaitSessionsEnd: return true
        default: return false
        }
    }
}
