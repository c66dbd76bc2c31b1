import ArgumentParser
import ControlAPI
import UnstickCore

struct CancelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Back to sticky from wherever the migration is.")

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await OperationRunner(connection: connection, action: action, output: output).run(.rollback(to: .sticky))
    }
}
