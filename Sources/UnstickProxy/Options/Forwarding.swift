public import HTTPWire

extension ProxyOptions {
    /// What instances are told about the client and about the proxy, and whose word about clients is believed.
    public struct Forwarding: Sendable {
        /// Which field of a trusted peer names the client.
        public enum ClientSource: Sendable {
            /// `X-Forwarded-For`: the rightmost address that is not a trusted proxy's.
            case xForwardedFor
            /// `Forwarded` (RFC 7239), likewise.
            case forwarded
            /// No field: the client is who is connected.
            case connection
        }

        /// Name in `Via` (RFC 9110 section 7.6.3), a token; nil: no `Via` is added.
        public var via: String? = "unstick"
        /// Adds `Via` to responses too, where RFC 9110 leaves a gateway the choice.
        public var viaInResponses = false
        /// Sends `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
        public var xForwarded = true
        /// Sends `X-Real-IP`, the effective client address.
        public var xRealIP = false
        /// Sends `Forwarded` (RFC 7239).
        public var forwarded = false
        public var clientSource = ClientSource.xForwardedFor
        /// Peers whose fields about the client are believed and passed on. From all others they are replaced.
        public var trustedProxies: [NetworkPrefix] = []
        public init() {}
    }

    /// PROXY protocol on the listener (HAProxy's proxy-protocol.txt, versions 1 and 2).
    public struct ListenProxyProtocol: Sendable {
        /// Every connection must begin with a header; without it, it is closed.
        public var isRequired = false
        /// Peers that may send one; others are closed. Empty: everybody.
        public var sources: [NetworkPrefix] = []
        public init() {}
    }
}
