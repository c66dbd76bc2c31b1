import Logging
import MemorySessionStore
import SQLiteSessionStore
import SessionStore
import UnstickConfiguration
import UnstickCore

extension Configuration {
    /// Opens the store; a start without one is refused, also in `sticky`: the operator who configured it wants to know
    /// now, not at `mirror`.
    func openStore(_ logger: Logger, clock: @escaping WallClock) throws(CommandFailure) -> any SessionStore {
        switch store.location {
        case .memory: return MemorySessionStore(clock: clock)
        case .sqlite(let path):
            var settings = SQLiteSessionStore.Settings()
            settings.operationTimeout = timeouts.store
            do throws(StoreError) {
                return try SQLiteSessionStore.open(path: path, clock: clock, settings: settings, logger: logger)
            } catch {
                throw CommandFailure(.failed, "store.url: the store cannot be opened: \(error.message)")
            }
        }
    }
}
