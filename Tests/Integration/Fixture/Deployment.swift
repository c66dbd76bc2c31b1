import ControlAPI
import ControlClient
import Foundation
import Synchronization
import UnstickCore

/// An application with its instances, and Unstick in front of it, as processes on this machine.
///
/// Everything is in a folder of its own and ends with the scope of ``with(_:_:)``, whatever happens in it.
final class Deployment: Sendable {
    let shape: DeploymentShape
    let installation: Installation
    /// Only its owner may look into it.
    let folder: String
    /// Where clients connect: one port a proxy.
    let proxyPorts: [Int]
    let adminPort: Int
    let instancePorts: [Int]
    /// Where the proxy listens with TLS, and nghttpx before it and before each instance; if they do.
    let securePort: Int
    let frontPort: Int
    let instanceFrontPorts: [Int]
    /// `user@host` of operations that tests start without the command line.
    static let operatorName = "test@localhost"

    private struct Processes {
        var mounts: [String] = []
        var running: [String: ChildProcess] = [:]
        /// In the order of their starts, with those that were replaced.
        var all: [ChildProcess] = []
    }
    private let processes = Mutex(Processes())

    /// Names of the instances: `web-1`, `web-2`, …
    var instances: [String] { (1...shape.instances).map { "web-\($0)" } }
    /// Names of the proxies: `proxy-1`, …
    var proxies: [String] { (1...proxyPorts.count).map { "proxy-\($0)" } }
    /// One address a proxy.
    var addresses: [String] {
        switch shape.security.clients {
        case .plain: proxyPorts.map { "http://127.0.0.1:\($0)" }
        case .tls: ["https://127.0.0.1:\(securePort)"]
        case .http2: ["http://127.0.0.1:\(frontPort)"]
        }
    }
    var address: String { addresses[0] }
    var control: ControlClient { ControlClient(address: "http://127.0.0.1:\(adminPort)", http: Browser.http) }

    private init(_ shape: DeploymentShape) throws {
        self.shape = shape
        installation = try Installation.find()
        proxyPorts = try (0..<max(1, shape.proxies)).map { _ in try Ports.free() }
        adminPort = try Ports.free()
        instancePorts = try (0..<shape.instances).map { _ in try Ports.free() }
        securePort = try Ports.free()
        frontPort = try Ports.free()
        instanceFrontPorts = try (0..<shape.instances).map { _ in try Ports.free() }
        // On a disk (FHS 3.0, section 5.15): a store in memory is not durable, and `mirror` refuses it.
        folder = "/var/tmp/unstick-\(UUID().uuidString.prefix(8).lowercased())"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    }

    /// Starts everything, waits until it serves, runs the test, and ends everything.
    /// - Parameter prepare: runs before anything starts.
    static func with(
        _ shape: DeploymentShape, prepare: (Deployment) async throws -> Void = { _ in },
        _ test: (Deployment) async throws -> Void
    ) async throws {
        let deployment = try Deployment(shape)
        do {
            try deployment.writeFiles()
            try await prepare(deployment)
            try await deployment.startAll()
            try await test(deployment)
        } catch {
            deployment.showLogs(after: error)
            await deployment.stopAll()
            throw error
        }
        await deployment.stopAll()
    }

    // MARK: Processes

    subscript(name: String) -> ChildProcess {
        get throws {
            guard let process = processes.withLock({ $0.running[name] }) else {
                throw IntegrationFailure("there is no process \(name)")
            }
            return process
        }
    }

    @discardableResult
    func launch(
        _ name: String, _ program: String, _ arguments: [String], environment: [String: String] = [:]
    ) throws -> ChildProcess {
        let process = try ChildProcess(
            name: name, program, arguments, environment: childEnvironment.merging(environment) { $1 },
            output: "\(folder)/\(name).log")
        processes.withLock {
            $0.running[name] = process
            $0.all.append(process)
        }
        return process
    }

    /// SIGKILL; returns when it is gone.
    func killHard(_ name: String) async throws {
        let process = try self[name]
        process.send(SIGKILL)
        _ = try await process.awaitEnd(within: .seconds(10))
    }

    private func showLogs(after error: any Error) {
        let all = processes.withLock { $0.all }
        let text = all.map { $0.lastLines() }.joined(separator: "\n")
        FileHandle.standardError.write(Data("\n-- deployment failed: \(error)\n\(text)\n".utf8))
    }

    private func stopAll() async {
        let all = processes.withLock { $0.all }.reversed()
        for process in all { process.send(SIGCONT) }
        await withTaskGroup(of: Void.self) { tasks in
            for process in all { tasks.addTask { await process.stop() } }
        }
        for path in processes.withLock({ $0.mounts }) { umount2(path, Int32(MNT_DETACH)) }
        try? FileManager.default.removeItem(atPath: folder)
    }

    func unmountLater(_ path: String) { processes.withLock { $0.mounts.append(path) } }

    var childEnvironment: [String: String] {
        let own = ProcessInfo.processInfo.environment
        var environment: [String: String] = [:]
        for name in ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"] { environment[name] = own[name] }
        let root = installation.root
        environment["PYTHONPATH"] = "\(root)/Sources/Bridges/python/src:\(root)/Examples/flask-notes"
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        environment["PYTHONUNBUFFERED"] = "1"
        environment["UNSTICK_SECRET_FILE"] = "\(folder)/bridge.key"
        environment["SHOP_DB"] = "\(folder)/shop.db"
        environment["NO_COLOR"] = "1"
        return environment
    }
}
