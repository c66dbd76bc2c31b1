/// The fields that a proxy has to recognise, by name, case-insensitively.
public enum KnownField: UInt8, Hashable, Sendable, CaseIterable {
    case other
    case host, connection, contentLength, transferEncoding, expect, upgrade, keepAlive, te, trailer
    case proxyConnection, proxyAuthenticate, proxyAuthorization, proxyAuthenticationInfo
    case cookie, setCookie, authorization
    case forwarded, xForwardedFor, xForwardedProto, xForwardedHost, xForwardedPort, xRealIP, via
    case date, server, contentType, cacheControl, maxForwards
    /// `Unstick-Session`, spelt with the hyphen.
    case unstickSession
    /// `Unstick-State`, spelt with the hyphen.
    case unstickState
    /// Any other name that starts with `unstick-` when `_` is read as `-`, as CGI and WSGI do.
    case unstick

    /// Whether the field belongs to one connection and is never forwarded (RFC 9110 §7.6.1).
    @inlinable
    public var isHopByHop: Bool { fatalError() }
    /// Whether it is one of ours, in whatever spelling.
    @inlinable
    public var isUnstick: Bool { self == .unstick || self == .unstickSession || self == .unstickState }
    /// Whether a trailer section must not carry the field (RFC 9110 §6.5.1).
    @inlinable
    public var isForbiddenInTrailers: Bool { fatalError() }
}
