import ArgumentParser
import ControlAPI
import ControlClient

struct CompleteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "complete",
        abstract: "stateless → completed: affinity ends, memory is evicted. There is no way back.")

    @Option(help: ArgumentHelp("The migration's name, instead of typing it at the prompt.", valueName: "name"))
    var confirm: String?

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let name = try await confirmation()
        // Who gives the name has been asked enough.
        try await OperationRunner(connection: connection, action: action, output: output)
            .run(.complete(confirm: name), asks: false)
    }

    private func confirmation() async throws -> String {
        if let confirm { return confirm }
        let mayAsk = Terminal.isInteractive && !action.yes
        guard action.dryRun || mayAsk else {
            throw CommandFailure(
                .usage,
                "there is no way back from completed: give the migration's name with --confirm NAME"
                    + (action.yes ? " (--yes does not stand for it)" : ", or type it at a terminal"))
        }
        let client = try connection.client(isOperation: true)
        let status = try await asking { () async throws(ControlClientError) in try await client.status() }
        // A dry run shows the other gates; nothing is confirmed by it.
        if action.dryRun { return status.migration }
        let standing = OperationRunner.standing(status)
        guard
            let typed = Terminal.ask(
                "\(status.migration) is in \(standing) at epoch \(status.epoch). There is no way back from completed.\n"
                    + "Type the migration's name to complete it: "),
            typed == status.migration
        else {
            throw CommandFailure(.failed, "that is not the migration's name; nothing has changed")
        }
        return typed
    }
}
