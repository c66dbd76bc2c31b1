extension ProxyOptions {
    /// How a client is pinned to an instance.
    public struct Affinity: Sendable {
        public enum Method: Sendable {
            /// A cookie of the proxy's own, `NAME~SIGNATURE`.
            case cookie
            /// The client's address chooses among all instances, the same from every proxy.
            case ipHash
            /// A path or query parameter with the same value as the cookie would have.
            case urlParameter
        }

        public var method: Method = .cookie
        /// Name of the cookie; its value is the instance's name and a signature.
        public var cookie: String = "UNSTICK"
        /// Name of the parameter; needed by ``Method/urlParameter``.
        public var parameter: String?
        public var cookieAttributes = CookieAttributes()
        /// What other balancers have told the clients, understood where ours is missing; the first that fits wins.
        public var adopt: [AdoptedAffinity] = []
        public init() {}

        /// Attributes behind the value on a connection without TLS, beginning with `; `.
        public var attributes: String { cookieAttributes.text(isSecure: false) }
    }
}

/// What stands behind the value in the `Set-Cookie` of the affinity (RFC 6265bis section 4.1). `HttpOnly` always: no
/// script has a use for it.
public struct CookieAttributes: Sendable, Equatable {
    public enum SameSite: String, Sendable {
        case strict = "Strict"
        case lax = "Lax"
        case none = "None"
    }

    public enum Secure: Sendable {
        /// On TLS connections only, here or at a trusted proxy in front.
        case auto
        case always
        case never
    }

    public var path = "/"
    /// Nil: only the host that was asked for.
    public var domain: String?
    public var sameSite: SameSite = .lax
    public var secure: Secure = .auto
    /// How long the client keeps the cookie, seconds; nil: until it is closed.
    public var maxAgeSeconds: Int?

    public init() {}

    /// - Parameter isSecure: whether the client's connection is TLS, here or at a trusted proxy in front.
    public func text(isSecure: Bool) -> String {
        scope(isSecure: isSecure) + (maxAgeSeconds.map { "; Max-Age=\($0)" } ?? "")
    }

    /// The same cookie, deleted: path, domain and `Secure` have to be those it was set with (section 5.7).
    public func expiringText(isSecure: Bool) -> String { scope(isSecure: isSecure) + "; Max-Age=0" }

    private func scope(isSecure: Bool) -> String {
        let isMarkedSecure = secure == .always || (secure == .auto && isSecure)
        var text = "; Path=\(path); HttpOnly"
        // Browsers refuse a cookie with `SameSite=None` and without `Secure` (section 5.7 step 20). Without the attribute
        // they at least keep it for their own site's requests.
        if sameSite != .none || isMarkedSecure { text += "; SameSite=\(sameSite.rawValue)" }
        if let domain { text += "; Domain=\(domain)" }
        if isMarkedSecure { text += "; Secure" }
        return text
    }
}
