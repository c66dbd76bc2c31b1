extension Configuration {
    /// What instances are told about the client and about the proxy.
    public struct Forwarding: Sendable, Equatable {
        /// Which field of a trusted proxy names the client.
        public enum ClientSource: String, Sendable, CaseIterable {
            /// The rightmost address of `X-Forwarded-For` that is not a trusted proxy's.
            case xForwardedFor = "x-forwarded-for"
            /// Likewise of `Forwarded` (RFC 7239).
            case forwarded
            /// No field: the client is who is connected.
            case connection
        }

        /// The proxy's name in `Via`, a token of up to 64 bytes; nil: no `Via`. Default `unstick`.
        public var via: String? = "unstick"
        /// `Via` in responses too. Default false.
        public var viaInResponses = false
        /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`. Default true.
        public var xForwarded = true
        /// `X-Real-IP` with the client's address. Default false.
        public var xRealIP = false
        /// `Forwarded` (RFC 7239). Default false.
        public var forwarded = false
        /// Default `x-forwarded-for`.
        public var clientSource = ClientSource.xForwardedFor

        public init() {}
    }

    /// Whether connections begin with a PROXY protocol header.
    public enum ListenProxyProtocol: String, Sendable, CaseIterable {
        case off
        /// Versions 1 and 2; a connection without one is closed.
        case required
    }
}
