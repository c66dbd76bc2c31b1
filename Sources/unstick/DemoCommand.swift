import ArgumentParser
import AsyncHTTPClient
import ControlAPI
import Foundation
import NIOCore
import UnixSignals
import UnstickDemo

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Show the whole migration on this machine, in a few minutes.",
        discussion: """
            Starts three instances of Examples/django-shop and `unstick up` before them, drives load, goes through every \
            phase, a kill -9, a drain and both rollbacks, and tells what happens. Everything stays on the loopback \
            interface and in a temporary folder.

            Exit code 0 when nothing was lost, stale or resurrected and the admin stayed logged in, otherwise 1.
            """
    )

    enum Output: String, ExpressibleByArgument, CaseIterable { case text, json }

    @Option(help: "Simulated shoppers, 1 to 1000.")
    var clients = 48

    @Option(help: ArgumentHelp("How long each chapter is driven, in seconds.", valueName: "s"))
    var phaseSeconds = 4.0

    @Option(
        help: ArgumentHelp("Where the shop is to be found: 127.0.0.1:PORT. Default: a free port.", valueName: "address")
    )
    var listen: String?

    @Option(
        help: ArgumentHelp("Where API and status page are: 127.0.0.1:PORT. Default: a free port.", valueName: "address")
    )
    var admin: String?

    @Flag(help: "Wait for Enter before every chapter, so that you can look around in a browser.")
    var pause = false

    @Flag(help: "Keep the folder with configuration, logs and databases.")
    var keep = false

    @Option(help: "The same seed makes the shoppers decide the same.")
    var seed: UInt64 = 1

    @Option(
        help: ArgumentHelp(
            "Python with Django and waitress. Default: $UNSTICK_PYTHON, then .build/venv.", valueName: "path"))
    var python: String?

    @Option(
        help: ArgumentHelp(
            "Folder of the example shop. Default: Examples/django-shop, from here upwards.", valueName: "path"))
    var shop: String?

    @Option(name: [.short, .customLong("output")], help: "text or json: one object, unstick.demo/v1.")
    var output = Output.text

    func run() async throws {
        let screen = output == .json ? Screen.standardError() : Screen.standardOutput()
        let http = HTTPClient(
            eventLoopGroupProvider: .singleton, configuration: .init(redirectConfiguration: .disallow))
        do {
            let demonstration = Demonstration(options: try options(), screen: screen, http: http)
            let report = try await Self.untilSignal { try await demonstration.run() }
            try await http.shutdown()
            if output == .json { print(try ControlJSON.text(report)) }
            // The verdict is on the screen, or in the object.
            if report.verdict == .fail { throw CommandFailure(.failed, "", isReported: true) }
        } catch {
            try? await http.shutdown()
            switch error {
            case let error as DemoError: throw CommandFailure(error.isUsage ? .usage : .failed, "\(error)")
            case is CancellationError:
                throw CommandFailure(.failed, "interrupted; everything that was started has ended")
            default: throw error
            }
        }
    }

    private func options() throws -> DemoOptions {
        let environment = ProcessInfo.processInfo.environment
        let executable = try Self.executable()
        let folder = FileManager.default.currentDirectoryPath
        guard let shop = shop ?? ShopLocation.shop(executable: executable, currentFolder: folder) else {
            throw DemoError.invalid("Examples/django-shop was not found from \(folder) upwards; name it with --shop")
        }
        guard FileManager.default.fileExists(atPath: shop + "/serve.py") else {
            throw DemoError.invalid("--shop is '\(shop)', where there is no serve.py")
        }
        guard
            let python = python ?? environment["UNSTICK_PYTHON"]
                ?? ShopLocation.python(executable: executable, currentFolder: folder, shop: shop)
        else {
            throw DemoError.invalid(
                "no Python with Django was found; run Examples/quickstart.sh, or name one with --python")
        }
        guard FileManager.default.isExecutableFile(atPath: python) else {
            throw DemoError.invalid("the Python interpreter '\(python)' cannot be executed")
        }
        var options = DemoOptions(
            executable: executable, python: URL(fileURLWithPath: python).path, shop: URL(fileURLWithPath: shop).path)
        options.clients = clients
        guard phaseSeconds.isFinite, phaseSeconds >= 0.1, phaseSeconds <= 3600 else {
            throw DemoError.invalid("--phase-seconds is \(phaseSeconds); expected 0.1 to 3600")
        }
        options.chapterDuration = .milliseconds(Int64(phaseSeconds * 1000))
        options.listen = listen
        options.admin = admin
        options.pausesBetweenChapters = pause
        options.keepsFolder = keep
        options.seed = seed
        return options
    }

    /// This very program, so that the demonstration shows what it belongs to.
    private static func executable() throws -> String {
        guard let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else {
            throw DemoError.missing("/proc/self/exe cannot be read")
        }
        return path
    }

    /// Cancels `body` at SIGINT or SIGTERM, and waits for it to clean up.
    private static func untilSignal<Value: Sendable>(
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        return try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                for await _ in signals { break }
                return nil
            }
            defer { group.cancelAll() }
            if let value = try await group.next() ?? nil { return value }
            group.cancelAll()
            // The demonstration ends its processes before it lets go.
            while let rest = try await group.next() { if let rest { return rest } }
            throw CancellationError()
        }
    }
}
