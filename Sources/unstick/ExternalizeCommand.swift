import ArgumentParser
import ControlAPI
import UnstickCore

struct ExternalizeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "externalize", abstract: "mirroring → externalized: the store gets the authority.")

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await OperationRunner(connection: connection, action: action, output: output).run(.externalize)
    }
}
