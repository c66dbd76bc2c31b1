import ArgumentParser
import ControlAPI
import ControlClient
import Foundation
import UnstickTerminal

struct InstancesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "instances", abstract: "The application's instances: state, health, sessions.")

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let client = try connection.client()
        let report = try await asking { () async throws(ControlClientError) in try await client.instances() }
        if output.isJSON { return Output.json(report) }
        Output.lines(StatusTables.instances(report.instances, width: Terminal.size(STDOUT_FILENO).columns))
    }
}
