public import ControlAPI
import SessionStore
import Synchronization
import UnstickCore

extension Coordinator {
    public func status() -> StatusReport {
        state.withLock { state in
            let control = state.control
            let now = clock.wall()
            let ramp = control.table.effectiveRamp
            let store =
                switch state.storeProbe {
                case .answered(let probe): probe.description
                case .failed(let reason): "unreachable: \(reason)"
                case nil: "not asked yet"
                }
            return StatusReport(
                migration: options.migration, phase: control.table.phase, epoch: control.table.epoch,
                generation: control.table.generation, rampPercent: control.table.rampPercent,
                actualPercent: control.ledger.isSettled ? ramp : min(ramp, state.settledRamp),
                settled: control.ledger.isSettled, time: now,
                uptimeSeconds: (now.rawValue - startedAt.rawValue) / 1000, coverage: state.coverage,
                operation: control.operation.map {
                    $0.status(progress: state.progressWords, outcome: nil, table: control.table)
                },
                instances: instanceStatuses(state), proxies: proxyStatuses(state),
                gates: nextGates(evidence(state)), store: store)
        }
    }

    public func instances() -> InstancesReport {
        InstancesReport(instances: state.withLock { instanceStatuses($0) })
    }

    public func proxies() -> ProxiesReport {
        state.withLock { ProxiesReport(epoch: $0.control.table.epoch, proxies: proxyStatuses($0)) }
    }

    /// Asks store and bridges afresh; sessions as last verified.
    public func gates() async -> GatesReport {
        async let probe: Void = refreshStoreProbe()
        async let descriptions: Void = refreshDescriptions()
        _ = await (probe, descriptions)
        let evidence = state.withLock { self.evidence($0) }
        return GatesReport(phase: evidence.table.phase, transitions: transitions(evidence))
    }

    public func explain(session id: String) async -> SessionExplanation {
        await verification.explain(id: id, table: currentTable)
    }

    /// Waits up to `patience` for the first entry.
    public func journalEntries(after: Int64, limit: Int, wait patience: Duration) async throws -> JournalPage {
        _ = try await wait(until: clock.monotonic() + min(patience, .seconds(60))) { state in
            state.lastSequence > after ? true : nil
        }
        return JournalPage(entries: try journal.entries(after: after, limit: limit))
    }

    // MARK: Parts

    private func transitions(_ evidence: GateEvidence) -> [GatesReport.TransitionGates] {
        typealias Gate = GatesReport.TransitionGates
        func gates(_ set: PlanStep.GateSet, _ demand: PlanStep.VerificationDemand? = nil) -> [GateResult] {
            Gates.evaluate(set, evidence) + (demand.map { Gates.verified($0, evidence) } ?? [])
        }
        return switch evidence.table.phase {
        case .sticky: [Gate(command: "mirror", to: .mirroring, gates: gates(.mirror))]
        case .mirroring:
            [
                Gate(command: "externalize", to: .externalized, gates: gates(.externalize, .final)),
                Gate(
                    command: "rollback --to sticky", to: .sticky,
                    gates: gates(evidence.table.hydrates ? .rollbackToSticky : .abandonMirroring)),
            ]
        case .externalized:
            [
                Gate(command: "switch", to: .stateless, gates: gates(.switchTo, .compare)),
                Gate(command: "rollback --to mirroring", to: .mirroring, gates: gates(.rollbackToMirroring)),
            ]
        case .stateless:
            [
                Gate(command: "switch", to: .stateless, gates: gates(.switchTo, .compare)),
                // The name is asked for when it is typed; the others are judged as if it were right.
                Gate(
                    command: "complete", to: .completed,
                    gates: gates(.complete(confirm: evidence.options.migration))),
                Gate(command: "rollback", to: .externalized, gates: []),
            ]
        case .completed: []
        }
    }

    /// Of the transition forward.
    private func nextGates(_ evidence: GateEvidence) -> [GateResult] {
        if evidence.table.phase == .stateless, evidence.table.rampPercent == 100 {
            return Gates.evaluate(.complete(confirm: evidence.options.migration), evidence)
        }
        return transitions(evidence).first?.gates ?? []
    }

    private func proxyStatuses(_ state: State) -> [ProxyStatus] {
        let now = clock.monotonic()
        return state.control.ledger.entries.sorted { $0.key < $1.key }.map { name, entry -> ProxyStatus in
            guard let observation = state.proxies[name] else {
                // Registered before the coordinator restarted and not heard of since.
                let report = ProxyReport(
                    name: name, incarnation: entry.incarnation, listen: "", acknowledged: entry.acknowledged,
                    applied: nil)
                let silence = clock.wall().rawValue - startedAt.rawValue
                return ProxyStatus(report: report, silentMilliseconds: silence, isAlive: false)
            }
            let silence = now - observation.heardAt
            var report = observation.report
            // What counts is what the ledger accepted.
            report.acknowledged = entry.acknowledged
            return ProxyStatus(
                report: report, silentMilliseconds: silence.wholeMilliseconds, isAlive: silence <= options.silenceLimit)
        }
    }

    private func instanceStatuses(_ state: State) -> [InstanceStatus] {
        state.control.table.instances.map { instance in
            let reports = state.proxies.values.compactMap { proxy in
                proxy.report.instances.first { $0.name == instance.name }
            }
            let description = state.descriptions.first { $0.name == instance.name }
            let health: InstanceReport.Health =
                reports.contains { $0.health == .healthy }
                ? .healthy : reports.contains { $0.health == .unhealthy } ? .unhealthy : .unknown
            let counts = state.verification?.instances.first { $0.name == instance.name }
            return InstanceStatus(
                name: instance.name, url: instance.url, weight: instance.weight, state: instance.state,
                health: health, incarnation: description?.incarnation, framework: description?.framework,
                sessions: description?.sessions, onlyHere: counts?.onlyHere,
                inFlight: reports.reduce(0) { $0 + $1.inFlight }, requests: reports.reduce(0) { $0 + $1.requests },
                note: description?.problem ?? reports.compactMap(\.reason).first ?? description?.warning)
        }
    }
}

extension Duration {
    var wholeMilliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
