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
        if session.concurrency == .serialize {
            unavailable("session.concurrency", "serialize", "merge or overwrite")
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
