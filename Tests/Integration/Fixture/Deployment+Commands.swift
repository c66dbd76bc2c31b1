import ControlAPI
import ControlClient
import Foundation
import Testing
import UnstickCore

extension Deployment {
    /// What a command of the real command line did.
    struct CommandResult: Sendable {
        var line: String
        var exitCode: Int32
        var output: String
        var errors: String
    }

    /// Runs `unstick WORDS…` against this coordinator.
    func run(_ words: String..., within patience: Duration = .seconds(60)) async throws -> CommandResult {
        try await run(words, within: patience)
    }

    func run(_ words: [String], within patience: Duration = .seconds(60)) async throws -> CommandResult {
        let line = "unstick " + words.joined(separator: " ")
        let files = "\(folder)/command-\(UUID().uuidString.prefix(8))"
        let process = try ChildProcess(
            name: line, installation.unstick, words + ["--coordinator", "http://127.0.0.1:\(adminPort)"],
            environment: childEnvironment, output: files + ".out", errors: files + ".err")
        do {
            let end = try await process.awaitEnd(within: patience)
            guard case .exited(let code) = end else { throw IntegrationFailure("\(line): \(end)") }
            return CommandResult(line: line, exitCode: code, output: text(files + ".out"), errors: text(files + ".err"))
        } catch {
            FileHandle.standardError.write(Data((process.lastLines() + "\n").utf8))
            await process.stop(patience: .seconds(1))
            throw error
        }
    }

    private func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    /// Runs a command that must succeed.
    @discardableResult
    func succeed(_ words: String..., sourceLocation: SourceLocation = #_sourceLocation) async throws -> CommandResult {
        let result = try await run(words)
        try #require(
            result.exitCode == 0, "\(result.line) exited with \(result.exitCode): \(result.errors)",
            sourceLocation: sourceLocation)
        return result
    }

    /// Runs a command that a gate must refuse, with nothing changed.
    /// - Returns: everything it said.
    @discardableResult
    func refuse(_ words: String..., sourceLocation: SourceLocation = #_sourceLocation) async throws -> String {
        let before = try await control.status()
        let result = try await run(words)
        let after = try await control.status()
        try #require(
            result.exitCode == 3, "\(result.line) exited with \(result.exitCode): \(result.errors)\(result.output)",
            sourceLocation: sourceLocation)
        try #require(after.phase == before.phase, "\(result.line) changed the phase", sourceLocation: sourceLocation)
        try #require(after.epoch == before.epoch, "\(result.line) changed the epoch", sourceLocation: sourceLocation)
        try #require(after.rampPercent == before.rampPercent, sourceLocation: sourceLocation)
        return result.errors + result.output
    }

    /// Starts an operation by the API.
    func start(
        _ kind: OperationKind, killAt entry: Int? = nil, timeoutSeconds: Int? = nil
    ) async throws -> OperationStatus {
        try await control.start(
            OperationRequest(
                kind: kind, by: Self.operatorName, timeoutSeconds: timeoutSeconds, killAtJournalEntry: entry))
    }

    /// Waits until an instance is in a state of the table.
    func await(_ instance: String, _ state: RoutingTable.Instance.State) async throws {
        _ = try await eventually("\(instance) to be \(state)") {
            try await control.status().instances.first { $0.name == instance && $0.state == state }
        }
    }

    /// The phase, once every proxy has it.
    func phase() async throws -> Phase {
        try await eventually("the table to be acknowledged") {
            let status = try await control.status()
            return status.settled ? status.phase : nil
        }
    }
}
