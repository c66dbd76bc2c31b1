import UnstickConfiguration
import UnstickCore

/// What a process does with a configuration.
enum ProcessRole: String, Sendable {
    case up, proxy, coordinator
    /// `unstick check`: as `up`, but only looked at.
    case check
}

/// What a configuration may say and this version cannot do: refused at the start and by `check` alike, because a key that
/// is read and ignored is a lie.
extension Configuration {
    /// - Parameter hasCoordinator: whether the command line names the coordinator.
    func restrictions(for role: ProcessRole, hasCoordinator: Bool = false) -> [ConfigurationRestriction] {
        var restrictions: [ConfigurationRestriction] = []
        func refuse(_ keyPath: String, _ value: String?, _ message: String) {
            restrictions.append(ConfigurationRestriction(keyPath: keyPath, value: value, message: message))
        }
        func unavailable(_ keyPath: String, _ value: String, _ expected: String) {
            refuse(keyPath, value, "'\(value)' is not available yet; expected \(expected)")
        }
        if affinity.method == .urlParameter { unavailable("affinity.method", "url-parameter", "cookie or ip-hash") }
        if affinity.sameSite == .none, affinity.secure == .auto {
            refuse(
                "affinity.same-site", "None",
                "'None' is ignored by browsers without Secure, which 'auto' sets only on TLS connections, and TLS is not "
                    + "available yet; expected affinity.secure: true")
        }
        if session.concurrency == .serialize {
            unavailable("session.concurrency", "serialize", "merge or overwrite")
        }
        if let header = session.header {
            refuse(
                "session.header", header,
                "'\(header)': session ids in headers are not available yet; expected cookie or url-parameter")
        }
        switch balance {
        case .weightedLeastConnections, .weightedRoundRobin:
            unavailable("balance", balance.rawValue, "least-connections, round-robin or random")
        case .leastConnections, .roundRobin, .random: break
        }
        if migration.onStoreError == .refuse { unavailable("migration.on-store-error", "refuse", "serve") }
        if coordinator.requireRehearsal { unavailable("coordinator.require-rehearsal", "true", "false") }
        if role == .proxy, proxy.coordinator == nil, !hasCoordinator {
            refuse(
                "proxy.coordinator", nil,
                "is missing; expected the coordinator's http://HOST:PORT, here or as --coordinator")
        }
        if store.location == .memory, role == .proxy || role == .coordinator {
            refuse(
                "store.url", "memory:",
                "'memory:' is a store of one process, and \(role.rawValue) needs one that all share; expected sqlite:PATH"
            )
        }
        return restrictions
    }
}
