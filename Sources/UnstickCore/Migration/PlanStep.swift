/// One step of a transition. Every step may be taken again after a crash: publishing and moving on are one
/// transaction, everything else only makes true what may already be true.
public enum PlanStep: Sendable, Equatable, Codable {
    /// Evaluates gates; a refusal ends the operation.
    case check(GateSet)
    /// Makes this mirroring run the store's current one.
    case beginGeneration(Generation)
    case publish(TableChange)
    /// Waits until every registered proxy has acknowledged the current epoch.
    case awaitAcknowledgements
    /// Compares memory with the store, and demands that nothing is left.
    case verify(VerificationDemand)
    /// Brings every session's state into its home's memory. Only while the store has the authority: an outdated copy
    /// that arrives late is caught there.
    case repatriate
    /// Demands that every session's state is in its home's memory, moving nothing.
    case checkHomes
    /// Removes from an instance's memory what the store holds (nil: from every instance's).
    case evict(instance: String?, staleOnly: Bool)
    /// Waits for three zeros at a drained instance: requests in flight, sessions, sessions only there.
    case awaitZeros(instance: String, deadlineSeconds: Int?, force: Bool)
    /// Waits until the instance has no session any more (phase `sticky`: there is no store to save them to).
    case awaitSessionsEnd(instance: String, deadlineSeconds: Int?, force: Bool)
    /// Counts what is lost with an instance that leaves although it holds sessions, for the outcome and the journal.
    case countLoss(instance: String)

    /// Which gates a ``check(_:)`` evaluates.
    public enum GateSet: Sendable, Equatable, Codable {
        case mirror
        case externalize
        case switchTo
        case complete(confirm: String)
        case rollbackToMirroring
        case rollbackToSticky
        /// Before a run that covers nothing is given up.
        case abandonMirroring
        case drain(instance: String)
        case undrain(instance: String)
        case addInstance(String)
        /// With `force` sessions may be lost, in `sticky` only.
        case removeInstance(String, force: Bool)
        case setWeight(instance: String, weight: Int)
    }

    public enum VerificationDemand: Sendable, Equatable, Codable {
        /// Every session of every instance, with backfill. Only before a death is covered: later an export that arrives
        /// late could bring back what a dead incarnation held.
        case everything
        /// Compare only, after store errors refuse: the last look before the store gets the authority.
        case final
        /// Compare only, for an operator who asks or before the ramp grows.
        case compare
        /// This instance's sessions, compare only. With `force` what is left is reported as lost, not refused.
        case instance(String, force: Bool)
    }

    /// For people: `wait until every proxy has acknowledged`.
    public var words: String {
        switch self {
        case .check: "check the gates"
        case .beginGeneration(let generation): "begin generation \(generation) in the store"
        case .publish(let change): "publish: \(change.words)"
        case .awaitAcknowledgements: "wait until every proxy has acknowledged"
        case .verify(.everything): "verify every session, saving what the store lacks"
        case .verify(.final): "verify every session once more"
        case .verify(.compare): "verify every session"
        case .verify(.instance(let name, _)): "verify the sessions of \(name)"
        case .repatriate: "bring sessions into their homes' memory"
        case .checkHomes: "check that every session is in its home's memory"
        case .evict(nil, _): "evict what the store holds from every instance's memory"
        case .evict(let name?, staleOnly: false): "evict what the store holds from the memory of \(name)"
        case .evict(let name?, staleOnly: true): "evict stale sessions from the memory of \(name)"
        case .awaitZeros(let name, _, _): "wait until \(name) has no request and no session"
        case .awaitSessionsEnd(let name, _, _): "wait until the sessions of \(name) have ended"
        case .countLoss(let name): "count the sessions that are lost with \(name)"
        }
    }
}

/// A step, and what becomes of the operation when it does not succeed.
public struct PlannedStep: Sendable, Equatable, Codable {
    public enum Recovery: Sendable, Equatable, Codable {
        /// Nothing has changed (since the operation began, or since its last phase was reached).
        case refuse
        /// These steps take back what has changed.
        case undo([PlanStep])
        /// What has been published stands; the operation only reports.
        case stand
        /// The operation has reached its aim without this step and those behind it, and succeeds; what is left goes on
        /// in the background.
        case enough
    }

    public var step: PlanStep
    public var recovery: Recovery
    /// Whether a publication waits for acknowledgements of the epoch before.
    public var urgency: Urgency

    public enum Urgency: String, Sendable, Codable { case orderly, urgent }

    public init(_ step: PlanStep, _ recovery: Recovery, urgency: Urgency = .orderly) {
        self.step = step
        self.recovery = recovery
        self.urgency = urgency
    }
}
