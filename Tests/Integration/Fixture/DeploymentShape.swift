/// What a test needs: which application, how many of what, and what the configuration says beyond the usual.
struct DeploymentShape: Sendable {
    enum Application: Sendable {
        /// Examples/flask-notes: cookie `session`; starts fast.
        case notes
        /// Examples/django-shop: cookie `sessionid`.
        case shop
        /// Applications/laboratory.py: flask-notes with endpoints and faults for tests.
        case laboratory

        var cookie: String {
            switch self {
            case .notes, .laboratory: "session"
            case .shop: "sessionid"
            }
        }
    }

    var application: Application
    var instances = 2
    /// 0: `unstick up`. Otherwise `unstick coordinator` and this many `unstick proxy`.
    var proxies = 0
    /// Further words for `unstick up` and `unstick coordinator`: what they allow to tests only.
    var allowances: [String] = []
    var store = "sqlite:unstick.db"
    /// Time an epoch may wait for every proxy.
    var acknowledgeTimeout = "20s"
    /// How long a proxy may be silent.
    var silence = "2s"
    /// Further lines at the end of the configuration.
    var extra = ""
    /// Instances that are Applications/broken.py in one of its modes instead.
    var broken: [String: String] = [:]
    var security = Security()
    /// Environment by instance.
    var environment: [String: [String: String]] = [:]

    /// What goes through TLS. Everything that listens with TLS shows the certificate `server.pem`, for 127.0.0.1 unless
    /// `serverName` says otherwise.
    struct Security: Sendable {
        enum Clients: Sendable {
            case plain
            /// HTTP/1.1 over TLS.
            case tls
            /// nghttpx takes plain HTTP/1.1 and speaks HTTP/2 over TLS to the proxy.
            case http2
        }

        var clients = Clients.plain
        /// nghttpx with TLS stands before each instance.
        var instances = false
        /// `upstream-tls.server-name`; the certificate is then for this name and no address.
        var serverName: String?
        var isUsed: Bool { clients != .plain || instances }
    }

    init(_ application: Application = .notes) { self.application = application }

    /// Whether proxies and coordinator are processes of their own.
    var isSplit: Bool { proxies > 0 }
    static let migration = "trial"
}
