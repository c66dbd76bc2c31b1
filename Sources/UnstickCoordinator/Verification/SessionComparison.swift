import SessionStore
import UnstickCore

/// How a copy in an instance's memory stands to what the store holds of the session. Pure.
///
/// # What "every live session of every instance is externalized" means while clients keep writing
///
/// No instant exists at which all sessions could be compared: memory and store change during the crawl. The gate is
/// safe all the same, by an argument about each session alone:
///
/// 1. The instance said at t0 that its memory holds version v with a certain tag, and at t1, later than t0, the store
///    held exactly v with that tag: in ``Standing/matches`` by comparison, or because it durably took our own save of
///    the exported state. So the state that memory had at t0 is in the store.
/// 2. Before the verification began, every proxy had acknowledged phase `mirroring` and its grace period was over. So
///    whatever changed the session after t0 was mirrored before its response was released: each later state that a
///    client was told of is in the store as well. That no mirror failed meanwhile (dirty sessions) is a gate of its own.
/// 3. Sessions that began after their page was listed fall under 2 wholly.
///
/// Hence each session needs one instant of equality, not a common one. A session whose memory is ahead of the store may
/// merely be on its way there, and is looked at again; it never counts as externalized before equality was seen, nor as
/// failed while either side still moves. A store that is ahead of a memory which has the authority is not explained by
/// any delay as long as the store was read *first*: the store only ever follows that memory.
enum SessionComparison {
    enum Standing: Sendable, Equatable {
        /// The instance is the session's home, and the store holds exactly this.
        case matches
        /// The home's copy is older than, or differs from, a store that has the authority: the store's is what counts.
        case overtaken
        /// A copy of a session at home elsewhere.
        case elsewhere
        /// The store has nothing of this generation, or an older version.
        case storeBehind
        /// The store has a newer version than the memory that has the authority.
        case storeAhead
        /// The same version with another tag.
        case diverged
        /// Newer than the store's copy of a session at home elsewhere, and memory has the authority. Saving it would shut
        /// out what that home writes at its lower version.
        case newerThanHome
        /// The store knows the session as ended.
        case tombstoned
        /// The store has a record of a newer generation than the routing table: somebody else's run.
        case newerGeneration
    }

    /// - Parameters:
    ///   - memory: what `instance` holds.
    ///   - stored: what the store holds, of any generation.
    static func standing(
        of memory: VersionTag, in instance: String, stored: StoredVersion?, sessionHash: UInt64, table: RoutingTable
    ) -> Standing {
        guard let stored, stored.generation >= table.generation else { return .storeBehind }
        guard stored.generation == table.generation else { return .newerGeneration }
        if stored.isTombstone { return .tombstoned }
        let storeDecides = storeDecides(home: stored.home, table: table)
        let home = table.effectiveHome(recorded: stored.home, sessionHash: sessionHash).map { table.instances[$0].name }
        let isNewer = memory.version > stored.version.version
        guard home == instance else {
            if isNewer {
                // A drained or fenced home's own last changes; they exist nowhere else.
                if stored.home == instance { return .storeBehind }
                return storeDecides ? .elsewhere : .newerThanHome
            }
            // Two memories that made the same version differently: one of them is live, and nothing says which.
            if !storeDecides, memory.version == stored.version.version, memory != stored.version { return .diverged }
            return .elsewhere
        }
        if memory == stored.version { return .matches }
        if isNewer { return .storeBehind }
        if memory.version < stored.version.version { return storeDecides ? .overtaken : .storeAhead }
        return demandsExactCopy(sessionHash, table: table) ? .overtaken : .diverged
    }

    /// Whether requests of sessions with this recorded home already read the store first: in phase 2 and later, and
    /// while their home is not active (``RoutingTable/route(sessionHash:affinity:homeLookedUp:)``).
    static func storeDecides(home: String?, table: RoutingTable) -> Bool {
        if table.phase.storeHasAuthority { return true }
        guard table.phase == .mirroring, let home else { return false }
        return table.instances.first { $0.name == home }?.state != .active
    }

    /// Whether an instance serves the session only from the store's very version and tag, so that no other copy matters.
    static func demandsExactCopy(_ sessionHash: UInt64, table: RoutingTable) -> Bool {
        table.phase == .completed || (table.phase == .stateless && table.rampIncludes(sessionHash))
    }
}
