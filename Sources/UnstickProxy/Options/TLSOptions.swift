extension ProxyOptions {
    /// TLS towards clients.
    public struct TLS: Sendable, Equatable {
        public enum Version: Sendable, Equatable, Comparable { case tls12, tls13 }

        /// One certificate for the names that it holds.
        public struct Certificate: Sendable, Equatable {
            /// A PEM file: the server's certificate, then those that lead to a root.
            public var chainFile: String
            /// A PEM file: the private key, without a passphrase. May be the same file.
            public var keyFile: String

            public init(chainFile: String, keyFile: String) {
                self.chainFile = chainFile
                self.keyFile = keyFile
            }
        }

        /// Which certificate clients are asked for.
        public enum ClientAuthentication: Sendable, Equatable {
            case none
            /// Clients may have one; one that does not verify is refused.
            case optional
            /// The handshake fails without one.
            case required
        }

        /// What the application is told of a client's certificate.
        public enum ClientCertificateHeader: Sendable, Equatable {
            case none
            /// `Client-Cert` (RFC 9440).
            case clientCert
            /// `X-Client-Cert-Subject`, `-Issuer`, `-Serial`, `-Fingerprint`, `-Not-After`.
            case xClientCert
        }

        /// The cipher suites for TLS 1.2, forward secret and authenticated. Those of TLS 1.3 cannot be chosen.
        public enum CipherSuite: String, Sendable, Equatable, CaseIterable {
            case ecdheEcdsaAes128 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
            case ecdheRsaAes128 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
            case ecdheEcdsaAes256 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
            case ecdheRsaAes256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
            case ecdheEcdsaChaCha20 = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
            case ecdheRsaChaCha20 = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
        }

        public var listenHost: String
        /// 0 picks a free port.
        public var listenPort: Int
        /// At least one; the first serves clients that name no server or an unknown one.
        public var certificates: [Certificate]
        public var minimumVersion = Version.tls12
        public var maximumVersion = Version.tls13
        /// In the order of preference; at least one.
        public var cipherSuites = CipherSuite.allCases
        /// `h2` and `http/1.1`, in the order of preference.
        public var applicationProtocols = ["h2", "http/1.1"]
        /// Refuse clients that name no server of any certificate.
        public var strictServerName = false
        public var clientAuthentication = ClientAuthentication.none
        /// A PEM file of the authorities that sign clients' certificates; needed unless `clientAuthentication` is `none`.
        public var clientAuthorityFile: String?
        public var clientCertificateHeader = ClientCertificateHeader.none
        /// From the accepted connection to the end of the handshake.
        public var handshakeTimeout: Duration = .seconds(10)
        /// Between two looks at the files.
        public var reloadInterval: Duration = .seconds(5)

        public init(listenHost: String, listenPort: Int, certificates: [Certificate]) {
            self.listenHost = listenHost
            self.listenPort = listenPort
            self.certificates = certificates
        }
    }

    /// HTTP/2 towards clients, over TLS.
    public struct HTTP2: Sendable, Equatable {
        /// Of one connection at a time.
        public var maximumConcurrentStreams = 100
        /// Request bytes of one stream that are buffered when the application does not read.
        public var streamWindowBytes = 256 << 10
        /// The same for one connection.
        public var connectionWindowBytes = 1 << 20
        /// Streams that a client may reset, or have reset by faults, within ``rateWindow``.
        public var resets = 200
        /// SETTINGS, PING and PRIORITY frames that a client may send within ``rateWindow``.
        public var controlFrames = 200
        public var rateWindow: Duration = .seconds(30)
        /// After this age a connection takes no new streams; nil: never.
        public var maximumAge: Duration?
        /// How long a whole response may wait for a client that does not take it, once the exchange is over.
        public var drainTimeout: Duration = .seconds(30)
        public init() {}
    }

    /// TLS towards instances with an `https://` URL.
    public struct UpstreamTLS: Sendable, Equatable {
        public enum Verification: Sendable, Equatable {
            /// The chain and the name or address.
            case full
            /// The chain only: any certificate of the authority will do.
            case chain
            /// Nothing: encryption without knowing with whom.
            case none
        }

        public var verification = Verification.full
        /// A PEM file of the authorities; nil: the system's.
        public var authorityFile: String?
        /// The name to ask for and to verify, in place of the URL's host.
        public var serverName: String?
        /// What instances that ask for a client's certificate get.
        public var certificate: TLS.Certificate?
        public var minimumVersion = TLS.Version.tls12
        public init() {}
    }
}
