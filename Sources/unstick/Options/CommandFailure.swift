import ControlAPI
import ControlClient

/// The process's exit code (contract).
enum ExitStatus: Int32, Sendable {
    case done = 0
    case failed = 1
    case usage = 2
    case refused = 3
    case timedOut = 4
    case locked = 5
    case rolledBack = 6
    case needsRepair = 7
    case unreachable = 8
    case waitingForApproval = 9
    /// 128 and the number of SIGINT, as shells have it: the operation goes on without its onlooker.
    case detached = 130

    init(_ code: OperationOutcome.Code) {
        switch code {
        case .done: self = .done
        case .failed: self = .failed
        case .invalid: self = .usage
        case .refused: self = .refused
        case .timedOut: self = .timedOut
        case .locked: self = .locked
        case .rolledBack: self = .rolledBack
        case .needsRepair: self = .needsRepair
        }
    }
}

/// Why a command did not do what it was asked for.
struct CommandFailure: Error {
    var status: ExitStatus
    /// For a person, on standard error; may have several lines.
    var message: String
    /// Whether the JSON on standard output already tells it, as an operation's outcome does.
    var isReported = false
    /// The message with the command's usage around it, for a person who mistyped.
    var usage: String?

    init(_ status: ExitStatus, _ message: String, isReported: Bool = false) {
        self.status = status
        self.message = message
        self.isReported = isReported
    }

    init(_ error: ControlClientError) {
        switch error {
        case .unreachable:
            self.init(.unreachable, "\(error); is it running there? (--coordinator, UNSTICK_COORDINATOR)")
        case .problem(let problem, _): self.init(ExitStatus(problem.code), problem.message)
        case .unintelligible: self.init(.unreachable, "\(error)")
        }
    }

    /// `unstick.error/v1`.
    struct Report: Encodable {
        var schema = APIProblem.schema
        var code: Int32
        var message: String
    }

    var report: Report { Report(code: status.rawValue, message: message) }
}

/// Runs a call to the coordinator, with its errors as exit codes.
func asking<Answer>(_ call: () async throws(ControlClientError) -> Answer) async throws(CommandFailure) -> Answer {
    do throws(ControlClientError) {
        return try await call()
    } catch {
        throw CommandFailure(error)
    }
}
