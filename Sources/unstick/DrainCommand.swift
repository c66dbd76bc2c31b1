import ArgumentParser
import ControlAPI
import UnstickTerminal

struct DrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Take an instance out of service without losing a session.",
        discussion: """
            Drained means three zeros: requests in flight, sessions, sessions that exist only there. The deadline \
            reports what is left and drops nothing; --force gives up what is left and says how much it was.
            """)

    @Argument(help: "The instance's name.")
    var name: String

    @Option(
        help: ArgumentHelp("How long to wait for the three zeros. Default: 15m.", valueName: "duration"),
        transform: TimeSpan.argument
    )
    var deadline: TimeSpan?

    @Flag(help: "At the deadline, give up the sessions that are left, and say how many.")
    var force = false

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    var kind: OperationKind {
        .drain(instance: name, deadlineSeconds: deadline?.wholeSeconds, force: force)
    }

    func run() async throws {
        try await OperationRunner(connection: connection, action: action, output: output).run(kind)
    }
}
