/// How an instance served one request, as far as it says something about the instance. What the client did (it went
/// away, it sent too slowly) says nothing, and neither does a kept connection that was closed for idleness.
enum InstanceOutcome: Equatable {
    /// A final response head with this status.
    case answered(status: Int)
    case connectFailed
    case connectTimedOut
    case handshakeFailed
    /// The connection was closed, on a new connection or in the middle of an answer.
    case broken
    case responseTimedOut
    /// Not HTTP.
    case unreadable

    /// No proper answer at all: what the circuit breaker counts.
    var isTransportFault: Bool {
        if case .answered = self { false } else { true }
    }

    /// 502, 503, 504, or no answer: the instance, or what is behind it, does not serve.
    var isGatewayError: Bool {
        if case .answered(let status) = self { (502...504).contains(status) } else { true }
    }

    /// 500 to 599, or no answer.
    var isServerError: Bool {
        if case .answered(let status) = self { (500...599).contains(status) } else { true }
    }
}
