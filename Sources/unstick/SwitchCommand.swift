import ArgumentParser
import ControlAPI

struct SwitchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "switch",
        abstract: "externalized → stateless, or a ramp: this share of sessions goes to any instance.")

    @Option(help: ArgumentHelp("Share of sessions, 1 to 100.", valueName: "n"))
    var percent: Int

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...100).contains(percent) else {
            throw ValidationError("--percent \(percent): expected 1 to 100; `unstick rollback` takes the switch back")
        }
    }

    func run() async throws {
        try await OperationRunner(connection: connection, action: action, output: output)
            .run(.switchTo(percent: percent))
    }
}
