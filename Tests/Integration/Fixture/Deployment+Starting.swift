import ControlAPI
import ControlClient
import Foundation
import UnstickCore

extension Deployment {
    var configurationPath: String { "\(folder)/unstick.yaml" }

    func writeFiles() throws {
        try write(secret(), to: "bridge.key")
        try write(configuration, to: "unstick.yaml")
    }

    private func secret() -> String { (0..<64).map { _ in String(Int.random(in: 0..<16), radix: 16) }.joined() }

    /// Readable by its owner only.
    func write(_ text: String, to name: String) throws {
        let isWritten = FileManager.default.createFile(
            atPath: "\(folder)/\(name)", contents: Data(text.utf8), attributes: [.posixPermissions: 0o600])
        guard isWritten else { throw IntegrationFailure("\(folder)/\(name) cannot be written") }
    }

    private var configuration: String {
        let instances = zip(instances, instanceAddresses).map { name, url in
            "  - { name: \(name), url: \"\(url)\" }\n"
        }
        return """
            listen: 127.0.0.1:\(proxyPorts[0])
            admin: 127.0.0.1:\(adminPort)
            instances:
            \(instances.joined())
            session: { cookie: \(shape.application.cookie) }
            bridge: { secret-file: bridge.key }
            store: { url: "\(shape.store)" }
            health: { path: /healthz, interval: 500ms, timeout: 500ms, rise: 1 }
            migration: { name: \(DeploymentShape.migration) }
            proxy: { name: proxy-1, threads: 2 }
            coordinator: { acknowledge-timeout: \(shape.acknowledgeTimeout), silence: \(shape.silence) }
            \(secureConfiguration)
            \(shape.extra)

            """
    }

    func startAll() async throws {
        if shape.security.isUsed { try await makeCertificates() }
        if shape.application == .shop { try await seedShop() }
        for name in instances { try startInstance(name) }
        for name in instances { try await awaitInstance(name) }
        if shape.security.instances { try await startInstanceFronts() }
        if shape.isSplit {
            try startCoordinator()
            for name in proxies { try startProxy(name) }
        } else {
            try startUp()
        }
        try await awaitReady()
        if shape.security.clients == .http2 { try await startFront() }
    }

    // MARK: Application

    func port(of instance: String) throws -> Int {
        guard let index = instances.firstIndex(of: instance) else {
            throw IntegrationFailure("no instance \(instance)")
        }
        return instancePorts[index]
    }

    func startInstance(_ name: String) throws {
        if let mode = shape.broken[name] {
            let script = "\(installation.root)/Tests/Integration/Applications/broken.py"
            try launch(
                name, installation.python, [script, "--port", "\(try port(of: name))", "--name", name, "--mode", mode])
            return
        }
        let script =
            switch shape.application {
            case .notes: "Examples/flask-notes/serve.py"
            case .shop: "Examples/django-shop/serve.py"
            case .laboratory: "Tests/Integration/Applications/laboratory.py"
            }
        try launch(
            name, installation.python,
            ["\(installation.root)/\(script)", "--port", "\(try port(of: name))", "--name", name],
            environment: shape.environment[name] ?? [:])
    }

    func awaitInstance(_ name: String) async throws {
        let process = try self[name]
        let url = "http://127.0.0.1:\(try port(of: name))/healthz"
        _ = try await eventually("\(name) to serve", within: .seconds(60)) {
            guard process.ended == nil else { throw IntegrationFailure("\(name) ended at its start") }
            return try await Browser.get(url).status == 200 ? true : nil
        }
    }

    private func seedShop() async throws {
        let seed = try launch(
            "seed", installation.python, ["\(installation.root)/Examples/django-shop/manage.py", "seed"])
        let end = try await seed.awaitEnd(within: .seconds(60))
        guard end == .exited(0) else { throw IntegrationFailure("the shop was not seeded: \(end)") }
    }

    // MARK: Unstick

    func startUp() throws {
        try launch("up", installation.unstick, ["up", "--config", configurationPath] + shape.allowances)
    }

    func startCoordinator() throws {
        try launch(
            "coordinator", installation.unstick, ["coordinator", "--config", configurationPath] + shape.allowances)
    }

    func startProxy(_ name: String) throws {
        guard let index = proxies.firstIndex(of: name) else { throw IntegrationFailure("no proxy \(name)") }
        try launch(
            name, installation.unstick,
            [
                "proxy", "--config", configurationPath, "--name", name, "--listen", "127.0.0.1:\(proxyPorts[index])",
                "--coordinator", "http://127.0.0.1:\(adminPort)",
            ])
    }

    /// Until every proxy and every instance is seen to be well.
    @discardableResult
    func awaitReady(within patience: Duration = .seconds(30)) async throws -> StatusReport {
        let mains = try (shape.isSplit ? ["coordinator"] + proxies : ["up"]).map { try self[$0] }
        return try await eventually("everything to be well", within: patience) {
            let ended = mains.filter { $0.ended != nil }.map(\.name)
            guard ended.isEmpty else { throw IntegrationFailure("\(ended) ended at the start") }
            let status = try await control.status()
            let isReady =
                status.proxies.count == proxyPorts.count && status.proxies.allSatisfy(\.isAlive) && status.settled
                && status.instances.allSatisfy { $0.health == .healthy && $0.state == .active }
            return isReady ? status : nil
        }
    }
}
