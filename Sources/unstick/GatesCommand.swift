import ArgumentParser
import ControlClient
import Foundation
import UnstickTerminal

struct GatesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gates", abstract: "The gates of every transition that is possible now, asked afresh.")

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let client = try connection.client()
        let report = try await asking { () async throws(ControlClientError) in try await client.gates() }
        if output.isJSON { return Output.json(report) }
        Output.lines(GateLines.lines(report, width: Terminal.size(STDOUT_FILENO).columns))
    }
}
