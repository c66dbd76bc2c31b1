import Foundation
import Synchronization
import UnstickCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The three instances of the shop and the proxy before them: a folder of their own, and their processes.
final class DemoSite: Sendable {
    let options: DemoOptions
    /// Configuration, key, databases, logs; nobody else may look inside.
    let folder: String
    let listenPort: Int
    let adminPort: Int
    private let ports: [Int]
    private let processes = Mutex<[String: DemoProcess]>([:])

    var url: String { "http://127.0.0.1:\(listenPort)" }
    var adminURL: String { "http://127.0.0.1:\(adminPort)" }

    /// Makes the folder and everything in it; starts nothing yet.
    init(options: DemoOptions) throws(DemoError) {
        self.options = options
        var ports = try Self.freePorts(count: DemoOptions.instances.count + 2)
        listenPort = options.listen.flatMap(LoopbackAddress.init)?.port ?? ports.removeLast()
        adminPort = options.admin.flatMap(LoopbackAddress.init)?.port ?? ports.removeLast()
        self.ports = Array(ports.prefix(DemoOptions.instances.count))
        folder = try Self.makeFolder()
        let configuration = Self.configuration(
            listenPort: listenPort, adminPort: adminPort, instances: zip(DemoOptions.instances, self.ports).map { $0 })
        do {
            try Self.write(configuration, to: folder + "/unstick.yaml")
            try Self.write(Self.randomKey(), to: folder + "/bridge.key")
        } catch {
            try? FileManager.default.removeItem(atPath: folder)
            throw .missing("cannot write into \(folder): \(error.localizedDescription)")
        }
    }

    /// `unstick.yaml` as a person would write it for this shop, with quicker health checks than a site would have.
    static func configuration(listenPort: Int, adminPort: Int, instances: [(name: String, port: Int)]) -> String {
        """
        listen: 127.0.0.1:\(listenPort)
        admin: 127.0.0.1:\(adminPort)
        instances:
        \(instances.map { "  - { name: \($0.name), url: \"http://127.0.0.1:\($0.port)\" }" }.joined(separator: "\n"))
        session:  { cookie: sessionid, ttl: 30m, concurrency: merge }
        bridge:   { secret-file: bridge.key }
        store:    { url: "sqlite:unstick.db" }
        health:   { path: /healthz, interval: 500ms, timeout: 450ms }
        migration: { name: \(DemoOptions.migration) }
        proxy:    { name: proxy-1 }
        coordinator: { journal: unstick-journal.db, soak-time: 0s }
        timeouts: { shutdown: 3s }

        """
    }

    // MARK: Processes

    /// Fills the shop's database. Bounded by a minute.
    func seed() async throws {
        let seed = try start("seed", options.python, ["manage.py", "seed"], folder: options.shop)
        guard await seed.hasEnded(within: .seconds(60)) else {
            throw DemoError.missing("the shop's database was not ready within 60 s; \(seed.log) tells why")
        }
        guard seed.statusWords == "exit 0" else { throw seed.death }
        processes.withLock { $0["seed"] = nil }
    }

    func startInstance(_ name: String) throws(DemoError) {
        guard let index = DemoOptions.instances.firstIndex(of: name) else { return }
        _ = try start(
            name, options.python, ["serve.py", "--port", "\(ports[index])", "--name", name], folder: options.shop)
    }

    func instanceURL(_ name: String) -> String {
        let index = DemoOptions.instances.firstIndex(of: name) ?? 0
        return "http://127.0.0.1:\(ports[index])"
    }

    func startProxy() throws(DemoError) {
        _ = try start("unstick up", options.executable, ["up", "--config", folder + "/unstick.yaml"], folder: folder)
    }

    /// `kill -9`, and until the process is gone.
    func kill(instance name: String) async {
        let process = processes.withLock { $0.removeValue(forKey: name) }
        process?.send(SIGKILL)
        _ = await process?.hasEnded(within: .seconds(5))
    }

    /// The first process that ended by itself.
    var casualty: DemoProcess? {
        processes.withLock { $0.values.first { $0.hasDied } }
    }

    /// Ends every process that was started, the proxy first so that no request fails meanwhile, and removes the folder.
    func end() async {
        let all = processes.withLock { processes in
            defer { processes = [:] }
            return processes
        }
        await all["unstick up"]?.end(patience: .seconds(6))
        await withDiscardingTaskGroup { group in
            for process in all.values where process.name != "unstick up" {
                group.addTask { await process.end(patience: .seconds(3)) }
            }
        }
        if !options.keepsFolder { try? FileManager.default.removeItem(atPath: folder) }
    }

    private func start(
        _ name: String, _ executable: String, _ arguments: [String], folder workingFolder: String
    ) throws(DemoError) -> DemoProcess {
        let process = try DemoProcess(
            name: name, executable: executable, arguments: arguments, environment: environment,
            folder: workingFolder, log: folder + "/" + name.replacing(" ", with: "-") + ".log")
        processes.withLock { $0[name] = process }
        return process
    }

    private var environment: [String: String] {
        var environment = [
            "SHOP_DB": folder + "/shop.db", "UNSTICK_SECRET_FILE": folder + "/bridge.key", "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        ]
        // The bridge as it stands in the source tree, unless the interpreter has it installed.
        let bridge = URL(fileURLWithPath: options.shop + "/../../Sources/Bridges/python/src").standardizedFileURL.path
        if FileManager.default.fileExists(atPath: bridge) {
            let inherited = ProcessInfo.processInfo.environment["PYTHONPATH"].map { ":" + $0 } ?? ""
            environment["PYTHONPATH"] = bridge + inherited
        }
        return environment
    }

    // MARK: Folder, key, ports

    private static func makeFolder() throws(DemoError) -> String {
        let template = NSTemporaryDirectory() + "unstick-demo-XXXXXX"
        var path = Array(template.utf8CString)
        // Mode 0700, and a name that nobody could have taken before.
        guard let made = path.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) else {
            throw .missing("no temporary folder could be made as \(template): \(String(cString: strerror(errno)))")
        }
        return String(cString: made)
    }

    /// Readable by the owner only from its first moment on.
    private static func write(_ text: String, to path: String) throws {
        guard FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600]) else {
            throw CocoaError(.fileWriteUnknown)
        }
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try file.write(contentsOf: Data(text.utf8))
        try file.close()
    }

    private static func randomKey() -> String {
        var generator = SystemRandomNumberGenerator()
        let digits = Array("0123456789abcdef")
        return String((0..<64).map { _ in digits[Int.random(in: 0..<16, using: &generator)] })
    }

    /// Ports of 127.0.0.1 that nobody listens on now. Held all at once, so that they differ.
    static func freePorts(count: Int) throws(DemoError) -> [Int] {
        var sockets: [Int32] = []
        defer { for descriptor in sockets { close(descriptor) } }
        var ports: [Int] = []
        for _ in 0..<count {
            #if canImport(Glibc)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            #else
            let descriptor = socket(AF_INET, SOCK_STREAM, 0)
            #endif
            guard descriptor >= 0 else { throw .missing("no socket: \(String(cString: strerror(errno)))") }
            sockets.append(descriptor)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isBound = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                    bind(descriptor, generic, length) == 0 && getsockname(descriptor, generic, &length) == 0
                }
            }
            guard isBound else { throw .missing("no free port: \(String(cString: strerror(errno)))") }
            ports.append(Int(UInt16(bigEndian: address.sin_port)))
        }
        return ports
    }
}
