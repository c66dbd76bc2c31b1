import ArgumentParser
import SessionStore
import UnstickConfiguration
import UnstickCoordinator
import UnstickCore

struct CoordinatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator",
        abstract: "Steer a migration: the coordinator alone, for proxies that are processes of their own.",
        discussion: """
            No client's request passes here, and proxies go on without it. SIGTERM or Ctrl-C stops it; an operation that runs \
            is resumed at the next start.
            """)

    @OptionGroup var file: ConfigurationOptions

    @Option(help: ArgumentHelp("The admin address, instead of the file's.", valueName: "host:port"))
    var admin: String?

    @OptionGroup var allowances: AllowanceOptions

    func run() async throws {
        let configuration = try file.load(for: .coordinator, admin: admin)
        let logger = configuration.log.logger("unstick")
        ProcessSetup.prepare(logger)
        let secret = try configuration.bridgeSecret()
        let store = try configuration.openStore(configuration.log.logger("unstick.store"), clock: SystemClock.wall)
        let plane = try ControlPlane(
            configuration, store: store, secret: secret, allowances: allowances.value, clock: SystemClock.wall)
        let serving = Serving(
            parts: [.admin(plane.api, configuration), .coordinator(plane.coordinator)], logger: logger)
        let result = await Result {
            try await serving.run {
                Output.line(
                    "unstick coordinator: admin http://\(configuration.admin), "
                        + "phase \(plane.coordinator.currentTable.phase)")
            }
        }
        await plane.close()
        try? await store.shutdown()
        try result.get()
    }
}
