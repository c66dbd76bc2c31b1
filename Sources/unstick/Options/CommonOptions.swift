import ArgumentParser
import ControlClient
import Foundation
import UnstickCore
import UnstickTerminal

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json

    /// Whether the arguments ask for JSON, even where they cannot be parsed.
    static func isJSON(in arguments: [String]) -> Bool {
        let words = arguments.prefix { $0 != "--" }
        for (word, next) in zip(words, words.dropFirst().map(Optional.some) + [nil]) {
            switch word {
            case "-o", "--output": if next == "json" { return true }
            case "-ojson", "-o=json", "--output=json": return true
            default: break
            }
        }
        return false
    }
}

extension TimeSpan {
    /// Reads an option's value.
    static func argument(_ text: String) throws -> TimeSpan {
        guard let span = TimeSpan(parsing: text) else {
            throw ValidationError("'\(text)' is not a duration; expected one such as 30s, 5m or 1h30m")
        }
        return span
    }
}

struct OutputOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: "text for people, json for programs; every JSON output names its schema.")
    var output = OutputFormat.text

    var isJSON: Bool { output == .json }
}

/// Where the coordinator is.
struct ConnectionOptions: ParsableArguments {
    @Option(
        name: .customLong("coordinator"),
        help: ArgumentHelp(
            "The coordinator's admin address. Default: $UNSTICK_COORDINATOR, or "
                + "http://127.0.0.1:9090.", valueName: "url"))
    var address: String?

    @Option(
        help: ArgumentHelp(
            "File with the admin token, where the coordinator has an admin-token-file.", valueName: "path"))
    var tokenFile: String?

    @Option(
        help: ArgumentHelp(
            "For what changes something: after this long it is taken back, exit code 4. For what only looks: how long an "
                + "answer may take, 10s.",
            valueName: "duration"), transform: TimeSpan.argument)
    var timeout: TimeSpan?

    func validate() throws {
        if let timeout, timeout.duration < .seconds(1) {
            throw ValidationError("--timeout must be at least 1s")
        }
        if let address, let problem = Self.problem(address, "--coordinator") { throw ValidationError(problem) }
    }

    /// - Parameter isOperation: whether `--timeout` is the operation's instead of the answer's.
    func client(isOperation: Bool = false) throws -> ControlClient {
        let environment = ProcessInfo.processInfo.environment["UNSTICK_COORDINATOR"].flatMap { $0.isEmpty ? nil : $0 }
        if address == nil, let environment, let problem = Self.problem(environment, "UNSTICK_COORDINATOR") {
            throw CommandFailure(.usage, problem)
        }
        return ControlClient(
            address: address ?? environment ?? "http://127.0.0.1:9090",
            token: try tokenFile.map(Self.readToken),
            deadline: isOperation ? .seconds(10) : timeout?.duration ?? .seconds(10))
    }

    private static func problem(_ address: String, _ source: String) -> String? {
        let rest = ["http://", "https://"].first { address.hasPrefix($0) }.map { address.dropFirst($0.count) }
        guard let rest, !rest.isEmpty, rest.first != "/", !rest.contains(where: { "@?# ".contains($0) }) else {
            return "\(source): '\(address)' is not an address; expected http://HOST:PORT"
        }
        return nil
    }

    private static func readToken(_ path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CommandFailure(.usage, "--token-file: '\(path)' cannot be read")
        }
        var bytes = data[...]
        while let last = bytes.last, last == 0x0a || last == 0x0d { bytes.removeLast() }
        guard !bytes.isEmpty, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw CommandFailure(.usage, "--token-file: '\(path)' holds something else than a token of visible ASCII")
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// How something that changes the migration is asked for.
struct ActionOptions: ParsableArguments {
    @Flag(help: "Ask every gate, show what would be done, change nothing.")
    var dryRun = false

    @Flag(inversion: .prefixedNo, help: "Look on until the operation has ended; Ctrl-C only stops looking.")
    var wait = true

    @Flag(name: .shortAndLong, help: "Begin without asking.")
    var yes = false

    @Option(help: ArgumentHelp("Why; for the journal.", valueName: "text"))
    var reason: String?

    @Option(
        help: ArgumentHelp(
            "Refuse, with exit code 5, unless the routing table is still at this epoch (`unstick status` shows it).",
            valueName: "n"))
    var expectedEpoch: UInt64?
}
