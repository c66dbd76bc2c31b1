public import ControlAPI

/// Why a call to the coordinator did not give an answer.
public enum ControlClientError: Error, Sendable, CustomStringConvertible {
    /// No connection, no answer within the deadline, or the connection broke. A request that changes something may or
    /// may not have been accepted: look at `operations/current` before asking again.
    case unreachable(address: String, reason: String)
    /// The coordinator refused; the status is the HTTP one.
    case problem(APIProblem, status: Int)
    /// Something answered that is not a coordinator of this protocol.
    case unintelligible(address: String, reason: String)

    public var description: String {
        switch self {
        case .unreachable(let address, let reason): "coordinator \(address) cannot be reached: \(reason)"
        case .problem(let problem, _): problem.message
        case .unintelligible(let address, let reason): "\(address) does not answer like a coordinator: \(reason)"
        }
    }
}
