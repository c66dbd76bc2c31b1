import SocketLoop

/// An address that cannot be listened on.
public struct ListenFailure: Error, Equatable, CustomStringConvertible {
    /// Where it is configured: `listen` or `tls.listen`.
    public var key: String
    /// `HOST:PORT`.
    public var address: String
    /// `errno`, or 0 for a name that could not be resolved.
    public var code: Int32

    public var description: String { "\(key): \(SocketFailure(code: code, operation: "listen on \(address)"))" }
}
