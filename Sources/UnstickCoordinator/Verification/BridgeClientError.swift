/// Why an instance's bridge did not answer as the contract says. Never carries a session id.
struct BridgeClientError: Error, Sendable, Equatable, CustomStringConvertible {
    enum Reason: String, Sendable {
        /// No connection, or it broke before the answer was complete.
        case unreachable
        /// No complete answer within the deadline.
        case timedOut
        /// 401: the bridge does not accept our signature.
        case unauthorized
        /// 404 without the contract's header: no bridge answers under this path.
        case notInstalled
        /// An answer that contract version 1 does not know.
        case garbage
        /// The calling task was cancelled.
        case cancelled
    }

    /// The instance's name.
    var instance: String
    var reason: Reason
    /// What was asked and what came back.
    var message: String

    var description: String { "\(instance): \(message)" }

    /// Whether the instance may answer the next request although it did not answer this one as it should.
    var concernsOneSession: Bool { reason == .garbage }
}
