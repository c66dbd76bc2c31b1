import BridgeContract
import UnstickConfiguration
import UnstickCore
import UnstickProxy

extension Configuration {
    /// The data plane's part. `session.ttl` has no place in it: bridges always say how long a session lives.
    /// - Parameters:
    ///   - secret: made from ``Bridge/secret``.
    ///   - observation: of ``ObservationParts``.
    func proxyOptions(secret: BridgeSecret, observation: ObservationOptions = ObservationOptions()) -> ProxyOptions {
        var options = ProxyOptions(
            name: proxy.name, listenHost: listen.host, listenPort: listen.port, threads: proxy.threads, secret: secret,
            instances: tableInstances)
        options.affinity = affinityOptions
        options.observation = observation
        options.session.cookie = session.cookie
        options.session.urlParameter = session.urlParameter
        options.session.header = session.header
        options.session.concurrency = session.concurrency == .overwrite ? .overwrite : .merge
        options.balance = balanceOptions
        options.limits.headBytes = limits.head
        options.limits.targetBytes = limits.target
        options.limits.headFields = limits.fields
        options.limits.bodyBytes = limits.body.map { UInt64($0) }
        options.limits.replayBytes = limits.replay
        options.limits.connections = limits.connections
        // Configured for the whole process, kept by each event loop; at least one, or a loop could not forward at all.
        options.limits.upstreamConnections = max(1, limits.upstreamConnections / max(1, proxy.threads))
        options.limits.stateBytes = limits.state
        options.health = healthOptions
        options.timeouts = timeoutOptions
        options.resilience = resilienceOptions
        options.forwarding = forwardingOptions
        options.listenProxyProtocol = listenProxyProtocolOptions
        options.tls = tlsOptions
        options.http2 = http2Options
        options.upstreamTLS = upstreamTLSOptions
        return options
    }

    /// As the routing table has them.
    var tableInstances: [RoutingTable.Instance] {
        instances.map { RoutingTable.Instance(name: $0.name, url: $0.url, weight: $0.weight) }
    }
}
