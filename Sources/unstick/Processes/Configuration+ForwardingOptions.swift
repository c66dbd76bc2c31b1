import UnstickConfiguration
import UnstickProxy

extension Configuration {
    /// `trusted-proxies` and `forwarding`.
    var forwardingOptions: ProxyOptions.Forwarding {
        var options = ProxyOptions.Forwarding()
        options.via = forwarding.via
        options.viaInResponses = forwarding.viaInResponses
        options.xForwarded = forwarding.xForwarded
        options.xRealIP = forwarding.xRealIP
        options.forwarded = forwarding.forwarded
        options.clientSource =
            switch forwarding.clientSource {
            case .xForwardedFor: .xForwardedFor
            case .forwarded: .forwarded
            case .connection: .connection
            }
        options.trustedProxies = trustedProxies.compactMap(\.proxyNetwork)
        return options
    }

    /// `listen-proxy-protocol` and `listen-proxy-protocol-from`.
    var listenProxyProtocolOptions: ProxyOptions.ListenProxyProtocol {
        var options = ProxyOptions.ListenProxyProtocol()
        options.isRequired = listenProxyProtocol == .required
        options.sources = listenProxyProtocolFrom.compactMap(\.proxyNetwork)
        return options
    }
}

extension AddressRange {
    /// As the data plane matches it.
    var proxyNetwork: ProxyOptions.Network? {
        ProxyOptions.Network(bytes: network.bytes, prefixLength: prefixLength)
    }
}
