public import UnstickCore

/// The one place that says whether a save wins, so that every driver decides alike (a driver that decides inside its
/// server, for example in a script, is held to this by the contract suite).
public enum SaveDecision: Sendable, Equatable {
    case store(VersionTag)
    case keep(SaveOutcome)

    /// - Parameter current: the live record or tombstone, nil when there is none.
    public static func decide(
        _ record: SessionRecord, when condition: SaveCondition, current: StoredVersion?
    ) -> SaveDecision {
        guard let current else {
            // Nothing is there: a compare-and-set that names a base has lost it (expired or swept).
            switch condition {
            case .base(.some), .baseOrSameWriter(.some): return .keep(.conflict(nil))
            default: return .store(record.version)
            }
        }
        if current.generation < record.generation { return .store(record.version) }
        if current.generation > record.generation { return .keep(.superseded(current)) }
        if current.isTombstone { return .keep(.tombstoned(current)) }
        if current.version == record.version, current.writer == record.writer { return .keep(.superseded(current)) }
        switch condition {
        case .newerWins:
            return record.version.version > current.version.version
                ? .store(record.version) : .keep(.superseded(current))
        case .memoryWins:
            let isNewer = record.version.version > current.version.version
            let isOtherHistory = record.writer != current.writer && record.version != current.version
            return isNewer || isOtherHistory ? .store(record.version) : .keep(.superseded(current))
        case .base(let base):
            return current.version == base ? .store(record.version) : .keep(.conflict(current))
        case .baseOrSameWriter(let base):
            if current.version == base { return .store(record.version) }
            guard current.writer == record.writer else { return .keep(.conflict(current)) }
            return record.version.version > current.version.version
                ? .store(record.version) : .keep(.superseded(current))
        case .overwrite:
            let version = max(record.version.version, current.version.version + 1)
            return .store(VersionTag(version: version, tag: record.version.tag))
        }
    }

    /// Whether a tombstone replaces what is there. One that would end before the tombstone already there is dropped:
    /// destroying twice never lets a late save in earlier.
    public static func decide(destroying tombstone: SessionRecord, current: StoredVersion?) -> SaveDecision {
        guard let current, current.generation >= tombstone.generation else { return .store(tombstone.version) }
        if current.generation > tombstone.generation { return .keep(.superseded(current)) }
        if current.isTombstone, current.expiresAt >= tombstone.expiresAt { return .keep(.tombstoned(current)) }
        return .store(tombstone.version)
    }
}
