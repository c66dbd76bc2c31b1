import HTTPWire

/// `ProxyOptions.Forwarding` as the rewriters use it: made once per event loop.
struct ForwardingPolicy: Sendable {
    /// Fields that the proxy adds to requests.
    struct Additions: OptionSet, Sendable {
        let rawValue: UInt8
        static let via = Additions(rawValue: 1)
        static let xForwarded = Additions(rawValue: 2)
        static let xRealIP = Additions(rawValue: 4)
        static let forwarded = Additions(rawValue: 8)
        static let viaInResponses = Additions(rawValue: 16)
    }

    let additions: Additions
    let clientSource: ProxyOptions.Forwarding.ClientSource
    /// The pseudonym in `Via`, at most `pseudonymBytesMax` bytes.
    let pseudonym: [UInt8]
    private let trusted: [NetworkPrefix]

    static let pseudonymBytesMax = 64

    /// What stands in without configuration.
    static let standard = ForwardingPolicy(ProxyOptions.Forwarding())

    init(_ options: ProxyOptions.Forwarding) {
        var additions: Additions = []
        if options.via != nil { additions.insert(.via) }
        if options.via != nil, options.viaInResponses { additions.insert(.viaInResponses) }
        if options.xForwarded { additions.insert(.xForwarded) }
        if options.xRealIP { additions.insert(.xRealIP) }
        if options.forwarded { additions.insert(.forwarded) }
        self.additions = additions
        clientSource = options.clientSource
        pseudonym = Array((options.via ?? "").utf8.prefix(Self.pseudonymBytesMax))
        trusted = options.trustedProxies.map(\.prefix)
    }

    func trusts(_ address: NetworkAddress) -> Bool {
        for prefix in trusted where prefix.contains(address) { return true }
        return false
    }
}
