internal import UnstickCore

extension ConfigurationTable where Root == ConfigurationDraft {
    private typealias Key = ConfigurationKey<ConfigurationDraft>

    /// Whose word about clients counts, and what instances are told.
    static var forwardingKeys: [ConfigurationKey<ConfigurationDraft>] {
        [
            Key(
                "listen-proxy-protocol", .word(Configuration.ListenProxyProtocol.allCases),
                \.configuration.listenProxyProtocol,
                "Whether every connection to `listen` begins with a PROXY protocol header, version 1 or 2; without one it is closed."
            ),
            Key(
                "listen-proxy-protocol-from", addressRanges, \.configuration.listenProxyProtocolFrom,
                "Peers that may send a PROXY protocol header, connections of others are closed; empty: everybody."),
            Key(
                "trusted-proxies", addressRanges, \.configuration.trustedProxies,
                "Peers whose `X-Forwarded-*` and `Forwarded` headers are believed and passed on; those of others are replaced."
            ),
            Key(
                "forwarding.via", .optional(.pseudonym), \.configuration.forwarding.via,
                "The proxy's name in the `Via` header of requests; `null`: none is added. Some servers do not compress answers to requests with a `Via`."
            ),
            Key(
                "forwarding.via-in-responses", .truth, \.configuration.forwarding.viaInResponses,
                "Whether responses get the `Via` header too."),
            Key(
                "forwarding.x-forwarded", .truth, \.configuration.forwarding.xForwarded,
                "Whether instances get `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`."),
            Key(
                "forwarding.x-real-ip", .truth, \.configuration.forwarding.xRealIP,
                "Whether instances get `X-Real-IP`, the client's address."),
            Key(
                "forwarding.forwarded", .truth, \.configuration.forwarding.forwarded,
                "Whether instances get `Forwarded` (RFC 7239)."),
            Key(
                "forwarding.client-address", .word(Configuration.Forwarding.ClientSource.allCases),
                \.configuration.forwarding.clientSource,
                "Where the client's address is read when a trusted proxy is connected: the rightmost address of that header that is not a trusted proxy's."
            ),
        ]
    }

    private static var addressRanges: ValueKind<[AddressRange]> {
        .list(.addressRange, of: "addresses or ranges such as 10.0.0.0/8", most: 256)
    }
}

extension ValueKind where Value == String {
    /// A pseudonym in `Via` (RFC 9110 section 7.6.3).
    static var pseudonym: ValueKind {
        .scalar("a name (RFC 9110 token), up to 64 bytes", format: \.self) { value in
            let isToken = value.text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
            guard isToken, (1...64).contains(value.text.utf8.count) else {
                return .failure(ValueRefusal("is not such a name"))
            }
            return .success(value.text)
        }
    }
}

extension ConfigurationChecks {
    /// Keys that say nothing without another one: read and ignored, they would be taken for protection.
    func checkForwarding(_ configuration: Configuration, _ log: inout ProblemLog) {
        if configuration.listenProxyProtocol == .off, !configuration.listenProxyProtocolFrom.isEmpty,
            !log.isRefused("listen-proxy-protocol"), !log.isRefused("listen-proxy-protocol-from")
        {
            log.report(
                "listen-proxy-protocol-from", value: nil,
                "has no meaning without a PROXY protocol; expected listen-proxy-protocol: required")
        }
        if configuration.forwarding.viaInResponses, configuration.forwarding.via == nil,
            !log.isRefused("forwarding.via")
        {
            log.report(
                "forwarding.via-in-responses", value: "true",
                "'true' has no meaning without a name; expected forwarding.via, the proxy's name")
        }
    }
}
