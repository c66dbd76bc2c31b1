import ArgumentParser
import ControlAPI

struct UndrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "undrain", abstract: "Take an instance back into service, after evicting its stale sessions.")

    @Argument(help: "The instance's name.")
    var name: String

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await OperationRunner(connection: connection, action: action, output: output).run(.undrain(instance: name))
    }
}
