/// What an operation wants of the table.
public enum Transition: Sendable, Equatable {
    case verify
    case mirror
    case externalize
    case switchTo(percent: Int)
    case complete(confirm: String)
    case rollback(to: Phase)
    case drain(instance: String, deadlineSeconds: Int?, force: Bool)
    case undrain(instance: String)
    case addInstance(name: String, url: String, weight: Int)
    case removeInstance(name: String, force: Bool)
    case setWeight(instance: String, weight: Int)
}

/// Why there is no plan.
public enum PlanError: Error, Sendable, Equatable {
    /// The request makes no sense in any phase; exit 2.
    case invalid(String)
    /// The table is not where the request begins; exit 3.
    case misplaced(String)
}

/// The steps of a transition, and for each what takes it back. Pure: the same table gives the same plan.
public struct TransitionPlan: Sendable, Equatable {
    public var steps: [PlannedStep]

    /// - Parameter generation: the higher of the table's and the store's.
    public static func plan(
        for transition: Transition, table: RoutingTable, latestGeneration generation: Generation
    ) throws(PlanError) -> TransitionPlan {
        switch transition {
        case .verify:
            guard table.phase.mirrors else {
                throw .misplaced("there is nothing to verify in \(table.phase); run `unstick mirror` first")
            }
            // What the store lacks is saved as long as no death is covered; a complete verification then covers.
            guard table.hydrates else {
                return TransitionPlan(steps: [
                    PlannedStep(.verify(.everything), .refuse),
                    PlannedStep(.publish(.mirroring(.serve)), .refuse),
                    PlannedStep(.awaitAcknowledgements, .stand),
                ])
            }
            return TransitionPlan(steps: [PlannedStep(.verify(.compare), .refuse)])
        case .mirror:
            if table.phase == .mirroring { return TransitionPlan(steps: table.hydrates ? coverAgain : cover) }
            try demand(.sticky, table, "mirror")
            return TransitionPlan(steps: mirror(generation.nextOpen))
        case .externalize:
            if table.phase == .externalized { return already }
            try demand(.mirroring, table, "externalize")
            return TransitionPlan(steps: (table.hydrates ? [] : cover) + externalize)
        case .switchTo(let percent):
            guard (1...100).contains(percent) else { throw .invalid("percent must be 1 to 100, not \(percent)") }
            guard table.phase == .externalized || table.phase == .stateless else {
                throw .misplaced(
                    "`switch` begins in externalized or stateless; the table is in \(table.phase)"
                        + (table.phase < .externalized ? ": run `unstick externalize` first" : ""))
            }
            return TransitionPlan(steps: switchTo(percent, table))
        case .complete(let confirm):
            if table.phase == .completed {
                return TransitionPlan(steps: [
                    PlannedStep(.awaitAcknowledgements, .stand),
                    PlannedStep(.evict(instance: nil, staleOnly: false), .stand),
                ])
            }
            try demand(.stateless, table, "complete")
            return TransitionPlan(steps: complete(confirm))
        case .rollback(let target):
            return try rollback(to: target, table, generation)
        case .drain(let name, let deadlineSeconds, let force):
            return try drain(name, deadlineSeconds, force, table)
        case .undrain(let name):
            return try undrain(name, table)
        case .addInstance(let name, let url, let weight):
            return try add(RoutingTable.Instance(name: name, url: url, weight: weight, state: .draining), table)
        case .removeInstance(let name, let force):
            return try remove(name, force, table)
        case .setWeight(let name, let weight):
            return try setWeight(name, weight, table)
        }
    }

    /// The table is where it should be; a proxy may still have to hear of it.
    static let already = TransitionPlan(steps: [PlannedStep(.awaitAcknowledgements, .stand)])

    private static func demand(_ phase: Phase, _ table: RoutingTable, _ command: String) throws(PlanError) {
        guard table.phase == phase else {
            throw .misplaced("`\(command)` begins in \(phase); the table is in \(table.phase)")
        }
    }

    // MARK: Forward

    /// Covers at once when a verification is complete within the operation; otherwise some sessions are in memory only,
    /// and reconciliation covers later.
    static func mirror(_ generation: Generation) -> [PlannedStep] {
        [
            PlannedStep(.check(.mirror), .refuse),
            PlannedStep(.beginGeneration(generation), .refuse),
            PlannedStep(.publish(.mirroringUncovered(generation: generation)), .refuse),
            PlannedStep(
                .awaitAcknowledgements,
                .undo([.publish(.sticky(generation: generation.closing)), .beginGeneration(generation.closing)])),
            PlannedStep(.verify(.everything), .enough),
            PlannedStep(.publish(.mirroring(.serve)), .enough),
            PlannedStep(.awaitAcknowledgements, .stand),
        ]
    }

    /// From then on sessions that memory lacks come from the store. Not while a proxy may be in `sticky`: a logout
    /// through that one leaves no tombstone. It stands when somebody is late: both are `mirroring`.
    static var cover: [PlannedStep] {
        [
            PlannedStep(.check(.externalize), .refuse),
            PlannedStep(.verify(.everything), .refuse),
            PlannedStep(.publish(.mirroring(.serve)), .refuse),
            PlannedStep(.awaitAcknowledgements, .stand),
        ]
    }

    /// For sessions that never reached the store and are not used any more: nothing else saves those in `mirroring`.
    static var coverAgain: [PlannedStep] {
        [
            PlannedStep(.check(.rollbackToSticky), .refuse),
            PlannedStep(.checkHomes, .refuse),
            PlannedStep(.publish(.mirroringUncovered()), .refuse),
            PlannedStep(.awaitAcknowledgements, .undo([.publish(.mirroring(.serve))])),
        ] + cover
    }

    /// Up to the first publication a refusal leaves the epoch as it is. Then store errors refuse, because a session
    /// that gets dirty behind the final verification would be served stale by the store; and re-homing stays off until
    /// nobody is in `mirroring`, because such a proxy trusts a memory that a request served elsewhere has overtaken.
    static var externalize: [PlannedStep] {
        let serveAgain = PlannedStep.Recovery.undo([.publish(.mirroring(.serve))])
        // Relaxed to `serve` once all have acknowledged, by reconciliation: that may take as long as a silent proxy.
        let refuseAgain = PlannedStep.Recovery.undo([.publish(.mirroring(.refuse))])
        return [
            PlannedStep(.check(.externalize), .refuse),
            PlannedStep(.verify(.compare), .refuse),
            PlannedStep(.publish(.mirroring(.refuse)), .refuse),
            PlannedStep(.awaitAcknowledgements, serveAgain),
            PlannedStep(.verify(.final), serveAgain),
            PlannedStep(.publish(.externalized(rehoming: false)), serveAgain),
            PlannedStep(.awaitAcknowledgements, refuseAgain),
            PlannedStep(.publish(.externalized(rehoming: true)), .stand),
            PlannedStep(.awaitAcknowledgements, .stand),
        ]
    }

    static func switchTo(_ percent: Int, _ table: RoutingTable) -> [PlannedStep] {
        // What the operator did is taken back to what was, re-homing included: it may have been off for a moment.
        let before: PlanStep =
            table.phase == .externalized
            ? .publish(.externalized(rehoming: true)) : .publish(.mode(of: table))
        return [
            PlannedStep(.check(.switchTo), .refuse),
            PlannedStep(.verify(.compare), .refuse),
            PlannedStep(.publish(.stateless(percent: percent)), .refuse),
            PlannedStep(.awaitAcknowledgements, .undo([before])),
        ]
    }

    static func complete(_ confirm: String) -> [PlannedStep] {
        [
            PlannedStep(.check(.complete(confirm: confirm)), .refuse),
            PlannedStep(.publish(.completed()), .refuse),
            PlannedStep(.awaitAcknowledgements, .stand),
            PlannedStep(.evict(instance: nil, staleOnly: false), .stand),
        ]
    }

    // MARK: Back

    private static func rollback(
        to target: Phase, _ table: RoutingTable, _ generation: Generation
    ) throws(PlanError) -> TransitionPlan {
        guard table.phase != .completed else {
            throw .misplaced("the migration is completed: there is no way back")
        }
        guard target <= .externalized else {
            throw .invalid("rollback goes to externalized, mirroring or sticky, not to \(target)")
        }
        guard target <= table.phase else {
            throw .invalid("the table is in \(table.phase), which is already behind \(target)")
        }
        if target == table.phase { return already }
        var steps: [PlannedStep] = []
        if table.phase == .stateless { steps += rollbackToExternalized }
        if table.phase >= .externalized, target <= .mirroring { steps += rollbackToMirroring }
        if table.phase >= .mirroring, target == .sticky {
            if table.phase > .mirroring || table.hydrates { steps += uncover }
            steps += abandon(generation)
        }
        return TransitionPlan(steps: steps)
    }

    /// No gate: this one has to work when everything else fails.
    static var rollbackToExternalized: [PlannedStep] {
        [
            PlannedStep(.publish(.externalized(rehoming: true)), .stand, urgency: .urgent),
            PlannedStep(.awaitAcknowledgements, .stand),
        ]
    }

    static var rollbackToMirroring: [PlannedStep] {
        let rehomeAgain = PlannedStep.Recovery.undo([.publish(.externalized(rehoming: true))])
        // Re-homing is switched on again once all have acknowledged, by reconciliation.
        let externalizedAgain = PlannedStep.Recovery.undo([.publish(.externalized(rehoming: false))])
        return [
            PlannedStep(.check(.rollbackToMirroring), .refuse),
            // Shortens the one below, in which requests of sessions whose home is gone fail.
            PlannedStep(.repatriate, .refuse),
            PlannedStep(.publish(.externalized(rehoming: false)), .refuse),
            PlannedStep(.awaitAcknowledgements, rehomeAgain),
            PlannedStep(.repatriate, rehomeAgain),
            // What ran while sessions were copied is in the store before the check looks.
            PlannedStep(.publish(.barrier()), rehomeAgain),
            PlannedStep(.awaitAcknowledgements, rehomeAgain),
            PlannedStep(.checkHomes, rehomeAgain),
            PlannedStep(.publish(.mirroring(.refuse)), rehomeAgain),
            PlannedStep(.awaitAcknowledgements, externalizedAgain),
            PlannedStep(.publish(.mirroring(.serve)), .stand),
            PlannedStep(.awaitAcknowledgements, .stand),
        ]
    }

    /// 1→0, first half. Memory has the authority: it is looked at and not touched. A home that lacks a session is a
    /// refusal; the way out is `externalize` and back.
    static var uncover: [PlannedStep] {
        [
            PlannedStep(.check(.rollbackToSticky), .refuse),
            PlannedStep(.checkHomes, .refuse),
            PlannedStep(.publish(.mirroringUncovered()), .refuse),
            PlannedStep(.awaitAcknowledgements, .undo([.publish(.mirroring(.serve))])),
        ]
    }

    /// 1→0, second half. The store's run is closed before a proxy stops mirroring, so that one that starts without
    /// knowing the table never serves its copies.
    static func abandon(_ generation: Generation) -> [PlannedStep] {
        let closed = generation.closing
        // A proxy in `sticky` wrote nothing to the store: its copies are of a run that is over.
        let mirrorAgain = PlannedStep.Recovery.undo([
            .beginGeneration(closed.nextOpen), .publish(.mirroringUncovered(generation: closed.nextOpen)),
        ])
        return [
            PlannedStep(.check(.abandonMirroring), .refuse),
            PlannedStep(.beginGeneration(closed), .refuse),
            PlannedStep(.publish(.sticky(generation: closed)), mirrorAgain),
            PlannedStep(.awaitAcknowledgements, mirrorAgain),
        ]
    }

    // MARK: Instances

    private static func drain(
        _ name: String, _ deadlineSeconds: Int?, _ force: Bool, _ table: RoutingTable
    ) throws(PlanError) -> TransitionPlan {
        let instance = try find(name, table)
        guard table.phase != .mirroring || table.hydrates else {
            throw .misplaced("not every session is in the store yet; wait until coverage is complete")
        }
        let last = PlannedStep(
            table.phase.mirrors
                ? .awaitZeros(instance: name, deadlineSeconds: deadlineSeconds, force: force)
                : .awaitSessionsEnd(instance: name, deadlineSeconds: deadlineSeconds, force: force),
            .stand)
        switch instance.state {
        case .fencing, .fenced: throw .misplaced("\(name) is \(instance.state.rawValue): it is out of service already")
        case .drained: return TransitionPlan(steps: [PlannedStep(.awaitAcknowledgements, .stand), last])
        case .active, .draining: break
        }
        let backToActive: PlannedStep.Recovery =
            instance.state == .active ? .undo([.publish(.instance(name, .active))]) : .stand
        let leave = [
            PlannedStep(.check(.drain(instance: name)), .refuse),
            PlannedStep(.publish(.instance(name, .draining)), .refuse),
            PlannedStep(.awaitAcknowledgements, backToActive),
        ]
        guard table.phase.mirrors else {
            return TransitionPlan(
                steps: leave + [
                    last, PlannedStep(.publish(.instance(name, .drained)), .stand),
                    PlannedStep(.awaitAcknowledgements, .stand),
                ])
        }
        return TransitionPlan(
            steps: leave + [
                PlannedStep(.verify(.instance(name, force: force)), backToActive),
                PlannedStep(.publish(.instance(name, .drained)), backToActive),
                // Some sessions may already live elsewhere: only `undrain` may make it active again.
                PlannedStep(.awaitAcknowledgements, .undo([.publish(.instance(name, .draining))])),
                last,
            ])
    }

    private static func undrain(_ name: String, _ table: RoutingTable) throws(PlanError) -> TransitionPlan {
        let instance = try find(name, table)
        let activate = PlannedStep(.publish(.instance(name, .active)), .refuse)
        let check = PlannedStep(.check(.undrain(instance: name)), .refuse)
        switch instance.state {
        case .active:
            return already
        case .draining, .fencing:
            // Its sessions never left; a copy there can be stale only after an interrupted drain.
            let evict = PlannedStep(.evict(instance: name, staleOnly: true), .refuse)
            return TransitionPlan(
                steps: [check] + (table.phase.mirrors ? [evict] : [])
                    + [
                        activate,
                        PlannedStep(.awaitAcknowledgements, .undo([.publish(.instance(name, instance.state))])),
                    ])
        case .drained, .fenced:
            guard table.phase.mirrors else {
                return TransitionPlan(steps: [
                    check, activate,
                    PlannedStep(.awaitAcknowledgements, .undo([.publish(.instance(name, instance.state))])),
                ])
            }
            // By way of `draining`: a proxy that still sends its sessions elsewhere and one that already trusts its
            // memory (phase `mirroring`) must not coexist.
            let away = PlannedStep.Recovery.undo([.publish(.instance(name, instance.state))])
            return TransitionPlan(steps: [
                check,
                PlannedStep(.evict(instance: name, staleOnly: true), .refuse),
                PlannedStep(.publish(.instance(name, .draining)), .refuse),
                PlannedStep(.awaitAcknowledgements, away),
                PlannedStep(.publish(.instance(name, .active)), away),
                PlannedStep(.awaitAcknowledgements, .undo([.publish(.instance(name, .draining))])),
            ])
        }
    }

    static func find(_ name: String, _ table: RoutingTable) throws(PlanError) -> RoutingTable.Instance {
        guard let instance = table.instances.first(where: { $0.name == name }) else {
            let known = table.instances.map(\.name).joined(separator: ", ")
            throw .invalid("there is no instance '\(name)'; known are \(known)")
        }
        return instance
    }
}
