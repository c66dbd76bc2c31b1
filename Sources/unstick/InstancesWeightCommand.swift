import ArgumentParser
import ControlAPI

struct InstancesWeightCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weight", abstract: "Change an instance's share of new sessions.",
        discussion: "Sessions that it holds stay. 0: no new sessions, under any balance.")

    @Argument(help: "The instance's name.")
    var name: String

    @Argument(help: "0 to 1000, relative to the others'.")
    var weight: Int

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    var kind: OperationKind { .setWeight(instance: name, weight: weight) }

    func run() async throws {
        try await OperationRunner(connection: connection, action: action, output: output).run(kind)
    }
}
