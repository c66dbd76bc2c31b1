extension Configuration {
    /// TLS towards clients.
    public struct TLS: Sendable, Equatable {
        public enum Version: String, Sendable, CaseIterable {
            case tls12 = "1.2"
            case tls13 = "1.3"
        }

        public enum ClientAuthentication: String, Sendable, CaseIterable {
            case none, optional, required
        }

        public enum ClientCertificateHeader: String, Sendable, CaseIterable {
            case none
            /// `Client-Cert` (RFC 9440).
            case clientCert = "client-cert"
            /// `X-Client-Cert-Subject` and its like.
            case xClientCert = "x-client-cert"
        }

        public enum ApplicationProtocol: String, Sendable, CaseIterable {
            case http2 = "h2"
            case http11 = "http/1.1"
        }

        /// For TLS 1.2; by their names in IANA's registry.
        public enum CipherSuite: String, Sendable, CaseIterable {
            case ecdheEcdsaAes128 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
            case ecdheRsaAes128 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
            case ecdheEcdsaAes256 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
            case ecdheRsaAes256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
            case ecdheEcdsaChaCha20 = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
            case ecdheRsaChaCha20 = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
        }

        /// Two PEM files, resolved; they may be the same.
        public struct Certificate: Sendable, Equatable {
            /// The certificate, then those that lead to a root.
            public var chain: String
            public var key: String

            public init(chain: String, key: String) {
                self.chain = chain
                self.key = key
            }
        }

        /// nil: no TLS. Beside ``Configuration/listen``, which stays plain.
        public var listen: SocketEndpoint?
        /// At least one when ``listen`` is set.
        public var certificates: [Certificate] = []
        public var minimumVersion = Version.tls12
        public var maximumVersion = Version.tls13
        public var cipherSuites = CipherSuite.allCases
        public var applicationProtocols = ApplicationProtocol.allCases
        public var strictServerName = false
        public var clientAuthentication = ClientAuthentication.none
        /// Resolved; set unless ``clientAuthentication`` is `none`.
        public var clientAuthorityFile: String?
        public var clientCertificateHeader = ClientCertificateHeader.none
        public var handshakeTimeout: Duration = .seconds(10)
        public var reloadInterval: Duration = .seconds(5)

        public init() {}
    }

    /// HTTP/2 towards clients.
    public struct HTTP2: Sendable, Equatable {
        /// 1 to 10 000.
        public var maximumConcurrentStreams = 100
        /// 64 KiB to 16 MiB.
        public var streamWindow = 256 << 10
        /// 64 KiB to 64 MiB.
        public var connectionWindow = 1 << 20
        /// 10 to 100 000 within ``rateWindow``.
        public var resets = 200
        /// 10 to 100 000 within ``rateWindow``.
        public var controlFrames = 200
        /// 1 s to 10 min.
        public var rateWindow: Duration = .seconds(30)
        /// 1 s to 30 d; nil: none.
        public var maximumAge: Duration?

        public init() {}
    }

    /// TLS towards instances whose URL begins with `https://`.
    public struct UpstreamTLS: Sendable, Equatable {
        public enum Verification: String, Sendable, CaseIterable {
            case full, chain, none
        }

        public var verification = Verification.full
        /// Resolved; nil: the system's.
        public var authorityFile: String?
        /// nil: the URL's host.
        public var serverName: String?
        /// Resolved; both or none.
        public var certificateFile: String?
        public var keyFile: String?
        public var minimumVersion = TLS.Version.tls12

        public init() {}
    }
}
