import ArgumentParser
import UnstickConfiguration

/// The configuration file, and what one of several processes that share it has of its own.
struct ConfigurationOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: ArgumentHelp("The configuration file.", valueName: "path"))
    var config = "unstick.yaml"

    /// Reads the file, then lays the command line's values over it.
    func load(
        for role: ProcessRole, listen: String? = nil, admin: String? = nil, name: String? = nil,
        coordinator: String? = nil
    ) throws(CommandFailure) -> Configuration {
        var configuration: Configuration
        do throws(ConfigurationErrors) {
            configuration = try Configuration.load(path: config) {
                $0.restrictions(for: role, hasCoordinator: coordinator != nil)
            }
        } catch {
            throw CommandFailure(.usage, error.description)
        }
        if let listen { configuration.listen = try Self.endpoint(listen, "--listen") }
        if let admin { configuration.admin = try Self.endpoint(admin, "--admin") }
        if let coordinator {
            guard coordinator.hasPrefix("http://") else {
                throw CommandFailure(
                    .usage, "--coordinator: '\(coordinator)' is not an address; expected http://HOST:PORT")
            }
            configuration.proxy.coordinator = try Self.endpoint(
                String(coordinator.dropFirst("http://".count)), "--coordinator")
        }
        if let name {
            guard Self.isName(name) else {
                throw CommandFailure(
                    .usage, "--name: '\(name)' is not a name; expected 1 to 64 letters, digits, '.', '_' or '-'")
            }
            configuration.proxy.name = name
        }
        try Self.check(configuration, role)
        return configuration
    }

    private static func endpoint(_ text: String, _ option: String) throws(CommandFailure) -> SocketEndpoint {
        do throws(EndpointRefusal) {
            return try SocketEndpoint(parsing: text)
        } catch {
            throw CommandFailure(.usage, "\(option): '\(text)' \(error); expected HOST:PORT")
        }
    }

    private static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
                default: "._-".utf8.contains(byte)
                }
            }
    }

    /// What the file's own check could not know of the values laid over it.
    private static func check(_ configuration: Configuration, _ role: ProcessRole) throws(CommandFailure) {
        if role == .up, configuration.listen == configuration.admin {
            throw CommandFailure(.usage, "'\(configuration.listen)' cannot be both listen and admin")
        }
        if role != .coordinator,
            let instance = configuration.instances.first(where: { $0.endpoint == configuration.listen })
        {
            throw CommandFailure(
                .usage,
                "'\(configuration.listen)' is listen and the URL of \(instance.name); requests would go in circles")
        }
        if role == .up || role == .coordinator, !configuration.admin.isLoopback, configuration.adminToken == nil {
            throw CommandFailure(
                .usage,
                "admin '\(configuration.admin)' can be reached from other machines without a token; expected a loopback "
                    + "address, or admin-token-file")
        }
    }
}
