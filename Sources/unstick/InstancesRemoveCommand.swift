import ArgumentParser
import ControlAPI

struct InstancesRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Take an instance that holds nothing out of the table.",
        discussion: """
            Refused with exit code 3 unless it is drained and has no request in flight and no session, or is fenced. In \
            `sticky`, where nothing keeps what an instance holds, --force removes it all the same and says how many \
            sessions were given up.
            """)

    @Argument(help: "The instance's name.")
    var name: String

    @Flag(help: "In `sticky`: give up the sessions that it holds.")
    var force = false

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    var kind: OperationKind { .removeInstance(name: name, force: force) }

    func run() async throws {
        try await OperationRunner(connection: connection, action: action, output: output).run(kind)
    }
}
