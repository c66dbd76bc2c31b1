import Synchronization

/// Tells affinity cookies from session cookies without being told their names: a value that two clients got cannot name
/// a session. Only names are kept for good; values are kept as hashes, a bounded number a name.
package final class CookieCensus: Sendable {
    private struct State {
        /// First client that was given the value, by name and value's hash. Dropped once the name is in `shared`.
        var owners: [String: [Int: Int]] = [:]
        var shared: Set<String> = []
    }

    private static let namesLimit = 32
    private static let valuesLimit = 4096
    private let state = Mutex(State())

    package init() {}

    /// Notes that `client` was given the cookie.
    package func note(name: String, value: String, client: Int) {
        let hash = value.hashValue
        state.withLock { state in
            guard !state.shared.contains(name) else { return }
            guard state.owners[name] != nil || state.owners.count < Self.namesLimit else { return }
            if let owner = state.owners[name]?[hash] {
                guard owner != client else { return }
                state.shared.insert(name)
                state.owners[name] = nil
            } else if state.owners[name, default: [:]].count < Self.valuesLimit {
                state.owners[name, default: [:]][hash] = client
            }
        }
    }

    /// Whether two clients were given the same value under this name.
    package func isShared(_ name: String) -> Bool {
        state.withLock { $0.shared.contains(name) }
    }
}
