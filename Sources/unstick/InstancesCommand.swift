import ArgumentParser
import ControlAPI
import ControlClient
import Foundation
import UnstickTerminal

struct InstancesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "instances", abstract: "The application's instances: list them, add, remove, or weight one.",
        discussion: """
            Without a subcommand it lists them. To take one out of service with its sessions kept: `unstick drain`.
            """,
        subcommands: [
            InstancesListCommand.self, InstancesAddCommand.self, InstancesRemoveCommand.self,
            InstancesWeightCommand.self,
        ],
        defaultSubcommand: InstancesListCommand.self)
}

struct InstancesListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "State, health, requests in flight and sessions of each.",
        discussion: """
            A drained instance shows three zeros: requests in flight, sessions, and sessions that exist only there.
            """)

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let client = try connection.client()
        let report = try await asking { () async throws(ControlClientError) in try await client.instances() }
        if output.isJSON { return Output.json(report) }
        Output.lines(StatusTables.instances(report.instances, width: Terminal.size(STDOUT_FILENO).columns))
    }
}
