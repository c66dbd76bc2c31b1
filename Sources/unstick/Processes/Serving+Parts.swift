import ControlAPI
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import SessionStore
import Synchronization
import UnixSignals
import UnstickConfiguration
import UnstickCoordinator
import UnstickProxy

extension Serving.Part {
    static func proxy(_ proxy: Proxy, _ configuration: Configuration) -> Serving.Part {
        let listen = configuration.listen
        return Serving.Part(
            name: "listen", address: "\(listen)",
            run: { ready in
                try await proxy.run { _ in ready() }
            },
            stop: { proxy.stop() })
    }

    /// What SIGHUP asks for: the access log is reopened, certificates are read again. It is taken also where there is
    /// neither: it would end the process.
    static func hangup(_ observation: ObservationParts, _ proxy: Proxy) -> Serving.Part {
        Serving.Part(
            name: "SIGHUP", address: nil,
            run: { ready in
                let signals = await UnixSignalsSequence(trapping: .sighup)
                ready()
                for await _ in signals {
                    observation.reopenAccessLog()
                    await proxy.reloadCertificates()
                }
            })
    }

    static func coordinator(_ coordinator: Coordinator) -> Serving.Part {
        Serving.Part(
            name: "coordinator", address: nil,
            run: { ready in
                ready()
                try await coordinator.run()
            })
    }

    /// Answers that wait (long polls) are cut off a second after the stop.
    static func admin(_ api: CoordinatorAPI, _ configuration: Configuration) -> Serving.Part {
        let service = AdminService(api: api)
        var settings = ServiceGroupConfiguration(services: [service], logger: silent)
        settings.maximumGracefulShutdownDuration = .seconds(1)
        let group = ServiceGroup(configuration: settings)
        return Serving.Part(
            name: "admin", address: "\(configuration.admin)",
            run: { ready in
                service.onListening.withLock { $0 = ready }
                try await group.run()
            },
            stop: { Task { await group.triggerGracefulShutdown() } })
    }

    /// Its parts say what they do by themselves.
    private static var silent: Logger { Logger(label: "unstick.services") { _ in SwiftLogNoOpLogHandler() } }

    private final class AdminService: Service {
        let api: CoordinatorAPI
        let onListening = Mutex<(@Sendable () -> Void)?>(nil)

        init(api: CoordinatorAPI) { self.api = api }

        func run() async throws {
            try await api.run { _ in self.onListening.withLock { $0 }?() }
        }
    }
}

extension Proxy {
    /// Makes a proxy as the command line does.
    /// - Throws: ``CommandFailure`` that names the file which cannot be used.
    static func configured(
        _ options: ProxyOptions, store: any SessionStore, link: any CoordinatorLink, _ configuration: Configuration
    ) async throws -> Proxy {
        do {
            return try await Proxy(
                options: options, store: store, link: link, logger: configuration.log.logger("unstick.proxy"),
                clock: SystemClock.wall)
        } catch let error as TLSFileError {
            throw CommandFailure(.failed, "tls: the file \(error)")
        }
    }
}
