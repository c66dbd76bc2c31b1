import AsyncHTTPClient
import BridgeContract
import Foundation
import Logging
import NIOPosix
import SessionStore
import Synchronization
import UnstickConfiguration
import UnstickCoordinator
import UnstickCore
import UnstickProxy
import UnstickTerminal

/// The proxy that shares the admin address, once it is made: it needs the coordinator, which is made first.
final class AdminCompanion: Sendable {
    let proxy = Mutex<Proxy?>(nil)
}

/// Journal, coordinator and admin address of one process.
struct ControlPlane: Sendable {
    let coordinator: Coordinator
    let api: CoordinatorAPI
    private let journal: Journal
    private let http: HTTPClient
    private let named: NamedInstanceClients?

    /// What only tests and demonstrations ask for.
    struct Allowances: Sendable {
        var volatileStore = false
        var killPoints = false
    }

    init(
        _ configuration: Configuration, store: any SessionStore, secret: BridgeSecret, allowances: Allowances,
        clock: @escaping WallClock, companion: AdminCompanion = AdminCompanion()
    ) throws(CommandFailure) {
        var httpConfiguration = Verifier.httpConfiguration
        let tls = configuration.upstreamTLSOptions
        if tls != ProxyOptions.UpstreamTLS() {
            do throws(TLSFileError) {
                httpConfiguration.tlsConfiguration = try tls.configuration()
            } catch {
                throw CommandFailure(.failed, "upstream-tls: the file \(error)")
            }
        }
        do throws(JournalError) {
            journal = try Journal(path: configuration.coordinator.journal)
        } catch {
            throw CommandFailure(.failed, "coordinator.journal: \(error.message)")
        }
        let group = MultiThreadedEventLoopGroup.singleton
        http = HTTPClient(eventLoopGroup: group, configuration: httpConfiguration)
        named = tls.serverName.map {
            NamedInstanceClients(serverName: $0, group: group, configuration: httpConfiguration)
        }
        var options = configuration.coordinatorOptions
        options.acceptsVolatileStore = allowances.volatileStore
        options.allowsKillPoints = allowances.killPoints
        do {
            let coordinator = try Coordinator(
                options: options, store: store,
                verification: Verifier(
                    store: store, http: http, named: named, secret: secret, eventLoopGroup: group, clock: clock),
                journal: journal, eventLoop: group.any(), logger: configuration.log.logger("unstick.coordinator"))
            api = try CoordinatorAPI(
                coordinator: coordinator, host: configuration.admin.host, port: configuration.admin.port,
                token: configuration.adminToken.map { String(decoding: $0.bytes, as: UTF8.self) },
                logger: configuration.log.logger("unstick.admin"),
                unreadiness: { await companion.proxy.withLock { $0 }?.unreadiness() ?? nil },
                moreMetrics: { text in
                    await companion.proxy.withLock { $0 }?.writeMetrics(to: &text)
                    ProcessUsage.current()?.write(to: &text)
                },
                pages: { path in
                    guard path == "/" else { return nil }
                    return CoordinatorAPI.Page(
                        contentType: "text/html; charset=utf-8", body: StatusPage.html(coordinator.status()))
                })
            self.coordinator = coordinator
        } catch {
            journal.close()
            throw CommandFailure(.failed, "the coordinator cannot start: \(error)")
        }
    }

    /// After everything that uses it has ended.
    func close() async {
        try? await http.shutdown()
        await named?.shutdown()
        journal.close()
    }
}

extension Configuration {
    /// The file's bytes were checked as the configuration was read.
    func bridgeSecret() throws(CommandFailure) -> BridgeSecret {
        guard let secret = BridgeSecret(fileBytes: bridge.secret.bytes) else {
            throw CommandFailure(
                .usage,
                "bridge.secret-file: '\(bridge.secretFile)' holds fewer than \(BridgeSecret.minimumByteCount) bytes")
        }
        return secret
    }
}

enum SystemClock {
    static let wall: WallClock = { UnixMilliseconds(Int64(Date().timeIntervalSince1970 * 1000)) }
}
