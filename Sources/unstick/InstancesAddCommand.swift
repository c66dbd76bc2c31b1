import ArgumentParser
import ControlAPI

struct InstancesAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Let another instance join.",
        discussion: """
            Possible in every phase: it starts empty, so there is nothing to verify. It joins in two epochs: in the first \
            every proxy learns its name and sends nothing new there, in the second it takes new sessions, as soon as its \
            health checks succeed. From `mirroring` on its bridge must answer, so that nothing stale stays there; and in \
            `mirroring` no other instance may be out of service meanwhile.
            """)

    @Argument(help: "The instance's name, the same over restarts.")
    var name: String

    @Argument(help: "Where it listens, http://HOST:PORT.")
    var url: String

    @Option(help: "Its share under the weighted balances, 0 to 1000; 0: no new sessions.")
    var weight = 1

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    var kind: OperationKind { .addInstance(name: name, url: url, weight: weight) }

    func run() async throws {
        try await OperationRunner(connection: connection, action: action, output: output).run(kind)
    }
}
