import ArgumentParser
import Foundation
import UnixSignals
import UnstickSoak
import UnstickTerminal

struct SoakCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "soak",
        abstract: "Drive clients that check every answer against their own history.",
        discussion: """
            The application must serve the counter that the examples serve. Exit code 1 when anything was lost, stale, \
            repeated or resurrected, or nothing succeeded. Ctrl-C ends the run early, with its report.
            """)

    @Option(help: ArgumentHelp("Where the application is; may be repeated.", valueName: "url"))
    var url: [String]

    @Option(help: ArgumentHelp("Clients, 1 to 10000.", valueName: "n"))
    var clients = 64

    @Option(help: ArgumentHelp("How long.", valueName: "duration"), transform: TimeSpan.argument)
    var duration: TimeSpan

    @Option(
        help: ArgumentHelp(
            "Requests of one session at the same time, 1 to 64, each with its own counter.", valueName: "n"))
    var parallel = 1

    @Flag(help: "With --parallel: all on one counter; only for applications that guard against lost updates.")
    var sameKey = false

    @Option(help: ArgumentHelp("Requests a second of the whole run. Default: as fast as answers come.", valueName: "r"))
    var rate: Double?

    @Option(help: ArgumentHelp("The same seed makes the same decisions.", valueName: "n"))
    var seed: UInt64 = 1

    @Flag(help: "Every client walks through all addresses; otherwise each stays at one.")
    var alternate = false

    @Option(help: ArgumentHelp("How long an answer may take.", valueName: "duration"), transform: TimeSpan.argument)
    var requestTimeout: TimeSpan?

    @Option(help: ArgumentHelp("Authorities of https addresses, PEM. Default: the system's.", valueName: "path"))
    var caFile: String?

    @Flag(help: "Take any certificate of https addresses.")
    var insecure = false

    @OptionGroup var output: OutputOptions

    var options: SoakOptions {
        var options = SoakOptions(urls: url, duration: duration.duration)
        options.clients = clients
        options.alternateURLs = alternate
        options.parallel = parallel == 1 ? .none : sameKey ? .sameKey(parallel) : .distinctKeys(parallel)
        options.targetRate = rate
        options.seed = seed
        options.authorityFile = caFile
        options.verifiesCertificates = !insecure
        if let requestTimeout { options.requestTimeout = requestTimeout.duration }
        return options
    }

    func validate() throws {
        guard !url.isEmpty else {
            throw ValidationError("--url is missing: expected http://HOST:PORT or https://HOST:PORT")
        }
        guard (1...64).contains(parallel) else { throw ValidationError("--parallel \(parallel): expected 1 to 64") }
        if sameKey, parallel == 1 { throw ValidationError("--same-key goes with --parallel 2 and more") }
    }

    func run() async throws {
        let run = SoakRun(options: options)
        let display = ProgressDisplay()
        let report: SoakReport
        do {
            report = try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) { run.stop() }
                }
                if display.isRewritten {
                    tasks.addTask {
                        while true {
                            try await Task.sleep(for: .seconds(1))
                            display.show(SoakLines.progress(run.snapshot()))
                        }
                    }
                }
                defer { tasks.cancelAll() }
                return try await run.run()
            }
        } catch let error as SoakError {
            throw CommandFailure(.usage, "\(error)")
        }
        display.close()
        if output.isJSON { Output.json(report) } else { Output.lines(SoakLines.lines(report)) }
        guard report.passed else {
            throw CommandFailure(.failed, "the soak has failed", isReported: true)
        }
    }
}
