public import NIOCore
public import UnstickCore

/// One session as the store holds it.
public struct SessionRecord: Sendable, Equatable {
    /// What the client presents: the session cookie's raw value. A secret; never logged.
    public var id: String
    /// The mirroring run that wrote it. Copies of older generations are never hydrated.
    public var generation: Generation
    public var version: VersionTag
    /// How the bridge serialized `state`, at most 32 ASCII characters.
    public var codec: String
    /// Opaque to everything but the bridge.
    public var state: ByteBuffer
    /// Seconds that the framework gives the session from its last use; the bridge gets them back with `put=`.
    public var ttlSeconds: Int64
    /// When the store may forget it.
    public var expiresAt: UnixMilliseconds
    /// Name of the instance whose memory holds (or last held) the session.
    public var home: String
    /// Incarnation of the instance that made this version.
    public var writer: String
    /// Whether the session was destroyed: kept until `expiresAt`, so that a late save cannot bring it back.
    public var isTombstone: Bool

    public init(
        id: String, generation: Generation, version: VersionTag, codec: String, state: ByteBuffer, ttlSeconds: Int64,
        expiresAt: UnixMilliseconds, home: String, writer: String, isTombstone: Bool = false
    ) {
        self.id = id
        self.generation = generation
        self.version = version
        self.codec = codec
        self.state = state
        self.ttlSeconds = ttlSeconds
        self.expiresAt = expiresAt
        self.home = home
        self.writer = writer
        self.isTombstone = isTombstone
    }

    public var stored: StoredVersion {
        StoredVersion(
            generation: generation, version: version, expiresAt: expiresAt, ttlSeconds: ttlSeconds, home: home,
            writer: writer, size: state.readableBytes, isTombstone: isTombstone)
    }
}

/// What the store knows of a session, without its state.
public struct StoredVersion: Sendable, Equatable {
    public var generation: Generation
    public var version: VersionTag
    public var expiresAt: UnixMilliseconds
    public var ttlSeconds: Int64
    public var home: String
    public var writer: String
    /// Bytes of the state.
    public var size: Int
    public var isTombstone: Bool

    public init(
        generation: Generation, version: VersionTag, expiresAt: UnixMilliseconds, ttlSeconds: Int64, home: String,
        writer: String, size: Int, isTombstone: Bool
    ) {
        self.generation = generation
        self.version = version
        self.expiresAt = expiresAt
        self.ttlSeconds = ttlSeconds
        self.home = home
        self.writer = writer
        self.size = size
        self.isTombstone = isTombstone
    }
}

/// When a save may replace what the store holds. Whatever the condition, a live tombstone of the same generation wins,
/// and a record of a newer generation is never replaced by one of an older.
public enum SaveCondition: Sendable, Equatable {
    /// The higher version wins: copies that are taken from a memory without a request (backfill).
    case newerWins
    /// Phase `mirroring`, from a response: the home's memory has the authority. Saves of one incarnation are ordered by
    /// version; a save of another incarnation than the record's writer replaces it whatever its version, since the
    /// home restarted and went on from an older copy.
    case memoryWins
    /// Compare-and-set: the store must hold exactly this version. `nil`: the store must hold no live record.
    case base(VersionTag?)
    /// Compare-and-set on the base, but a save from the incarnation that wrote the store's current version is ordered
    /// by version alone: that memory already contains what came before (phase `externalized`, one home).
    case baseOrSameWriter(VersionTag?)
    /// Replaces whatever is there (concurrency policy `overwrite`); tombstones still win. The store numbers the
    /// version: one more than the higher of the two.
    case overwrite
}

/// What became of a save. Nothing but `stored` changed the store.
public enum SaveOutcome: Sendable, Equatable {
    /// The store durably holds this version now. Differs from the record's own only with `overwrite`.
    case stored(VersionTag)
    /// The store already holds this or a newer version by the same order; nothing is lost.
    case superseded(StoredVersion)
    /// Another writer changed the session since the base. Nil: the store holds no live record though a base was named.
    case conflict(StoredVersion?)
    /// The session was destroyed; the save is dropped.
    case tombstoned(StoredVersion)
}

/// One row of a scan: what verification compares.
public struct ScannedSession: Sendable, Equatable {
    public var id: String
    public var stored: StoredVersion

    public init(id: String, stored: StoredVersion) {
        self.id = id
        self.stored = stored
    }
}

/// A page of a scan, in an order that does not change while it runs.
public struct ScanPage: Sendable, Equatable {
    public var sessions: [ScannedSession]
    /// Where the next page begins; nil when this was the last.
    public var next: String?

    public init(sessions: [ScannedSession], next: String?) {
        self.sessions = sessions
        self.next = next
    }
}

/// What `mirror` asks of a store before it trusts it.
public struct StoreProbe: Sendable, Equatable {
    /// For the operator, for example `sqlite unstick.db (WAL, synchronous=FULL)`. Without credentials.
    public var description: String
    /// Whether an acknowledged save survives the death of the store's process and machine.
    public var isDurable: Bool
    /// Whether the store may drop a live record by itself when it is short of room.
    public var mayEvict: Bool
    /// Time of one durable write and read of a probe record.
    public var roundTrip: Duration
    /// What is wrong, each with the setting that would mend it; empty when nothing is.
    public var problems: [String]

    public init(description: String, isDurable: Bool, mayEvict: Bool, roundTrip: Duration, problems: [String]) {
        self.description = description
        self.isDurable = isDurable
        self.mayEvict = mayEvict
        self.roundTrip = roundTrip
        self.problems = problems
    }
}

/// Why a store did not answer. The outcome of a failed save is unknown unless the case says otherwise.
public struct StoreError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// Cannot be reached or opened; nothing was written.
        case unavailable
        /// Disk or memory full; nothing was written.
        case full
        /// Not writable; nothing was written.
        case readOnly
        /// No answer within the deadline; a write may or may not have happened.
        case timedOut
        /// The queue of waiting operations is at its limit; nothing was written.
        case overloaded
        /// The store answered with something that is not a record, or is not a store at all.
        case corrupt
        /// The request breaks a limit of ``SessionRecord`` and will never succeed; nothing was written.
        case invalid
    }

    public var code: Code
    /// With the offending value and where it stands; without session ids or credentials.
    public var message: String

    public init(code: Code, message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "store \(code.rawValue): \(message)" }
}
