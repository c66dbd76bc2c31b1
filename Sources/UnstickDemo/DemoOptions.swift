/// What a demonstration runs, and how it is told.
public struct DemoOptions: Sendable {
    /// Path of the `unstick` executable whose `up` is put before the shop.
    public var executable: String
    /// Path of a Python interpreter with Django and waitress.
    public var python: String
    /// Folder of the example shop, with `serve.py` in it.
    public var shop: String
    /// Simulated shoppers. 1 to 1000.
    public var clients = 48
    /// How long each chapter is driven after its operation is done. 100 ms to 1 h.
    public var chapterDuration: Duration = .seconds(4)
    /// `127.0.0.1:PORT` where the proxy serves; nil: a free port.
    public var listen: String?
    /// `127.0.0.1:PORT` of the API and status page; nil: a free port.
    public var admin: String?
    /// Whether every chapter waits for Enter.
    public var pausesBetweenChapters = false
    /// Whether the folder with configuration, logs and databases stays.
    public var keepsFolder = false
    /// The same seed makes the shoppers decide the same.
    public var seed: UInt64 = 1

    public init(executable: String, python: String, shop: String) {
        self.executable = executable
        self.python = python
        self.shop = shop
    }

    /// Pause of a shopper between an answer and the next request, varied by half: enough load to find what is wrong,
    /// not so much that a laptop's pauses are those of its own overload.
    static let thinkTime: Duration = .milliseconds(60)
    /// Names of the shop's instances.
    static let instances = ["web-1", "web-2", "web-3"]
    /// The migration's name; `complete` asks for it.
    static let migration = "shop"

    /// Refuses bad values before anything is started.
    func validate() throws(DemoError) {
        guard (1...1000).contains(clients) else {
            throw .invalid("--clients is \(clients); expected 1 to 1000")
        }
        guard chapterDuration >= .milliseconds(100), chapterDuration <= .seconds(3600) else {
            throw .invalid("--phase-seconds is \(chapterDuration); expected 0.1 to 3600 seconds")
        }
        for (name, address) in [("--listen", listen), ("--admin", admin)] {
            guard let address else { continue }
            guard LoopbackAddress(address) != nil else {
                throw .invalid("\(name) is '\(address)'; expected 127.0.0.1:PORT, because the admin password is public")
            }
        }
        if let listen, listen == admin { throw .invalid("--listen and --admin are both \(listen)") }
    }
}

/// An address that only this machine reaches.
struct LoopbackAddress: Sendable, Equatable {
    var port: Int

    /// `127.0.0.1:PORT` or `localhost:PORT`, port 1 to 65535.
    init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] == "127.0.0.1" || parts[0] == "localhost", let port = Int(parts[1]),
            (1...65_535).contains(port), parts[1].allSatisfy(\.isNumber)
        else { return nil }
        self.port = port
    }
}

/// Why a demonstration could not be given, or did not hold what it promises.
public enum DemoError: Error, Sendable, Equatable, CustomStringConvertible {
    /// An option cannot be used; nothing was started.
    case invalid(String)
    /// Something that the demonstration needs is not there or could not be started.
    case missing(String)
    /// A process ended that nobody had ended. `log` is the end of what it wrote.
    case died(process: String, status: String, log: String)
    /// A chapter did not come to its end.
    case chapter(String)

    /// Whether the caller asked for something that cannot be.
    public var isUsage: Bool {
        if case .invalid = self { true } else { false }
    }

    public var description: String {
        switch self {
        case .invalid(let message), .missing(let message), .chapter(let message): message
        case .died(let process, let status, let log):
            "\(process) ended by itself (\(status))"
                + (log.isEmpty ? "; it wrote nothing" : "; its last lines:\n\(log)")
        }
    }
}
