import Synchronization

/// Which process answered for each instance. Two processes have two memories: what the one listed says nothing about
/// what the other holds.
final class IncarnationWatch: Sendable {
    private let seen = Mutex<[String: String]>([:])

    /// Remembers the first incarnation of an instance and refuses any other.
    func check(_ incarnation: String, of instance: String) throws(InconclusiveError) {
        let first = seen.withLock { seen in
            if seen[instance] == nil { seen[instance] = incarnation }
            return seen[instance] ?? incarnation
        }
        guard first == incarnation else {
            throw InconclusiveError(
                """
                \(instance): two processes answered (\(first) and \(incarnation)): it restarted meanwhile, or runs \
                several workers, of which each has its own memory
                """)
        }
    }
}
