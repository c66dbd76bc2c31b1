public import UnstickCore

/// What an operator can ask for. One operation runs at a time.
public enum OperationKind: Sendable, Equatable, Codable {
    case mirror
    case verify
    case externalize
    /// `percent` 1 to 100; from `externalized` (2→3) or within `stateless` (a ramp, up or down).
    case switchTo(percent: Int)
    /// `confirm` must be the migration's name.
    case complete(confirm: String)
    /// To `externalized`, `mirroring` or `sticky`; walks every phase between.
    case rollback(to: Phase)
    case drain(instance: String, deadlineSeconds: Int?, force: Bool)
    case undrain(instance: String)
    /// `url` is `http://HOST:PORT`; `weight` 0 to 1000.
    case addInstance(name: String, url: String, weight: Int)
    /// Refused unless it is drained or fenced and holds nothing; in `sticky` `force` gives up what it holds.
    case removeInstance(name: String, force: Bool)
    /// `weight` 0 to 1000; 0: no new sessions.
    case setWeight(instance: String, weight: Int)

    /// The word on the command line.
    public var command: String {
        switch self {
        case .mirror: "mirror"
        case .verify: "verify"
        case .externalize: "externalize"
        case .switchTo: "switch"
        case .complete: "complete"
        case .rollback: "rollback"
        case .drain: "drain"
        case .undrain: "undrain"
        case .addInstance: "instances add"
        case .removeInstance: "instances remove"
        case .setWeight: "instances weight"
        }
    }
}

/// `POST /v1/operations`.
public struct OperationRequest: Sendable, Codable {
    public var kind: OperationKind
    /// `user@host`.
    public var by: String
    public var reason: String?
    /// Runs the planner and every gate, changes nothing.
    public var dryRun: Bool
    /// Refused with ``OperationOutcome/Code/locked`` unless the table is still at this epoch.
    public var expectedEpoch: Epoch?
    /// Seconds after which the operation gives up and undoes what it can; nil: the coordinator's default.
    public var timeoutSeconds: Int?
    /// For rehearsals of a crash: the coordinator kills itself (SIGKILL) as soon as this operation's k-th journal entry
    /// (from 1) is durable. Refused unless the coordinator was started with kill points allowed.
    public var killAtJournalEntry: Int?

    public init(
        kind: OperationKind, by: String, reason: String? = nil, dryRun: Bool = false, expectedEpoch: Epoch? = nil,
        timeoutSeconds: Int? = nil, killAtJournalEntry: Int? = nil
    ) {
        self.kind = kind
        self.by = by
        self.reason = reason
        self.dryRun = dryRun
        self.expectedEpoch = expectedEpoch
        self.timeoutSeconds = timeoutSeconds
        self.killAtJournalEntry = killAtJournalEntry
    }
}

/// `POST /v1/automation`: stops or resumes what the coordinator does by itself; never traffic, never operations.
public struct AutomationRequest: Sendable, Codable {
    public var paused: Bool
    /// `user@host`.
    public var by: String
    public var reason: String?

    public init(paused: Bool, by: String, reason: String? = nil) {
        self.paused = paused
        self.by = by
        self.reason = reason
    }
}

/// The answer to an ``AutomationRequest``.
public struct AutomationStatus: Sendable, Codable, Equatable {
    public static let schema = "unstick.automation/v1"
    public var schema = AutomationStatus.schema
    public var paused: Bool
    public init(paused: Bool) { self.paused = paused }
}

/// How an operation ended; the raw value is the command line's exit code (contract).
public struct OperationOutcome: Sendable, Codable, Equatable {
    public enum Code: Int, Sendable, Codable {
        case done = 0
        case failed = 1
        case invalid = 2
        case refused = 3
        case timedOut = 4
        case locked = 5
        case rolledBack = 6
        case needsRepair = 7
    }
    public var code: Code
    /// One sentence for a person: what happened, and what to do next.
    public var message: String
    public var gates: [GateResult]

    public init(code: Code, message: String, gates: [GateResult] = []) {
        self.code = code
        self.message = message
        self.gates = gates
    }
}

/// `GET /v1/operations/ID?wait=SECONDS`: answers when the operation ends or its progress changed, or after `wait`.
public struct OperationStatus: Sendable, Codable {
    public static let schema = "unstick.operation/v1"
    public var schema = OperationStatus.schema
    public var id: Int64
    public var kind: OperationKind
    public var by: String
    public var reason: String?
    public var dryRun: Bool
    public var startedAt: UnixMilliseconds
    /// What it does now, for a person: `waiting for proxy-2 to acknowledge epoch 7`.
    public var progress: String
    /// Steps done and in all.
    public var step: Int
    public var steps: Int
    /// The plan in words, one per step.
    public var plan: [String]
    /// Nil while it runs.
    public var outcome: OperationOutcome?
    public var phase: Phase
    public var epoch: Epoch

    public init(
        id: Int64, kind: OperationKind, by: String, reason: String?, dryRun: Bool, startedAt: UnixMilliseconds,
        progress: String, step: Int, steps: Int, plan: [String], outcome: OperationOutcome?, phase: Phase, epoch: Epoch
    ) {
        self.id = id
        self.kind = kind
        self.by = by
        self.reason = reason
        self.dryRun = dryRun
        self.startedAt = startedAt
        self.progress = progress
        self.step = step
        self.steps = steps
        self.plan = plan
        self.outcome = outcome
        self.phase = phase
        self.epoch = epoch
    }
}

/// One line of the journal. `GET /v1/journal?after=SEQ&limit=N&wait=SECONDS`.
public struct JournalEntry: Sendable, Codable, Equatable {
    public enum Kind: String, Sendable, Codable {
        /// An operation is about to run; everything that it may do follows it.
        case intent
        /// A gate was evaluated for it.
        case gate
        /// A step is about to be taken.
        case step
        /// A table was published.
        case table
        /// A proxy or instance joined, left, failed, was fenced or forgotten.
        case event
        /// The operation ended.
        case outcome
    }
    public var sequence: Int64
    public var time: UnixMilliseconds
    public var kind: Kind
    public var operation: Int64?
    public var epoch: Epoch
    public var by: String?
    public var from: String?
    public var reason: String?
    public var message: String
    /// JSON, by kind; sessions appear by their keyed hash only.
    public var detail: String?

    public init(
        sequence: Int64, time: UnixMilliseconds, kind: Kind, operation: Int64?, epoch: Epoch, by: String? = nil,
        from: String? = nil, reason: String? = nil, message: String, detail: String? = nil
    ) {
        self.sequence = sequence
        self.time = time
        self.kind = kind
        self.operation = operation
        self.epoch = epoch
        self.by = by
        self.from = from
        self.reason = reason
        self.message = message
        self.detail = detail
    }
}

public struct JournalPage: Sendable, Codable {
    public static let schema = "unstick.journal/v1"
    public var schema = JournalPage.schema
    public var entries: [JournalEntry]
    public init(entries: [JournalEntry]) { self.entries = entries }
}

/// `POST /v1/sessions/explain`; the id travels in the body and is never stored or logged.
public struct ExplainRequest: Sendable, Codable {
    public var id: String
    public init(id: String) { self.id = id }
}

/// Where a session is and where its next request would go.
public struct SessionExplanation: Sendable, Codable {
    public static let schema = "unstick.session/v1"
    public var schema = SessionExplanation.schema
    /// Keyed hash, as in logs.
    public var hash: String
    public var rampBucket: Int
    public var inRamp: Bool
    public var store: StoreCopy?
    public var memory: [MemoryCopy]
    public var effectiveHome: String?
    /// `in the store at version 12, same as web-1's memory` …
    public var verdict: String

    public struct StoreCopy: Sendable, Codable {
        public var version: VersionTag
        public var generation: Generation
        public var isTombstone: Bool
        public var home: String
        public var size: Int
        public var expiresAt: UnixMilliseconds
        public init(
            version: VersionTag, generation: Generation, isTombstone: Bool, home: String, size: Int,
            expiresAt: UnixMilliseconds
        ) {
            self.version = version
            self.generation = generation
            self.isTombstone = isTombstone
            self.home = home
            self.size = size
            self.expiresAt = expiresAt
        }
    }

    public struct MemoryCopy: Sendable, Codable {
        public var instance: String
        /// Nil: the instance does not hold it. See `problem` when it could not be asked.
        public var version: VersionTag?
        public var problem: String?
        public init(instance: String, version: VersionTag?, problem: String?) {
            self.instance = instance
            self.version = version
            self.problem = problem
        }
    }

    public init(
        hash: String, rampBucket: Int, inRamp: Bool, store: StoreCopy?, memory: [MemoryCopy], effectiveHome: String?,
        verdict: String
    ) {
        self.hash = hash
        self.rampBucket = rampBucket
        self.inRamp = inRamp
        self.store = store
        self.memory = memory
        self.effectiveHome = effectiveHome
        self.verdict = verdict
    }
}

/// The body of every answer with a status of 400 and up.
public struct APIProblem: Sendable, Codable, Error {
    public static let schema = "unstick.error/v1"
    public var schema = APIProblem.schema
    public var code: OperationOutcome.Code
    public var message: String
    public init(code: OperationOutcome.Code, message: String) {
        self.code = code
        self.message = message
    }
}
