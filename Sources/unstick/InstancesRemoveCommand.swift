import ArgumentParser
import ControlAPI

struct InstancesRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Forget an instance that holds nothing any more; drain it before.",
        discussion: """
            unstick drain web-1 && unstick instances remove web-1

            Refused with exit code 3 while it is not drained, has requests in flight or holds sessions; one that died and was \
            fenced may go. In `sticky`, where a session has no other place, --force removes it all the same and says how \
            many sessions were given up.
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
