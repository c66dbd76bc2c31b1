import Glibc

/// A system call's refusal.
public struct SocketFailure: Error, Equatable, CustomStringConvertible {
    /// `errno`, or 0 for a name that could not be resolved.
    public let code: Int32
    /// What was tried, such as `bind 127.0.0.1:8080`.
    public let operation: String

    public init(code: Int32, operation: String) {
        self.code = code
        self.operation = operation
    }

    public static func == (left: SocketFailure, right: SocketFailure) -> Bool { left.code == right.code }

    /// The time for a connection was up.
    public var isTimeout: Bool { code == ETIMEDOUT }

    public var description: String {
        guard code != 0 else { return "\(operation): no address found" }
        return "\(operation): \(String(cString: strerror(code)))"
    }
}
