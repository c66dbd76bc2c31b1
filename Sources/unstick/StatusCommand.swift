import ArgumentParser
import ControlClient
import Foundation
import UnstickTerminal

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Phase, coverage, instances, proxies, gates, and what is awaited.")

    @Flag(name: .shortAndLong, help: "Redraw every second; in a pipe, a block for each change.")
    var watch = false

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let client = try connection.client()
        if watch { return try await StatusWatch(client: client, isJSON: output.isJSON).run() }
        let report = try await asking { () async throws(ControlClientError) in try await client.status() }
        if output.isJSON { return Output.json(report) }
        Output.lines(StatusScreen(report, width: Terminal.size(STDOUT_FILENO).columns).lines)
    }
}
