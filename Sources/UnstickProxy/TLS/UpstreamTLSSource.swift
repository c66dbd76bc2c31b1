import Logging
import NIOCore
import Synchronization

/// TLS towards instances, read when the first instance with an `https://` URL comes: the system's authorities take time
/// and memory that a proxy without such instances can do without.
final class UpstreamTLSSource: Sendable {
    private let options: ProxyOptions.UpstreamTLS
    private let logger: Logger
    private let state = Mutex<Result<UpstreamTLS, TLSFileError>?>(nil)

    init(options: ProxyOptions.UpstreamTLS, logger: Logger) {
        self.options = options
        self.logger = logger
    }

    /// Reads the files, unless that is done. What failed is tried again. Blocks: not on an event loop.
    func load() throws(TLSFileError) {
        if case .success? = state.withLock({ $0 }) { return }
        let result = Result { () throws(TLSFileError) in try UpstreamTLS(options: options, logger: logger) }
        state.withLock { $0 = result }
        _ = try result.get()
    }

    /// ``UpstreamTLS/handlers(host:)``; throws while nothing has been loaded.
    func handlers(host: String) throws -> [any ChannelHandler] {
        guard let result = state.withLock({ $0 }) else { throw NotLoaded() }
        return try result.get().handlers(host: host)
    }

    /// As ``TLSContextStore/reloadIfChanged()``. Blocks.
    func reloadIfChanged() { if case .success(let tls)? = state.withLock({ $0 }) { tls.reloadIfChanged() } }

    /// As ``TLSContextStore/reload()``. Blocks.
    func reload() {
        switch state.withLock({ $0 }) {
        case .success(let tls)?: tls.reload()
        case .failure?: try? load()
        case nil: break
        }
    }

    private struct NotLoaded: Error, CustomStringConvertible {
        var description: String { "TLS towards instances is not ready yet" }
    }
}
