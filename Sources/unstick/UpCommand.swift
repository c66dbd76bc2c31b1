import ArgumentParser
import SessionStore
import Synchronization
import UnstickConfiguration
import UnstickCoordinator
import UnstickCore
import UnstickProxy

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Serve clients: coordinator and proxy in one process.",
        discussion: """
            Begins in phase `sticky`, as a sticky balancer, or in the phase in which it was stopped. Check the file with \
            `unstick check` first; `unstick status` shows what it does. SIGTERM or Ctrl-C stops it when the requests in \
            flight are answered (`timeouts.shutdown`), a second one at once.
            """)

    @OptionGroup var file: ConfigurationOptions

    @Option(help: ArgumentHelp("Where clients connect, instead of the file's.", valueName: "host:port"))
    var listen: String?

    @Option(help: ArgumentHelp("The admin address, instead of the file's.", valueName: "host:port"))
    var admin: String?

    @Option(help: ArgumentHelp("The proxy's name, instead of the file's.", valueName: "name"))
    var name: String?

    @OptionGroup var allowances: AllowanceOptions

    func run() async throws {
        let configuration = try file.load(for: .up, listen: listen, admin: admin, name: name)
        let logger = configuration.log.logger("unstick")
        ProcessSetup.prepare(logger)
        let secret = try configuration.bridgeSecret()
        let store = try configuration.openStore(configuration.log.logger("unstick.store"), clock: SystemClock.wall)
        let companion = AdminCompanion()
        let observation = try ObservationParts(configuration)
        let plane = try ControlPlane(
            configuration, store: store, secret: secret, allowances: allowances.value, clock: SystemClock.wall,
            companion: companion)
        let proxy: Proxy
        do {
            proxy = try await Proxy.configured(
                configuration.proxyOptions(secret: secret, observation: observation.options), store: store,
                link: plane.coordinator, configuration)
        } catch {
            await observation.close()
            await plane.close()
            try? await store.shutdown()
            throw error
        }
        companion.proxy.withLock { $0 = proxy }
        let serving = Serving(
            parts: [
                .proxy(proxy, configuration), .admin(plane.api, configuration), .coordinator(plane.coordinator),
                .hangup(observation, proxy),
            ] + observation.parts, logger: logger)
        let result = await Result {
            try await serving.run {
                Output.line(
                    "unstick up: serving \(configuration.clientAddresses), admin http://\(configuration.admin), "
                        + "phase \(plane.coordinator.currentTable.phase)")
            }
        }
        await observation.close()
        await plane.close()
        try? await store.shutdown()
        try result.get()
    }
}

/// What only tests and demonstrations ask for.
struct AllowanceOptions: ParsableArguments {
    @Flag(
        help: ArgumentHelp(
            "Let `mirror` accept a store that loses its sessions when the process ends (memory:); for "
                + "demonstrations."))
    var allowVolatileStore = false

    @Flag(
        help: ArgumentHelp("Let operations name a journal entry at which to die; for rehearsals.", visibility: .hidden))
    var allowKillPoints = false

    var value: ControlPlane.Allowances {
        ControlPlane.Allowances(volatileStore: allowVolatileStore, killPoints: allowKillPoints)
    }
}

extension Result where Failure == any Error {
    init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
