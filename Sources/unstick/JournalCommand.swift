import ArgumentParser
import ControlAPI
import ControlClient
import Foundation
import UnstickTerminal

struct JournalCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "journal", abstract: "What was done, by whom, and why; oldest first.")

    @Flag(name: .shortAndLong, help: "Wait for new entries.")
    var follow = false

    @Option(
        name: .shortAndLong, help: ArgumentHelp("At most this many of the newest entries, 1 to 1000.", valueName: "n"))
    var limit = 100

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...1000).contains(limit) else { throw ValidationError("--limit \(limit): expected 1 to 1000") }
    }

    func run() async throws {
        let client = try connection.client()
        let newest = try await newestEntries(client)
        show(newest)
        var after = newest.entries.last?.sequence ?? 0
        var isSilent = false
        while follow {
            do throws(ControlClientError) {
                let page = try await client.journal(after: after, limit: 1000, wait: .seconds(30))
                isSilent = false
                guard let last = page.entries.last else { continue }
                after = last.sequence
                show(page)
            } catch {
                // The journal outlives its coordinator: the next one goes on in it.
                guard case .unreachable = error else { throw CommandFailure(error) }
                if !isSilent { Output.errorLine("\(error); asking again") }
                isSilent = true
                try await Task.sleep(for: .seconds(1))
            }
        }
    }

    /// The API pages from the oldest on, so the pages are walked and the last entries kept.
    private func newestEntries(_ client: ControlClient) async throws -> JournalPage {
        var newest = JournalPage(entries: [])
        var after: Int64 = 0
        while true {
            let page = try await asking { () async throws(ControlClientError) in
                try await client.journal(after: after, limit: 1000)
            }
            newest.entries = Array((newest.entries + page.entries).suffix(limit))
            guard page.entries.count == 1000, let last = page.entries.last else { return newest }
            after = last.sequence
        }
    }

    private func show(_ page: JournalPage) {
        if output.isJSON { Output.json(page) } else { Output.lines(page.entries.map(JournalLines.line)) }
    }
}
