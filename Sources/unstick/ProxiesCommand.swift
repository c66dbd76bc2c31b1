import ArgumentParser
import ControlAPI
import ControlClient
import Foundation
import UnstickTerminal

struct ProxiesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proxies", abstract: "The registered proxies: epoch, silence, dirty sessions.",
        subcommands: [List.self, Forget.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "list", abstract: "List them (the default).")

        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let client = try connection.client()
            let report = try await asking { () async throws(ControlClientError) in try await client.proxies() }
            if output.isJSON { return Output.json(report) }
            Output.lines(
                StatusTables.proxies(
                    report.proxies, epoch: report.epoch, width: Terminal.size(STDOUT_FILENO).columns))
        }
    }

    struct Forget: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "forget",
            abstract: "Remove a proxy that is gone, so that the next step no longer waits for it.",
            discussion: "Only when its process is gone for good: one that still serves would serve by an old epoch.")

        @Argument(help: "The proxy's name.")
        var name: String

        @Flag(name: .shortAndLong, help: "Do not ask.")
        var yes = false

        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let client = try connection.client()
            if Terminal.isInteractive, !yes {
                let answer = Terminal.ask("Is proxy \(name) gone for good? It must not serve any more. [y/N] ")
                guard let answer, ["y", "yes"].contains(answer.lowercased()) else {
                    throw CommandFailure(.failed, "nothing has changed")
                }
            }
            try await asking { () async throws(ControlClientError) in try await client.forget(proxy: name) }
            if output.isJSON {
                let report = try await asking { () async throws(ControlClientError) in try await client.proxies() }
                Output.json(report)
            } else {
                Output.line("proxy \(name) is forgotten")
            }
        }
    }
}
