import Synchronization

/// Client connections of all loops.
final class ConnectionCount: Sendable {
    private let count = Atomic<Int>(0)

    func admit(limit: Int) -> Bool {
        guard count.wrappingAdd(1, ordering: .relaxed).newValue <= limit else {
            leave()
            return false
        }
        return true
    }

    func leave() { count.wrappingSubtract(1, ordering: .relaxed) }
}
