import ArgumentParser
import Foundation

@main
struct Unstick: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unstick",
        abstract: "Takes a web application from sticky in-memory sessions to stateless routing, live.",
        discussion: """
            Exit codes: 0 done · 1 failure · 2 usage or bad config · 3 gate refused, nothing changed · 4 timed out, \
            reverted · 5 locked or stale plan · 6 rolled back automatically · 7 needs repair · 8 coordinator \
            unreachable · 9 waiting for approval · 130 detached by Ctrl-C, the operation goes on
            """,
        version: "1.0.0-dev",
        groupedSubcommands: [
            CommandGroup(
                name: "Processes",
                subcommands: [UpCommand.self, ProxyCommand.self, CoordinatorCommand.self, CheckCommand.self]),
            CommandGroup(
                name: "Migration",
                subcommands: [
                    StatusCommand.self, MirrorCommand.self, VerifyCommand.self, ExternalizeCommand.self,
                    SwitchCommand.self, CompleteCommand.self, CancelCommand.self, RollbackCommand.self,
                ]),
            CommandGroup(
                name: "Instances and proxies",
                subcommands: [
                    InstancesCommand.self, DrainCommand.self, UndrainCommand.self, ProxiesCommand.self,
                ]),
            CommandGroup(
                name: "Looking closer",
                subcommands: [GatesCommand.self, JournalCommand.self, SessionsCommand.self]),
            CommandGroup(name: "Proof", subcommands: [DemoCommand.self, SoakCommand.self]),
        ]
    )

    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst())
        Foundation.exit(await run(arguments: arguments).rawValue)
    }

    /// Parses, runs, reports; what is left is the exit code.
    static func run(arguments: [String]) async -> ExitStatus {
        do {
            var command = try parseAsRoot(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            return .done
        } catch {
            return report(error, isJSON: OutputFormat.isJSON(in: arguments))
        }
    }

    private static func report(_ error: any Error, isJSON: Bool) -> ExitStatus {
        let failure = failure(for: error)
        guard failure.status != .done else {
            Output.line(failure.message)
            return .done
        }
        if isJSON, !failure.isReported { Output.json(failure.report) }
        let text = failure.usage ?? failure.message
        if !text.isEmpty { Output.errorLine(text) }
        return failure.status
    }

    /// What a parser's error is to the outside: its own exit code for usage, 64, is 2 here. Help and version, which come
    /// as errors too, are `done`.
    static func failure(for error: any Error) -> CommandFailure {
        if let failure = error as? CommandFailure { return failure }
        switch exitCode(for: error) {
        case .success: return CommandFailure(.done, fullMessage(for: error))
        case .validationFailure:
            var failure = CommandFailure(.usage, message(for: error))
            failure.usage = fullMessage(for: error)
            return failure
        default: return CommandFailure(.failed, "\(error)")
        }
    }
}
