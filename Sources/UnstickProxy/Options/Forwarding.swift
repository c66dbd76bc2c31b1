import HTTPWire

extension ProxyOptions {
    /// Addresses with a common prefix.
    public struct Network: Sendable, Hashable {
        let prefix: NetworkPrefix

        /// - Parameters:
        ///   - bytes: 4 or 16 in network order. A range of IPv4 addresses mapped into IPv6 is one of IPv4 addresses.
        ///   - prefixLength: 0 to 32, or 0 to 128. Nil for other numbers.
        public init?(bytes: [UInt8], prefixLength: Int) {
            guard let address = bytes.withUnsafeBytes({ NetworkAddress(networkBytes: $0) }) else { return nil }
            let isMapped = bytes.count == 16 && !address.isIPv6 && prefixLength >= 96
            guard isMapped || bytes.count == 4 || address.isIPv6 else { return nil }
            guard let prefix = NetworkPrefix(address, length: isMapped ? prefixLength - 96 : prefixLength) else {
                return nil
            }
            self.prefix = prefix
        }
    }

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
        public var trustedProxies: [Network] = []
        public init() {}
    }

    /// PROXY protocol on the listener (HAProxy's proxy-protocol.txt, versions 1 and 2).
    public struct ListenProxyProtocol: Sendable {
        /// Every connection must begin with a header; without it, it is closed.
        public var isRequired = false
        /// Peers that may send one; others are closed. Empty: everybody.
        public var sources: [Network] = []
        public init() {}
    }
}

extension ProxyOptions.ListenProxyProtocol {
    /// Whether this peer may send a header. Nil, a peer without an address, may when nobody is named.
    func accepts(_ peer: NetworkAddress?) -> Bool {
        if sources.isEmpty { return true }
        guard let peer else { return false }
        return sources.contains { $0.prefix.contains(peer) }
    }
}
