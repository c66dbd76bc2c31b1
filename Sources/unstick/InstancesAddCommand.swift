import ArgumentParser
import ControlAPI

struct InstancesAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Let another instance take new sessions.",
        discussion: """
            unstick instances add web-4 http://10.0.0.14:5001 --weight 2

            Possible in every phase: a new instance has no sessions, so there is nothing to verify. First every proxy learns \
            its name; then it takes new sessions, as soon as its health checks succeed. From `mirroring` on its bridge must \
            answer, so that nothing stale stays there, and in `mirroring` no other instance may be drained or fenced \
            meanwhile. It stays after restarts; the configuration file need not name it.
            """)

    @Argument(help: "The instance's name, the same over restarts.")
    var name: String

    @Argument(help: "Where it listens: http://HOST:PORT, as proxies and coordinator reach it.")
    var url: String

    @Option(
        help: ArgumentHelp(
            "Its share of new sessions, 0 to 1000, relative to the others'; counts in weighted balances. 0: none, in any.",
            valueName: "n"))
    var weight = 1

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    var kind: OperationKind { .addInstance(name: name, url: url, weight: weight) }

    func run() async throws {
        try await OperationRunner(connection: connection, action: action, output: output).run(kind)
    }
}
