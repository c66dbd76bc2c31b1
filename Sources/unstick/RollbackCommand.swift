import ArgumentParser
import ControlAPI
import UnstickCore

struct RollbackCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback", abstract: "Back by one or more phases; to externalized always, and at once.")

    enum Target: String, ExpressibleByArgument, CaseIterable {
        case externalized, mirroring, sticky

        var phase: Phase {
            switch self {
            case .externalized: .externalized
            case .mirroring: .mirroring
            case .sticky: .sticky
            }
        }
    }

    @Option(help: ArgumentHelp("The phase to go back to.", valueName: "phase"))
    var to = Target.externalized

    @OptionGroup var action: ActionOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await OperationRunner(connection: connection, action: action, output: output).run(.rollback(to: to.phase))
    }
}
