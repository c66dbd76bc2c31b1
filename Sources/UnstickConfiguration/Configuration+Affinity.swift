extension Configuration {
    /// How clients are pinned to the instance that holds their session.
    public struct Affinity: Sendable, Equatable {
        public enum Method: String, Sendable, CaseIterable {
            /// A cookie of the proxy's own names the home.
            case cookie
            /// The client's address chooses the home.
            case ipHash = "ip-hash"
            /// A parameter of the request's path or query names the home.
            case urlParameter = "url-parameter"
        }

        public enum SameSite: String, Sendable, CaseIterable {
            case strict = "Strict"
            case lax = "Lax"
            case none = "None"
        }

        public enum SecureAttribute: String, Sendable, CaseIterable {
            /// `Secure` when the client's connection is TLS, here or at a trusted proxy in front.
            case auto
            case always = "true"
            case never = "false"
        }

        /// Default `cookie`.
        public var method: Method
        /// The cookie's name. Default `UNSTICK`.
        public var cookie: String
        /// The parameter's name; set when ``method`` is ``Method/urlParameter``.
        public var parameter: String?
        /// Affinities of other balancers to understand, at most 16; the first that fits wins.
        public var adopt: [Adopted]
        /// Default `auto`.
        public var secure: SecureAttribute
        /// Default `Lax`.
        public var sameSite: SameSite
        /// Default `/`.
        public var path: String
        /// Default nil: the host that the client asked for.
        public var domain: String?
        /// Default nil: until the client is closed.
        public var maxAge: Duration?
    }

    /// What another balancer has told clients, understood so that live sessions survive its replacement.
    public struct Adopted: Sendable, Equatable {
        public enum Format: String, Sendable, CaseIterable {
            case value
            case haproxyInsert = "haproxy-insert"
            case haproxyPrefix = "haproxy-prefix"
            case haproxyDynamic = "haproxy-dynamic"
            case route
            case nginxSticky = "nginx-sticky"
            case nginxStickyModuleMD5 = "nginx-sticky-module-md5"
            case nginxStickyModuleSHA1 = "nginx-sticky-module-sha1"
            case nginxHash = "nginx-hash"
            case nginxHashConsistent = "nginx-hash-consistent"
            case ingressNginx = "ingress-nginx"
            case envoy
            case traefik
            case caddy

            /// Whether it hashes the server's address in numbers.
            var hashesAddress: Bool {
                switch self {
                case .haproxyDynamic, .nginxStickyModuleMD5, .nginxStickyModuleSHA1: true
                default: false
                }
            }
        }

        public struct Server: Sendable, Equatable {
            /// What the other balancer calls it.
            public var name: String
            /// The instance's name.
            public var instance: String
            public init(name: String, instance: String) {
                self.name = name
                self.instance = instance
            }
        }

        /// At least one of ``cookie`` and ``parameter`` is set.
        public var cookie: String?
        public var parameter: String?
        public var format: Format
        /// Empty: servers are called as the instances, or are where the instances are.
        public var servers: [Server]
        /// The file of ``key``, resolved.
        public var keyFile: String?
        /// What the balancer hashes with.
        public var key: Secret?
        /// ingress-nginx's name of the backend: `NAMESPACE-SERVICE-PORT`.
        public var backend: String?
    }
}
