public import UnstickCore

/// `unstick.yaml`, read once at the boundary: every value is checked, every path absolute or relative to the process's
/// working directory, every default filled in. Nothing behind this type parses configuration again.
///
/// `Configuration.reference()` lists every key with its default, range and meaning.
public struct Configuration: Sendable, Equatable {
    /// The file it came from, as it was named.
    public var file: String
    /// Where clients connect. Default `127.0.0.1:8080`.
    public var listen: SocketEndpoint
    /// API, status page, `/metrics`, `/healthz`. Default `127.0.0.1:9090`; ``adminToken`` is set whenever it is not a
    /// loopback address.
    public var admin: SocketEndpoint
    /// The application's instances, names and URLs distinct; at least one, or a ``Discovery``.
    public var instances: [Instance]
    /// Names whose addresses are instances.
    public var discoveries: [Discovery]
    public var affinity: Affinity
    public var session: Session
    public var bridge: Bridge
    public var store: Store
    /// How a request without a home is spread. Default `least-connections`.
    public var balance: Balance
    public var slowStart: SlowStart
    public var health: Health
    public var migration: Migration
    public var limits: Limits
    public var timeouts: Timeouts
    /// Retries, circuit breaker, ejection, rate limits, slow clients.
    public var resilience = Resilience()
    public var proxy: Proxy
    public var coordinator: Coordinator
    /// Peers whose `X-Forwarded-*` and `Forwarded` headers are believed. Default: nobody's.
    public var trustedProxies: [AddressRange]
    public var forwarding: Forwarding
    /// Default `off`.
    public var listenProxyProtocol: ListenProxyProtocol
    /// Peers that may send a PROXY protocol header. Default empty: everybody.
    public var listenProxyProtocolFrom: [AddressRange]
    /// The path of the token file, resolved; nil when there is none.
    public var adminTokenFile: String?
    /// What API clients present as a bearer token; nil when none is demanded (loopback only).
    public var adminToken: Secret?
    public var log: Log
    public var accessLog: AccessLog
    public var requestID: RequestID
    public var tracing: Tracing
    public var tls = TLS()
    public var http2 = HTTP2()
    public var upstreamTLS = UpstreamTLS()

    /// One upstream.
    public struct Instance: Sendable, Equatable {
        /// Letters, digits, `.`, `_`, `-`; at most 64 bytes, because it stands in cookies and metrics.
        public var name: String
        /// Host and port of ``url``.
        public var endpoint: SocketEndpoint
        /// Relative share for the weighted balances, 0 to 1000; 0: no new sessions. Default 1.
        public var weight: Int
        /// Whether it is spoken to with TLS.
        public var isSecure: Bool
        /// `http://HOST:PORT` or `https://HOST:PORT`.
        public var url: String { "\(isSecure ? "https" : "http")://\(endpoint)" }

        public init(name: String, endpoint: SocketEndpoint, weight: Int = 1, isSecure: Bool = false) {
            self.name = name
            self.endpoint = endpoint
            self.weight = weight
            self.isSecure = isSecure
        }
    }

    /// Where the application's session id stands, and how its sessions behave.
    public struct Session: Sendable, Equatable {
        public enum Concurrency: String, Sendable, CaseIterable {
            /// Three-way merge by top-level key.
            case merge
            /// Requests of one session never overlap.
            case serialize
            /// The last write wins.
            case overwrite
        }

        /// The application's session cookie. Default `session`; nil when the id never stands in a cookie.
        public var cookie: String?
        /// A path or query parameter such as `jsessionid`.
        public var urlParameter: String?
        /// A request header with the id.
        public var header: String?
        /// For sessions whose application does not say. 1 s to 400 days, default 30 min.
        public var ttl: Duration
        /// Default `merge`.
        public var concurrency: Concurrency
    }

    /// What proxy and bridges share.
    public struct Bridge: Sendable, Equatable {
        /// The secret's file, resolved. Default `bridge.key`.
        public var secretFile: String
        /// The file's content without a final line break; at least 32 bytes.
        public var secret: Secret
    }

    /// Where sessions are externalized to.
    public struct Store: Sendable, Equatable {
        public enum Location: Sendable, Equatable {
            /// In this process; gone when it ends.
            case memory
            /// A file, its path resolved.
            case sqlite(path: String)
        }

        public enum Layout: String, Sendable, CaseIterable {
            /// Unstick's own record.
            case envelope
        }

        /// Default `sqlite:unstick.db`.
        public var location: Location
        /// Default `envelope`.
        public var layout: Layout
    }

    public struct Migration: Sendable, Equatable {
        /// What the operator types to complete it. Default `migration`.
        public var name: String
        /// What phase `mirroring` does when the store cannot be written. Default `serve`.
        public var onStoreError: RoutingTable.StoreErrorPolicy
    }

    /// Bytes unless the name says otherwise.
    public struct Limits: Sendable, Equatable {
        /// A request or response head. 1 KiB to 1 MiB, default 64 KiB.
        public var head: Int
        /// A request target. 256 B to 64 KiB and not above ``head``; default 8 KiB.
        public var target: Int
        /// Number of header fields. 16 to 1024, default 128.
        public var fields: Int
        /// A request body; nil: unlimited. Default nil.
        public var body: Int?
        /// A request body kept for a replay after hydration. 0 to 64 MiB, default 1 MiB.
        public var replay: Int
        /// Number of client connections per proxy. 1 to 1 000 000, default 20 000.
        public var connections: Int
        /// Number of connections to each instance per proxy. 1 to 65 535, default 256.
        public var upstreamConnections: Int
        /// A session's serialized state. 1 KiB to 256 MiB, default 16 MiB.
        public var state: Int
    }

    /// Of a data plane process.
    public struct Proxy: Sendable, Equatable {
        /// Distinct among the proxies of one coordinator. Default `proxy-HOSTNAME`, or `proxy-1` without a host name.
        public var name: String
        /// Event loops. 1 to 256, default: number of cores.
        public var threads: Int
        /// Needed by `unstick proxy`, without meaning for `unstick up`. `http://HOST:PORT`.
        public var coordinator: SocketEndpoint?
        /// `/metrics`, `/healthz` and `/readyz` of a proxy on its own; nil: none.
        public var admin: SocketEndpoint?
    }

    /// Of a control plane process.
    public struct Coordinator: Sendable, Equatable {
        /// The journal's SQLite file, resolved. Default `unstick-journal.db`.
        public var journal: String
        /// How long an epoch may wait for every proxy. Default 60 s.
        public var acknowledgeTimeout: Duration
        /// How often verification rechecks sessions that changed meanwhile. 1 to 10 000, default 50.
        public var verifyPasses: Int
        /// How long a proxy may be silent before status calls it gone. Default 5 s.
        public var silence: Duration
        /// Time at 100 % before `complete` is allowed. Default 0.
        public var soakTime: Duration
        /// Whether `switch` demands a rehearsed rollback. Default false.
        public var requireRehearsal: Bool
        /// Whether changes of the file's instances are followed at run time. Default false.
        public var watchInstances: Bool
        /// Between two looks at file and names. 1 s to 1 h, default 5 s.
        public var watchInterval: Duration
    }
}
