public import UnstickCore
public import UnstickCrypto

/// How another balancer has told a client which instance holds its session, so that live sessions survive putting
/// Unstick in that balancer's place. Only read, never written: a client that is found this way gets the proxy's own
/// cookie, which wins from then on, and keeps the other one, so that the way back to the other balancer stays open.
public struct AdoptedAffinity: Sendable, Equatable {
    /// The balancer's name for a server: the cookie's value, a route, an address or a URL, as the format wants.
    public struct Server: Sendable, Equatable {
        public var name: String
        /// An instance's name.
        public var instance: String
        public init(name: String, instance: String) {
            self.name = name
            self.instance = instance
        }
    }

    public enum Format: Sendable, Equatable {
        /// The value is the server's name. nginx `sticky route`, and whatever else is that simple.
        case value
        /// HAProxy `cookie NAME insert`: the name of the server's `cookie` keyword, and behind a `|` dates (`maxidle`).
        case haproxyInsert
        /// HAProxy `cookie NAME prefix`: `SERVER~` before the application's own value. As HAProxy does, everything up to
        /// the first `~` is kept from the application, also where it names nobody.
        case haproxyPrefix
        /// HAProxy `cookie NAME insert dynamic` with `dynamic-cookie-key`: XXH64 over key, address and port.
        case haproxyDynamic(key: [UInt8])
        /// Tomcat, mod_jk, mod_proxy_balancer, WildFly: `ID.ROUTE`; the id keeps its route.
        case route
        /// nginx `sticky cookie`: MD5 of `ADDRESS:PORT`.
        case nginxSticky
        /// nginx-sticky-module-ng `hash=md5|sha1`: digest of the server's `sockaddr`.
        case nginxStickyModule(ForeignDigest)
        /// nginx `hash $cookie_NAME` or `hash $cookie_NAME consistent`: no name at all, the value's CRC chooses among all
        /// servers. ``AdoptedAffinity/servers`` are then all of nginx's `server` directives, in their order, without
        /// weights; an instance that is none of ours stands under a name that none has.
        case nginxHash(consistent: Bool)
        /// ingress-nginx, `affinity-mode: persistent`: MD5 of the backend's name and `ADDRESS:PORT`; behind a `|` the
        /// backend's own hash.
        case ingressNginx(backend: String)
        /// Envoy's `stateful_session` cookie: base64 of a protobuf with `ADDRESS:PORT`, before version 1.27 of the bare
        /// text.
        case envoy
        /// Traefik's sticky cookie: the first 16 hexadecimal digits of the URL's SHA-256 (3.0 and later), FNV-1 once or
        /// twice (2.x), or the URL itself (1.x).
        case traefik
        /// Caddy `lb_policy cookie NAME SECRET`: HMAC-SHA256 of `ADDRESS:PORT`; the key may be empty.
        case caddy(secret: [UInt8])
    }

    /// The cookie that carries it.
    public var cookie: String?
    /// A path or query parameter that carries it, such as `jsessionid`.
    public var parameter: String?
    public var format: Format
    /// Empty: servers are called as the instances are (formats with names), or are where the instances are (formats with
    /// addresses).
    public var servers: [Server]

    public init(cookie: String?, parameter: String? = nil, format: Format, servers: [Server] = []) {
        self.cookie = cookie
        self.parameter = parameter
        self.format = format
        self.servers = servers
    }

    /// Every value that clients may hold, with the index of its instance. A server whose name the format cannot use (a
    /// host name where an address is hashed) has none.
    public func values(for instances: [RoutingTable.Instance]) -> [(value: [UInt8], instance: Int)] {
        let named: [(name: String, instance: Int)] =
            servers.isEmpty
            ? instances.enumerated().map { (defaultName(of: $0.element), $0.offset) }
            : servers.compactMap { server in
                instances.firstIndex { $0.name == server.instance }.map { (server.name, $0) }
            }
        return named.flatMap { server in values(ofServer: server.name).map { (Array($0.utf8), server.instance) } }
    }

    /// All servers in their order with the index of the instance each is, -1: none of ours.
    func ring(for instances: [RoutingTable.Instance]) -> [(name: String, instance: Int)] {
        servers.isEmpty
            ? instances.enumerated().map { (defaultName(of: $0.element), $0.offset) }
            : servers.map { server in
                (server.name, instances.firstIndex { $0.name == server.instance } ?? -1)
            }
    }

    private func defaultName(of instance: RoutingTable.Instance) -> String {
        switch format {
        case .value, .haproxyInsert, .haproxyPrefix, .route: return instance.name
        case .traefik: return instance.url
        case .haproxyDynamic, .nginxSticky, .nginxStickyModule, .nginxHash, .ingressNginx, .envoy, .caddy:
            return InstanceOrigin(url: instance.url).authority
        }
    }

    private func values(ofServer name: String) -> [String] {
        let bytes = Array(name.utf8)
        switch format {
        case .value, .haproxyInsert, .haproxyPrefix, .route, .envoy: return [name]
        case .haproxyDynamic(let key):
            guard let address = NumericAddress(name) else { return [] }
            // src/server.c, srv_set_dyncookie: the port takes four bytes, big-endian.
            let hash = XXHash64.hash(key + address.bytes + [0, 0] + address.portBytes)
            return [Hex.encode((0..<8).map { UInt8(truncatingIfNeeded: hash >> UInt64(56 - 8 * $0)) })]
        case .nginxHash: return []
        case .nginxSticky: return [ForeignDigest.md5.hex(of: bytes)].compactMap(\.self)
        case .nginxStickyModule(let digest):
            guard let address = NumericAddress(name) else { return [] }
            return [digest.hex(of: address.socketAddress)].compactMap(\.self)
        case .ingressNginx(let backend):
            return [ForeignDigest.md5.hex(of: Array(backend.utf8) + bytes)].compactMap(\.self)
        case .traefik:
            // pkg/server/service/loadbalancer/sticky.go: what it reads, newest first.
            let once = FNV1.hex(name)
            let digest = ForeignDigest.sha256.hex(of: bytes).map { String($0.prefix(16)) }
            return [digest, name, once, FNV1.hex(once)].compactMap(\.self)
        case .caddy(let secret): return [ForeignDigest.sha256.hmacHex(of: bytes, key: secret)].compactMap(\.self)
        }
    }
}

/// FNV-1 of 64 bits (RFC 9923 section 2), in hexadecimal without leading zeros: the hash of Traefik 2.
enum FNV1 {
    static func hex(_ text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash &* 0x100_0000_01b3) ^ UInt64(byte) }
        return String(hash, radix: 16)
    }
}
