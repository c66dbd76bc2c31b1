import ControlAPI
import ControlClient
import Foundation
import Synchronization
import UnixSignals
import UnstickCore
import UnstickTerminal

/// Asks for an operation, looks on until it ends, and reports how.
struct OperationRunner {
    var connection: ConnectionOptions
    var action: ActionOptions
    var output: OutputOptions

    /// How long the coordinator may be silent while an operation is looked at: one that restarts resumes it.
    static let patience = Duration.seconds(15)

    /// - Parameter asks: whether a person is asked first; what only looks does not.
    func run(_ kind: OperationKind, asks: Bool = true) async throws {
        let client = try connection.client(isOperation: true)
        if asks { try await confirm(kind, client) }
        let begun = try await asking { () async throws(ControlClientError) in try await client.start(request(kind)) }
        guard action.wait else {
            if output.isJSON {
                Output.json(begun)
            } else {
                Output.line(
                    "operation \(begun.id) (\(OperationLines.command(kind))) has begun; `unstick status` shows it")
            }
            return
        }
        try report(try await lookOn(begun, client))
    }

    func request(_ kind: OperationKind) -> OperationRequest {
        OperationRequest(
            kind: kind, by: Self.operatorName, reason: action.reason, dryRun: action.dryRun,
            expectedEpoch: action.expectedEpoch.map { Epoch($0) },
            timeoutSeconds: connection.timeout?.wholeSeconds)
    }

    /// `user@host`.
    static var operatorName: String {
        var host = [CChar](repeating: 0, count: 256)
        gethostname(&host, host.count - 1)
        return
            "\(NSUserName())@\(String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))"
    }

    // MARK: Asking

    private func confirm(_ kind: OperationKind, _ client: ControlClient) async throws {
        guard Terminal.isInteractive, !action.yes, !action.dryRun else { return }
        let status = try await asking { () async throws(ControlClientError) in try await client.status() }
        let standing = "\(status.migration) is in \(Self.standing(status)) at epoch \(status.epoch)."
        let answer = Terminal.ask("\(standing)\nunstick \(OperationLines.command(kind)): Continue? [y/N] ")
        guard let answer, ["y", "yes"].contains(answer.lowercased()) else {
            throw CommandFailure(.failed, "nothing has changed")
        }
    }

    static func standing(_ status: StatusReport) -> String {
        status.phase == .stateless ? "stateless \(status.rampPercent) %" : "\(status.phase)"
    }

    // MARK: Looking on

    private func lookOn(_ begun: OperationStatus, _ client: ControlClient) async throws -> OperationStatus {
        let display = ProgressDisplay()
        defer { display.close() }
        return try await withThrowingTaskGroup(of: OperationStatus?.self) { tasks in
            tasks.addTask { try await Self.follow(begun, client, display) }
            tasks.addTask {
                for await _ in await UnixSignalsSequence(trapping: .sigint) { return nil }
                try await Task.sleep(for: .seconds(Int64.max / 2))
                return nil
            }
            defer { tasks.cancelAll() }
            guard let status = try await tasks.next() ?? nil else {
                display.close()
                throw CommandFailure(
                    .detached,
                    "detached: operation \(begun.id) (\(OperationLines.command(begun.kind))) goes on; "
                        + "look at it with `unstick status`")
            }
            return status
        }
    }

    private static func follow(
        _ begun: OperationStatus, _ client: ControlClient, _ display: ProgressDisplay
    ) async throws -> OperationStatus {
        let clock = ContinuousClock()
        var heard = clock.now
        var status = begun
        while status.outcome == nil {
            do throws(ControlClientError) {
                // Coverage comes with the status only; a person at a terminal sees it move.
                let coverage = display.isRewritten ? try? await client.status().coverage : nil
                display.show(OperationLines.progress(status, coverage: coverage))
                status = try await client.operation(begun.id, wait: display.isRewritten ? .seconds(1) : .seconds(5))
                heard = clock.now
            } catch {
                guard case .unreachable(let address, let reason) = error else { throw CommandFailure(error) }
                try Task.checkCancellation()
                guard clock.now - heard < patience else {
                    throw CommandFailure(
                        .unreachable,
                        "coordinator \(address) has been silent for \(patience.components.seconds) s (\(reason)); "
                            + "operation \(begun.id) is in its journal: the coordinator resumes it when it starts")
                }
                display.show(ScreenLine("the coordinator does not answer; asking again", .doubtful))
                try await Task.sleep(for: .milliseconds(500))
            }
        }
        return status
    }

    private func report(_ status: OperationStatus) throws {
        guard let outcome = status.outcome else { return }
        if output.isJSON { Output.json(status) }
        let code = ExitStatus(outcome.code)
        if code == .done {
            if !output.isJSON { Output.line(TerminalText.clean(outcome.message)) }
            return
        }
        Output.errorLines(OperationLines.outcome(outcome, width: Terminal.size(STDERR_FILENO).columns))
        throw CommandFailure(code, "", isReported: true)
    }
}

/// One line on standard error: rewritten on a terminal, a new one for each news in a pipe.
final class ProgressDisplay: Sendable {
    let isRewritten = Terminal.isTerminal(STDERR_FILENO)
    private let last = Mutex("")

    func show(_ line: ScreenLine) {
        last.withLock { last in
            guard line.plain != last else { return }
            last = line.plain
            if isRewritten {
                let fitted = line.fitted(to: Terminal.size(STDERR_FILENO).columns - 1)
                let text = fitted.rendered(colour: Terminal.hasColour(STDERR_FILENO))
                // ECMA-48: EL erases what the longer line before has left.
                Output.write("\r\u{1b}[K\(text)", to: STDERR_FILENO)
            } else {
                Output.errorLines([line])
            }
        }
    }

    /// Leaves an empty line for what comes.
    func close() {
        last.withLock { last in
            if isRewritten, !last.isEmpty { Output.write("\r\u{1b}[K", to: STDERR_FILENO) }
            last = ""
        }
    }
}
