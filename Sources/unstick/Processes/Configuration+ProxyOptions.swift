import BridgeContract
import UnstickConfiguration
import UnstickCore
import UnstickProxy

extension Configuration {
    /// The data plane's part. `session.ttl` has no place in it: bridges always say how long a session lives.
    /// - Parameter secret: made from ``Bridge/secret``.
    func proxyOptions(secret: BridgeSecret) -> ProxyOptions {
        var options = ProxyOptions(
            name: proxy.name, listenHost: listen.host, listenPort: listen.port, threads: proxy.threads, secret: secret,
            instances: tableInstances)
        options.affinity = affinityOptions
        options.session.cookie = session.cookie
        options.session.urlParameter = session.urlParameter
        options.session.header = session.header
        options.session.concurrency = session.concurrency == .overwrite ? .overwrite : .merge
        options.balance = balanceOptions
        options.health.path = health.path
        options.health.interval = health.interval
        options.health.timeout = health.timeout
        options.health.rise = health.rise
        options.health.fall = health.fall
        options.limits.headBytes = limits.head
        options.limits.targetBytes = limits.target
        options.limits.headFields = limits.fields
        options.limits.bodyBytes = limits.body.map { UInt64($0) }
        options.limits.replayBytes = limits.replay
        options.limits.connections = limits.connections
        // Configured for the whole process, kept by each event loop; at least one, or a loop could not forward at all.
        options.limits.upstreamConnections = max(1, limits.upstreamConnections / max(1, proxy.threads))
        options.limits.stateBytes = limits.state
        options.timeouts.connect = timeouts.connect
        options.timeouts.response = timeouts.response
        options.timeouts.idle = timeouts.idle
        options.timeouts.clientHead = timeouts.clientHead
        options.timeouts.store = timeouts.store
        options.timeouts.shutdown = timeouts.shutdown
        return options
    }

    /// As the routing table has them.
    var tableInstances: [RoutingTable.Instance] {
        instances.map { RoutingTable.Instance(name: $0.name, url: $0.url, weight: $0.weight) }
    }
}
