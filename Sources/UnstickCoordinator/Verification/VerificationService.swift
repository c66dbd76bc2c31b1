public import ControlAPI
public import UnstickCore

/// Compares what the instances hold in memory with what the store holds, and moves sessions from one to the other.
///
/// Nothing here throws: whatever could not be found out is a sentence in the report's `inconclusive`, and an
/// inconclusive report is never complete. Sessions appear in reports by their keyed hash only.
public protocol VerificationService: Sendable {
    /// Looks for the live sessions that the store does not hold at exactly the version and tag of their home's memory.
    ///
    /// Every proxy must have acknowledged phase `mirroring` or a later one before; see `SessionComparison` for why the
    /// result then stays true.
    /// - Parameters:
    ///   - instances: names to look at; nil: all of the table but the drained and fenced, to which nothing is
    ///     routed.
    ///   - backfill: whether to save to the store what it lacks, and to mend memories that a logout or a refused change
    ///     left behind. False: nothing is written anywhere.
    ///   - passes: how often to look again at what moved while being compared; at least 1.
    ///   - progress: called from any thread, not more than a few times a second.
    func verify(
        table: RoutingTable, instances: [String]?, backfill: Bool, passes: Int,
        progress: @escaping @Sendable (Coverage) -> Void
    ) async -> VerificationReport

    /// Brings every live session of the table's generation back into its effective home's memory (2→1 and 1→0).
    func repatriate(
        table: RoutingTable, passes: Int, progress: @escaping @Sendable (Coverage) -> Void
    ) async -> RepatriationReport

    /// Removes sessions from an instance's memory; never one that the store lacks.
    /// - Parameter table: for the generation that store copies must have, and for who a session's home is.
    func evict(instance: RoutingTable.Instance, scope: EvictionScope, table: RoutingTable) async -> EvictionReport

    /// Asks one instance's bridge who it is.
    func describe(instance: RoutingTable.Instance) async -> InstanceDescription

    /// Says where one session is and where its next request would go.
    func explain(id: String, table: RoutingTable) async -> SessionExplanation
}

/// Which of an instance's sessions ``VerificationService/evict(instance:scope:table:)`` removes.
public enum EvictionScope: String, Sendable, Codable, CaseIterable {
    /// All that the store holds at the memory's version or a newer one.
    case everything
    /// Only those whose store record is newer, a tombstone, or homed elsewhere.
    case staleOnly
}

/// One session that is not as it should be.
public struct SessionProblem: Sendable, Equatable, Codable {
    /// Keyed hash of the session's id.
    public var hash: String
    public var instance: String
    /// What differs, with both versions: `memory 12-9f86d081, store 12-2c26b46b`.
    public var difference: String

    public init(hash: String, instance: String, difference: String) {
        self.hash = hash
        self.instance = instance
        self.difference = difference
    }

    /// Reports carry up to this many examples.
    public static let examplesMax = 20
}

/// What a verification found.
public struct VerificationReport: Sendable, Equatable, Codable {
    public var startedAt: UnixMilliseconds
    public var finishedAt: UnixMilliseconds
    public var generation: Generation
    /// Passes made: 1, and one for each time that something had moved.
    public var passes: Int
    public var instances: [InstanceCounts]
    /// Sessions that moved in every pass: neither found externalized nor found wrong.
    public var recheck: Int
    /// Why the verification says nothing: an instance that cannot be reached, a listing or the store that failed.
    public var inconclusive: [String]
    /// How many sessions are not externalized and did not merely move.
    public var problemCount: Int
    /// Up to ``SessionProblem/examplesMax`` of them.
    public var problems: [SessionProblem]

    /// Counts of one instance. Every listed session is counted in `sessions` and in exactly one of `externalized`,
    /// `superseded`, `unserializable`, `unsaved`, `divergent`, `resurrected`, `ended`, or it is in the report's
    /// `recheck`. `backfilled` and `moved` count events besides.
    public struct InstanceCounts: Sendable, Equatable, Codable {
        public var name: String
        /// Sessions in memory as listed.
        public var sessions = 0
        /// The store held exactly the memory's version and tag at one instant of this verification; where the store has
        /// the authority, it may hold a newer version as well.
        public var externalized = 0
        /// Saved to the store by this verification.
        public var backfilled = 0
        /// Copies of sessions that are at home elsewhere and that the store holds.
        public var superseded = 0
        /// Sessions with attributes that could not be serialized.
        public var unserializable = 0
        /// Names of such attributes, as far as the bridge tells them; up to 20.
        public var unserializableAttributes: [String] = []
        /// Changed between listing and comparison, and looked at again.
        public var moved = 0
        /// The store lacks the session or holds an older version: this state exists only here.
        public var unsaved = 0
        /// Same version, other content; or a store that is ahead of the memory that has the authority.
        public var divergent = 0
        /// Copies of sessions that the store knows as logged out; with `backfill`, evicted (phase ≥ 1).
        public var resurrected = 0
        /// Vanished between listing and comparison: expired or logged out.
        public var ended = 0

        public init(name: String) { self.name = name }

        /// Sessions that exist only in this instance's memory, as far as known: what a drain waits for.
        public var onlyHere: Int { unsaved + divergent + unserializable }
    }

    public init(
        startedAt: UnixMilliseconds, finishedAt: UnixMilliseconds, generation: Generation, passes: Int,
        instances: [InstanceCounts], recheck: Int, inconclusive: [String], problemCount: Int, problems: [SessionProblem]
    ) {
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.generation = generation
        self.passes = passes
        self.instances = instances
        self.recheck = recheck
        self.inconclusive = inconclusive
        self.problemCount = problemCount
        self.problems = problems
    }

    /// Whether every listed session is externalized, superseded or over, and nothing is left to be looked at.
    public var isComplete: Bool { inconclusive.isEmpty && recheck == 0 && problemCount == 0 }

    public var sessions: Int { instances.reduce(0) { $0 + $1.sessions } }
    public var externalized: Int { instances.reduce(0) { $0 + $1.externalized } }
    public var backfilled: Int { instances.reduce(0) { $0 + $1.backfilled } }

    /// For the status page: live sessions are those listed, without stale copies and those that ended.
    public var coverage: Coverage {
        let live = instances.reduce(0) { $0 + $1.sessions - $1.superseded - $1.resurrected - $1.ended }
        return Coverage(
            sessions: live, externalized: externalized, recheck: recheck, verifiedAt: finishedAt, isComplete: isComplete
        )
    }
}

/// What a repatriation did.
public struct RepatriationReport: Sendable, Equatable, Codable {
    public var startedAt: UnixMilliseconds
    public var finishedAt: UnixMilliseconds
    public var generation: Generation
    public var passes: Int
    public var instances: [InstanceCounts]
    /// Live records of the generation that the last pass saw in the store.
    public var sessions: Int
    /// Of those, how many their effective home's memory holds at the store's version or a newer one.
    public var atHome: Int
    /// Changes that the last pass made and sessions that it could not settle; no pass has looked at them since.
    public var recheck: Int
    public var inconclusive: [String]
    public var problemCount: Int
    public var problems: [SessionProblem]

    /// Counts of one instance, over all passes.
    public struct InstanceCounts: Sendable, Equatable, Codable {
        public var name: String
        /// Sessions whose effective home this is, in the last pass.
        public var sessions = 0
        /// Given to this instance's memory.
        public var imported = 0
        /// Copies of sessions at home elsewhere that were evicted from this memory.
        public var evicted = 0

        public init(name: String) { self.name = name }
    }

    public init(
        startedAt: UnixMilliseconds, finishedAt: UnixMilliseconds, generation: Generation, passes: Int,
        instances: [InstanceCounts], sessions: Int, atHome: Int, recheck: Int, inconclusive: [String],
        problemCount: Int, problems: [SessionProblem]
    ) {
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.generation = generation
        self.passes = passes
        self.instances = instances
        self.sessions = sessions
        self.atHome = atHome
        self.recheck = recheck
        self.inconclusive = inconclusive
        self.problemCount = problemCount
        self.problems = problems
    }

    /// Whether the last pass found every live record in its home's memory and nothing left to do.
    public var isComplete: Bool { inconclusive.isEmpty && recheck == 0 && problemCount == 0 && atHome == sessions }

    public var imported: Int { instances.reduce(0) { $0 + $1.imported } }
    public var evicted: Int { instances.reduce(0) { $0 + $1.evicted } }
}

/// What an eviction did.
public struct EvictionReport: Sendable, Equatable, Codable {
    public var instance: String
    /// Sessions listed.
    public var sessions: Int
    public var evicted: Int
    /// Left in memory because the scope does not ask for them.
    public var kept: Int
    /// Left in memory because the store lacks them or holds something else: they would be lost.
    public var onlyHere: Int
    public var inconclusive: [String]
    public var problems: [SessionProblem]

    public init(
        instance: String, sessions: Int = 0, evicted: Int = 0, kept: Int = 0, onlyHere: Int = 0,
        inconclusive: [String] = [], problems: [SessionProblem] = []
    ) {
        self.instance = instance
        self.sessions = sessions
        self.evicted = evicted
        self.kept = kept
        self.onlyHere = onlyHere
        self.inconclusive = inconclusive
        self.problems = problems
    }

    /// Whether everything in scope is gone and nothing was found that exists only there.
    public var isComplete: Bool { inconclusive.isEmpty && onlyHere == 0 }
}

/// What an instance's bridge says of itself.
public struct InstanceDescription: Sendable, Equatable, Codable {
    public var name: String
    /// Random per process start; nil when the bridge did not answer.
    public var incarnation: String?
    public var framework: String?
    public var bridge: String?
    /// Sessions in memory.
    public var sessions: Int?
    /// What the bridge wants the operator to know, for example that the application runs several processes.
    public var warning: String?
    /// Why it did not answer as the contract says; nil when it did.
    public var problem: String?

    public init(
        name: String, incarnation: String? = nil, framework: String? = nil, bridge: String? = nil,
        sessions: Int? = nil, warning: String? = nil, problem: String? = nil
    ) {
        self.name = name
        self.incarnation = incarnation
        self.framework = framework
        self.bridge = bridge
        self.sessions = sessions
        self.warning = warning
        self.problem = problem
    }
}
