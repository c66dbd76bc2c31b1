import ArgumentParser
import ControlAPI
import UnstickCore

struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Compare every session's memory with the store.")

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await OperationRunner(connection: connection, action: action, output: output).run(.verify, asks: false)
    }
}
