public import AsyncHTTPClient
public import NIOCore
import Synchronization

/// HTTP clients for `https` instances whose certificates are all for one name that is not their URLs' host.
///
/// The client takes the name for the handshake from a request's URL, and a substitute for where to connect from its
/// configuration: so each instance's host needs a client of its own.
public final class NamedInstanceClients: Sendable {
    private let serverName: String
    private let group: any EventLoopGroup
    private let configuration: HTTPClient.Configuration
    private let clients = Mutex<[String: HTTPClient]>([:])

    /// - Parameter configuration: with the TLS settings for instances.
    public init(serverName: String, group: any EventLoopGroup, configuration: HTTPClient.Configuration) {
        self.serverName = serverName
        self.group = group
        self.configuration = configuration
    }

    /// A request's way to an instance.
    struct Route {
        var client: HTTPClient
        /// `https://NAME:PORT`
        var url: String
        /// `HOST:PORT` of the instance's own URL, for `Host`.
        var authority: String
    }

    /// Nil for an instance without TLS.
    func route(to url: String) -> Route? {
        guard url.hasPrefix("https://") else { return nil }
        let authority = url.dropFirst("https://".count).prefix { $0 != "/" }
        let bracket = authority.lastIndex(of: "]") ?? authority.startIndex
        let colon = authority[bracket...].lastIndex(of: ":") ?? authority.endIndex
        let host = String(authority[..<colon].filter { $0 != "[" && $0 != "]" })
        let client = clients.withLock { clients in
            if let client = clients[host] { return client }
            var configuration = configuration
            configuration.dnsOverride = [serverName: host]
            let client = HTTPClient(eventLoopGroup: group, configuration: configuration)
            clients[host] = client
            return client
        }
        return Route(client: client, url: "https://\(serverName)\(authority[colon...])", authority: String(authority))
    }

    public func shutdown() async {
        let all = clients.withLock { clients in
            defer { clients = [:] }
            return Array(clients.values)
        }
        for client in all { try? await client.shutdown() }
    }
}
