import ArgumentParser
import UnstickConfiguration

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Validate a configuration: every error with file, line, key, and what was expected.",
        discussion: """
            Reads the secrets that the file names as well, and says what is wrong with them; certificates are read by the \
            proxy when it starts. Exit code 0: fine, 2: mistakes.
            """)

    @Argument(help: "The configuration file, such as unstick.yaml.")
    var config: String?

    @Flag(
        help: "Instead: print every key with its default, range and meaning, with examples, as Markdown.")
    var reference = false

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard reference != (config != nil) else {
            throw ValidationError(
                reference
                    ? "--reference reads no file"
                    : "expected a configuration file, such as unstick.yaml, or --reference")
        }
    }

    func run() throws {
        guard let config else { return Output.write(Configuration.reference(), to: 1) }
        do throws(ConfigurationErrors) {
            let configuration = try Configuration.load(path: config) { $0.restrictions(for: .check) }
            if output.isJSON {
                Output.json(Report(file: config, ok: true, problems: [], summary: Self.summary(configuration)))
            } else {
                Output.line("\(config): ok, \(Self.summary(configuration))")
            }
        } catch {
            if output.isJSON {
                Output.json(Report(file: config, ok: false, problems: error.problems.map(Report.Problem.init)))
                throw CommandFailure(.usage, error.description, isReported: true)
            }
            for problem in error.problems { Output.line(problem.description) }
            let count = error.problems.count
            throw CommandFailure(.usage, "\(config): \(count) problem\(count == 1 ? "" : "s")", isReported: true)
        }
    }

    static func summary(_ configuration: Configuration) -> String {
        let names = configuration.instances.map(\.name).joined(separator: ", ")
        let store =
            switch configuration.store.location {
            case .memory: "memory"
            case .sqlite(let path): "sqlite:\(path)"
            }
        return "listen \(configuration.listen), admin \(configuration.admin), instances \(names), store \(store), "
            + "migration \(configuration.migration.name)"
    }

    /// `unstick.check/v1`.
    struct Report: Encodable {
        var schema = "unstick.check/v1"
        var file: String
        var ok: Bool
        var problems: [Problem]
        var summary: String?

        struct Problem: Encodable {
            var file: String
            /// From 1; 0 when the file could not be read.
            var line: Int
            var column: Int
            var key: String
            var value: String?
            var message: String
            var suggestion: String?

            init(_ problem: ConfigurationProblem) {
                file = problem.file
                line = problem.line
                column = problem.column
                key = problem.keyPath
                value = problem.value
                message = problem.message
                suggestion = problem.suggestion
            }
        }
    }
}
