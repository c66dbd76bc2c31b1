import UnstickCore

/// What one instance's memory holds, in 32 to 64 bytes a session whatever the ids' lengths: by a 64-bit hash, keyed per
/// process so that nobody can choose ids that collide. That two of a million sessions do has a chance of 3 in 10^8; the
/// worst that follows is a session taken for one that is at home.
struct MemoryIndex: Sendable {
    private var versions: [UInt64: VersionTag] = [:]

    /// Computed once for all instances.
    static func key(_ id: String) -> UInt64 {
        var hasher = Hasher()
        var id = id
        id.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        return UInt64(truncatingIfNeeded: hasher.finalize())
    }

    var count: Int { versions.count }

    subscript(key: UInt64) -> VersionTag? { versions[key] }

    mutating func insert(_ sessions: [ListedSession]) {
        for session in sessions { versions[Self.key(session.id)] = session.version }
    }
}
