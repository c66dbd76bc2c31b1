public import UnstickCore

/// `GET /v1/status`, `unstick status -o json`.
public struct StatusReport: Sendable, Codable {
    public static let schema = "unstick.status/v1"
    public var schema = StatusReport.schema
    public var migration: String
    public var phase: Phase
    public var epoch: Epoch
    public var generation: Generation
    public var rampPercent: Int
    /// Share of sessions that are really routed statelessly: the ramp, once every proxy has acknowledged it.
    public var actualPercent: Int
    /// Whether every registered proxy has acknowledged `epoch`.
    public var settled: Bool
    /// `completed` only: nothing can be rolled back any more.
    public var pastPointOfNoReturn: Bool
    public var time: UnixMilliseconds
    public var uptimeSeconds: Int64
    public var coverage: Coverage?
    public var operation: OperationStatus?
    public var instances: [InstanceStatus]
    public var proxies: [ProxyStatus]
    public var gates: [GateResult]
    public var store: String

    public init(
        migration: String, phase: Phase, epoch: Epoch, generation: Generation, rampPercent: Int, actualPercent: Int,
        settled: Bool, time: UnixMilliseconds, uptimeSeconds: Int64, coverage: Coverage?, operation: OperationStatus?,
        instances: [InstanceStatus], proxies: [ProxyStatus], gates: [GateResult], store: String
    ) {
        self.migration = migration
        self.phase = phase
        self.epoch = epoch
        self.generation = generation
        self.rampPercent = rampPercent
        self.actualPercent = actualPercent
        self.settled = settled
        self.pastPointOfNoReturn = phase == .completed
        self.time = time
        self.uptimeSeconds = uptimeSeconds
        self.coverage = coverage
        self.operation = operation
        self.instances = instances
        self.proxies = proxies
        self.gates = gates
        self.store = store
    }
}

/// How many live sessions the store holds at exactly the version and tag of their home's memory, as last verified.
public struct Coverage: Sendable, Codable, Equatable {
    public var sessions: Int
    public var externalized: Int
    /// Sessions still to look at again because they moved while being compared.
    public var recheck: Int
    public var verifiedAt: UnixMilliseconds?
    /// False while a pass is running or when it was inconclusive.
    public var isComplete: Bool
    /// Milliseconds until the running pass ends, from its own rate so far; nil when unknown.
    public var etaMilliseconds: Int64?

    public init(
        sessions: Int, externalized: Int, recheck: Int, verifiedAt: UnixMilliseconds?, isComplete: Bool,
        etaMilliseconds: Int64? = nil
    ) {
        self.sessions = sessions
        self.externalized = externalized
        self.recheck = recheck
        self.verifiedAt = verifiedAt
        self.isComplete = isComplete
        self.etaMilliseconds = etaMilliseconds
    }

    /// 0 to 1; 1 when there are no sessions.
    public var share: Double { sessions == 0 ? 1 : Double(externalized) / Double(sessions) }
}

/// One instance as the coordinator knows it.
public struct InstanceStatus: Sendable, Codable, Equatable {
    public var name: String
    public var url: String
    public var weight: Int
    public var state: RoutingTable.Instance.State
    public var health: InstanceReport.Health
    /// Process start as the bridge tells it; nil when the bridge did not answer.
    public var incarnation: String?
    public var framework: String?
    /// Sessions in memory, as the bridge counts them; nil when it did not answer.
    public var sessions: Int?
    /// Sessions that exist only in this instance's memory; nil when unknown.
    public var onlyHere: Int?
    public var inFlight: Int
    public var requests: UInt64
    /// What a drain waits for, or why the instance is unhealthy.
    public var note: String?

    public init(
        name: String, url: String, weight: Int, state: RoutingTable.Instance.State, health: InstanceReport.Health,
        incarnation: String?, framework: String?, sessions: Int?, onlyHere: Int?, inFlight: Int, requests: UInt64,
        note: String?
    ) {
        self.name = name
        self.url = url
        self.weight = weight
        self.state = state
        self.health = health
        self.incarnation = incarnation
        self.framework = framework
        self.sessions = sessions
        self.onlyHere = onlyHere
        self.inFlight = inFlight
        self.requests = requests
        self.note = note
    }
}

public struct ProxyStatus: Sendable, Codable {
    public var report: ProxyReport
    /// Milliseconds since its last report.
    public var silentMilliseconds: Int64
    /// Whether it reported within the silence limit.
    public var isAlive: Bool

    public init(report: ProxyReport, silentMilliseconds: Int64, isAlive: Bool) {
        self.report = report
        self.silentMilliseconds = silentMilliseconds
        self.isAlive = isAlive
    }
}

/// One condition of a transition, with what was found.
public struct GateResult: Sendable, Codable, Equatable {
    public enum Verdict: String, Sendable, Codable {
        case pass
        case refuse
        /// Data is missing; counts as a refusal.
        case inconclusive
    }
    /// A word for scripts: `proxies-acknowledged`, `store-durable`, `every-session-externalized` …
    public var name: String
    public var verdict: Verdict
    /// What was found, with numbers: `3 of 1,204 sessions are not in the store`.
    public var found: String
    /// What is demanded: `0`.
    public var demanded: String
    /// What the operator can do; nil when it passes.
    public var remedy: String?

    public init(name: String, verdict: Verdict, found: String, demanded: String, remedy: String? = nil) {
        self.name = name
        self.verdict = verdict
        self.found = found
        self.demanded = demanded
        self.remedy = remedy
    }
}

/// `GET /v1/gates`, `unstick gates -o json`: the gates of the transitions possible from the present phase.
public struct GatesReport: Sendable, Codable {
    public static let schema = "unstick.gates/v1"
    public var schema = GatesReport.schema
    public var phase: Phase
    public var transitions: [TransitionGates]

    public struct TransitionGates: Sendable, Codable {
        /// The command that makes the transition, for example `externalize`.
        public var command: String
        public var to: Phase
        public var gates: [GateResult]

        public init(command: String, to: Phase, gates: [GateResult]) {
            self.command = command
            self.to = to
            self.gates = gates
        }
    }

    public init(phase: Phase, transitions: [TransitionGates]) {
        self.phase = phase
        self.transitions = transitions
    }
}

/// `GET /v1/instances`.
public struct InstancesReport: Sendable, Codable {
    public static let schema = "unstick.instances/v1"
    public var schema = InstancesReport.schema
    public var instances: [InstanceStatus]
    public init(instances: [InstanceStatus]) { self.instances = instances }
}

/// `GET /v1/proxies`.
public struct ProxiesReport: Sendable, Codable {
    public static let schema = "unstick.proxies/v1"
    public var schema = ProxiesReport.schema
    public var epoch: Epoch
    public var proxies: [ProxyStatus]
    public init(epoch: Epoch, proxies: [ProxyStatus]) {
        self.epoch = epoch
        self.proxies = proxies
    }
}
