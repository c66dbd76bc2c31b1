import UnstickCore

/// Remembers which instances are known to hold which version of a session, so that the proxy sends `want=` alone where
/// that is enough and the state along where it is not. A guess that is wrong costs one replay, never a stale answer:
/// the bridge decides. Direct-mapped and fixed in size (64 Ki entries of 24 bytes).
struct CopyMap {
    private struct Entry {
        var hash: UInt64 = 0
        var version: UInt64 = 0
        var tag: UInt32 = 0
        /// Bit per instance index (up to 32).
        var holders: UInt32 = 0
    }

    private static let slots = 1 << 16
    private var entries: [Entry] = []

    func isHeld(_ hash: UInt64, _ version: VersionTag, by instance: Int) -> Bool {
        guard !entries.isEmpty, instance < 32 else { return false }
        let entry = entries[Int(hash >> 48)]
        return entry.hash == hash && entry.version == version.version && entry.tag == version.tag
            && entry.holders & (1 << UInt32(instance)) != 0
    }

    mutating func note(_ hash: UInt64, _ version: VersionTag, heldBy instance: Int) {
        guard instance < 32 else { return }
        // Allocated with the first session: a proxy in `sticky` never needs it.
        if entries.isEmpty { entries = Array(repeating: Entry(), count: Self.slots) }
        let slot = Int(hash >> 48)
        if entries[slot].hash == hash, entries[slot].version == version.version, entries[slot].tag == version.tag {
            entries[slot].holders |= 1 << UInt32(instance)
        } else {
            entries[slot] = Entry(
                hash: hash, version: version.version, tag: version.tag, holders: 1 << UInt32(instance))
        }
    }

    /// The table has changed: indices may mean other instances now.
    mutating func clear() { entries = [] }
}

/// Remembers when a session's expiry was last moved in the store, so that not every read becomes a write.
struct TouchMap {
    private var entries: [(hash: UInt64, time: Int64)] = []

    /// Whether at least `interval` milliseconds have passed since the last touch that this map knows; then notes this.
    mutating func shouldTouch(_ hash: UInt64, at time: UnixMilliseconds, every interval: Int64) -> Bool {
        if entries.isEmpty { entries = Array(repeating: (0, 0), count: 1 << 14) }
        let slot = Int(hash >> 50)
        if entries[slot].hash == hash, time.rawValue - entries[slot].time < interval { return false }
        entries[slot] = (hash, time.rawValue)
        return true
    }
}
