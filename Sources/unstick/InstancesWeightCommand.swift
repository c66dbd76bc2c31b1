import ArgumentParser
import ControlAPI

struct InstancesWeightCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weight", abstract: "Change an instance's share of new sessions.",
        discussion: """
            unstick instances weight web-1 0

            Sessions that it holds stay there. A weight counts in the weighted balances, `random`, `power-of-two` and \
            `consistent`; 0 means no new sessions in any. To move its sessions away, use `unstick drain`.
            """)

    @Argument(help: "The instance's name.")
    var name: String

    @Argument(help: "0 to 1000, relative to the others'; 1 is what an instance has that is given none.")
    var weight: Int

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    var kind: OperationKind { .setWeight(instance: name, weight: weight) }

    func run() async throws {
        try await OperationRunner(connection: connection, action: action, output: output).run(kind)
    }
}
