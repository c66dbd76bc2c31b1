import ControlAPI
public import Logging
public import NIOCore
public import SessionStore
import Synchronization
import UnstickCore

/// The control plane: keeps the routing table, walks it from phase to phase behind gates, and tells the proxies.
///
/// One lock guards all state; it is held while a change is made durable, because a change that is seen before it is
/// durable could be lost, and proxies act on it. Changes are rare: a few for each operation and each epoch. Everything
/// slow (verification, the store, bridges) happens outside the lock.
public final class Coordinator: Sendable {
    let options: CoordinatorOptions
    let store: any SessionStore
    let verification: any VerificationService
    let journal: Journal
    let clock: CoordinatorClock
    let eventLoop: any EventLoop
    let logger: Logger
    /// Called right after the journal entry at which a request wants the coordinator to die. When it returns (tests),
    /// the coordinator does nothing any more, as if it had died.
    let crash: @Sendable () -> Void
    let signal = ChangeSignal()
    let state: Mutex<State>
    let startedAt: UnixMilliseconds

    /// What is lost with the process, around what is not.
    struct State: Sendable {
        var control: ControlState
        var isHalted = false
        var proxies: [String: ProxyObservation] = [:]
        var reconciliation = Reconciliation()
        var descriptions: [InstanceDescription] = []
        var storeProbe: GateEvidence.Store?
        var verification: VerificationReport?
        var coverage: Coverage?
        var progress = ""
        var lastSequence: Int64
        /// Ramp of the last settled table.
        var settledRamp = 0
        /// When the next change of the roster may be tried, and how often it was in vain.
        var rosterRetry = RosterRetry()
    }

    /// Thrown by everything after the coordinator has halted: it must not change anything any more.
    struct Halted: Error {}

    /// - Parameters:
    ///   - journal: opened by the caller, who closes it after ``run()``.
    ///   - eventLoop: where store operations complete.
    /// - Throws: ``JournalError``.
    public init(
        options: CoordinatorOptions, store: any SessionStore, verification: any VerificationService, journal: Journal,
        eventLoop: any EventLoop, clock: CoordinatorClock = .system, logger: Logger = Logger(label: "coordinator"),
        crash: (@Sendable () -> Void)? = nil
    ) throws {
        self.options = options
        self.store = store
        self.verification = verification
        self.journal = journal
        self.eventLoop = eventLoop
        self.clock = clock
        self.logger = logger
        self.crash = crash ?? { SuddenDeath.kill() }
        startedAt = clock.wall()
        let lastSequence = try journal.lastSequence()
        if let control = try journal.load() {
            state = Mutex(State(control: control, lastSequence: lastSequence))
            try adoptConfiguredInstances()
        } else {
            let table = RoutingTable(
                epoch: Epoch(1), phase: .sticky, generation: .none, instances: options.instances)
            var control = ControlState(table: table)
            control.roster = InstanceRoster(followed: options.instances)
            state = Mutex(State(control: control, lastSequence: lastSequence))
            try commit { next, drafts in
                next = control
                drafts.append(Draft(.table, "\(options.migration) begins in sticky", detail: Draft.json(table)))
            }
        }
        if let operation = state.withLock({ $0.control.operation }) {
            try commit { _, drafts in
                drafts.append(
                    Draft(.event, "the coordinator restarted during \(operation.request.kind.command) and resumes it"))
            }
        }
    }

    /// Owns everything that the coordinator does by itself, until it is cancelled. An operation that runs then is
    /// resumed by the next coordinator on the same journal.
    public func run() async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.runOperations() }
            group.addTask { await self.runTicker() }
            group.addTask {
                await self.every(self.options.checkInterval) {
                    await self.reconcile()
                    await self.advanceRoster()
                }
            }
            group.addTask { await self.every(self.options.verificationInterval) { await self.verifyInBackground() } }
            group.addTask { await self.every(self.options.sweepInterval) { await self.sweep() } }
            if let source = self.options.instanceSource {
                group.addTask { await self.every(source.interval) { await self.followInstances(source) } }
            }
            await group.waitForAll()
        }
        if isHalted { throw Halted() }
    }

    var isHalted: Bool { state.withLock { $0.isHalted } }

    /// Deadlines are looked at when something changes, and at least this often.
    private func runTicker() async {
        while !Task.isCancelled, !isHalted {
            try? await Task.sleep(for: .milliseconds(100))
            tick()
        }
    }

    /// Lets everybody who waits look at the clock.
    func tick() { signal.notify() }

    private func every(_ interval: Duration, _ body: () async -> Void) async {
        while !Task.isCancelled, !isHalted {
            await body()
            let deadline = clock.monotonic() + interval
            _ = try? await wait(until: deadline) { _ in Never?.none }
        }
    }

    // MARK: Changing

    /// A journal entry that is about to be written.
    struct Draft {
        var kind: JournalEntry.Kind
        var message: String
        var operation: RunningOperation?
        var from: String?
        var by: String?
        var reason: String?
        var detail: String?

        init(
            _ kind: JournalEntry.Kind, _ message: String, operation: RunningOperation? = nil, from: String? = nil,
            by: String? = nil, reason: String? = nil, detail: String? = nil
        ) {
            self.kind = kind
            self.message = message
            self.operation = operation
            self.from = from
            self.by = by ?? operation?.request.by
            self.reason = reason
            self.detail = detail
        }

        static func json(_ value: some Encodable) -> String? { try? ControlJSON.text(value) }
    }

    /// Changes the durable state and announces it, in one transaction; then wakes everybody.
    /// - Throws: ``JournalError``: nothing has changed. ``Halted``: nothing has changed, or the coordinator was to die
    ///   at this entry. Whatever `body` throws: nothing has changed.
    @discardableResult
    func commit<Value>(
        _ body: (inout ControlState, inout [Draft]) throws -> Value
    ) throws -> Value {
        try commit(finished: { _ in nil }, body)
    }

    @discardableResult
    func commit<Value>(
        finished: (ControlState) -> OperationStatus?, _ body: (inout ControlState, inout [Draft]) throws -> Value
    ) throws -> Value {
        defer { signal.notify() }
        return try state.withLock { state in
            if state.isHalted { throw Halted() }
            var next = state.control
            var drafts: [Draft] = []
            let value = try body(&next, &drafts)
            let time = clock.wall()
            var mustDie = false
            let entries = drafts.map { draft in
                if let operation = draft.operation {
                    let count = next.count(entryOf: operation.id) ?? operation.entries + 1
                    if count == operation.request.killAtJournalEntry { mustDie = true }
                }
                return JournalEntry(
                    sequence: 0, time: time, kind: draft.kind, operation: draft.operation?.id, epoch: next.table.epoch,
                    by: draft.by, from: draft.from, reason: draft.reason, message: draft.message, detail: draft.detail)
            }
            try journal.commit(entries, state: next, finished: finished(next))
            // Words of the step before must not pass for what the next one found.
            if next.operation?.index != state.control.operation?.index
                || next.operation?.undo?.steps != state.control.operation?.undo?.steps
            {
                state.progress = ""
            }
            state.control = next
            state.lastSequence += Int64(entries.count)
            for entry in entries {
                logger.info(
                    "\(entry.message)", metadata: ["epoch": "\(entry.epoch)", "kind": "\(entry.kind.rawValue)"])
            }
            if mustDie {
                crash()
                state.isHalted = true
                throw Halted()
            }
            return value
        }
    }

    /// Puts a table into the state, if the ledger allows it. Part of a ``commit(_:)``.
    /// - Returns: the table, nil when the change changes nothing.
    static func publish(
        _ change: TableChange, _ urgency: ProxyLedger.Urgency, in control: inout ControlState
    ) throws(ProxyLedger.Refusal) -> RoutingTable? {
        let table = change.applied(to: control.table)
        if change.mode?.phase == .stateless || table.phase != .stateless { control.soak = nil }
        guard table.epoch != control.table.epoch else { return nil }
        try control.ledger.check(publishing: table, urgency)
        control.ledger.publish(table)
        control.table = table
        return table
    }

    // MARK: Waiting

    /// Waits until `condition` gives a value, looking again at every change and tick; nil at the deadline.
    /// - Throws: `CancellationError`, ``Halted``.
    func wait<Value>(until deadline: Duration, _ condition: (State) -> Value?) async throws -> Value? {
        while true {
            let version = signal.version
            let (value, isHalted) = state.withLock { (condition($0), $0.isHalted) }
            if isHalted { throw Halted() }
            if let value { return value }
            if clock.monotonic() >= deadline { return nil }
            try Task.checkCancellation()
            await signal.wait(after: version)
        }
    }
}

extension ControlState {
    /// Counts a journal entry of a running or queued operation.
    fileprivate mutating func count(entryOf id: Int64) -> Int? {
        if operation?.id == id {
            operation!.entries += 1
            return operation!.entries
        }
        if queued?.id == id {
            queued!.entries += 1
            return queued!.entries
        }
        return nil
    }
}
