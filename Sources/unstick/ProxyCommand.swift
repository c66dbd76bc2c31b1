import ArgumentParser
import ControlClient
import SessionStore
import UnstickConfiguration
import UnstickProxy

struct ProxyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proxy", abstract: "Serve clients: a proxy alone, beside others and a coordinator.",
        discussion: """
            All proxies and the coordinator read the same configuration; --name and --listen are each one's own. A proxy \
            goes on without its coordinator, in the last phase that it acknowledged. SIGTERM or Ctrl-C stops it when the \
            requests in flight are answered (`timeouts.shutdown`), a second one at once.
            """)

    @OptionGroup var file: ConfigurationOptions

    @Option(help: ArgumentHelp("Where clients connect, instead of the file's.", valueName: "host:port"))
    var listen: String?

    @Option(help: ArgumentHelp("Its name, instead of proxy.name; no two proxies may share one.", valueName: "name"))
    var name: String?

    @Option(
        help: ArgumentHelp(
            "Where the coordinator is, http://HOST:PORT, instead of proxy.coordinator.", valueName: "url"))
    var coordinator: String?

    func run() async throws {
        let configuration = try file.load(for: .proxy, listen: listen, name: name, coordinator: coordinator)
        guard let endpoint = configuration.proxy.coordinator else {
            throw CommandFailure(.usage, "proxy.coordinator: is missing; expected http://HOST:PORT")
        }
        let logger = configuration.log.logger("unstick")
        ProcessSetup.prepare(logger)
        let secret = try configuration.bridgeSecret()
        let store = try configuration.openStore(configuration.log.logger("unstick.store"), clock: SystemClock.wall)
        let client = ControlClient(
            address: "http://\(endpoint)",
            token: configuration.adminToken.map { String(decoding: $0.bytes, as: UTF8.self) })
        let observation = try ObservationParts(configuration)
        let proxy: Proxy
        do {
            proxy = try await Proxy.configured(
                configuration.proxyOptions(secret: secret, observation: observation.options), store: store,
                link: HTTPCoordinatorLink(client: client), configuration)
        } catch {
            await observation.close()
            try? await store.shutdown()
            throw error
        }
        var parts: [Serving.Part] = [.proxy(proxy, configuration), .hangup(observation, proxy)]
        if let admin = ProxyAdmin(configuration, proxy: proxy) { parts.append(.proxyAdmin(admin)) }
        let serving = Serving(parts: parts + observation.parts, logger: logger)
        let result = await Result {
            try await serving.run {
                Output.line(
                    "unstick proxy: serving \(configuration.clientAddresses) as \(configuration.proxy.name), "
                        + "coordinator http://\(endpoint)")
            }
        }
        await observation.close()
        try? await store.shutdown()
        try result.get()
    }
}
