import ArgumentParser
import ControlClient
import Foundation
import UnstickCore
import UnstickTerminal

struct SessionsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions", abstract: "Look at single sessions.", subcommands: [Explain.self])

    struct Explain: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "explain", abstract: "Where a session is and where its next request would go.",
            discussion: """
                The id is what the client presents: the session cookie's raw value. It is a secret: give `-` and write \
                it to standard input to keep it out of the shell's history and the list of processes.
                """)

        @Argument(help: "The session id, or - to read it from standard input.")
        var id: String

        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let client = try connection.client()
            let id = try resolvedID()
            let session = try await asking { () async throws(ControlClientError) in
                try await client.explain(session: id)
            }
            if output.isJSON { return Output.json(session) }
            let now = UnixMilliseconds(Int64(Date().timeIntervalSince1970 * 1000))
            Output.lines(SessionLines.lines(session, now: now, width: Terminal.size(STDOUT_FILENO).columns))
        }

        private func resolvedID() throws -> String {
            if id != "-" { return id }
            if Terminal.isTerminal(STDIN_FILENO) { Output.write("Session id: ", to: STDERR_FILENO) }
            guard let line = readLine(strippingNewline: true), !line.isEmpty else {
                throw CommandFailure(.usage, "there is no session id on standard input")
            }
            return line
        }
    }
}
