import UnstickConfiguration
import UnstickProxy

extension Configuration {
    /// Where clients connect, for a sentence.
    var clientAddresses: String {
        "http://\(listen)" + (tls.listen.map { " and https://\($0)" } ?? "")
    }

    /// nil without `tls.listen`.
    var tlsOptions: ProxyOptions.TLS? {
        guard let listen = tls.listen else { return nil }
        var options = ProxyOptions.TLS(
            listenHost: listen.host, listenPort: listen.port,
            certificates: tls.certificates.map { .init(chainFile: $0.chain, keyFile: $0.key) })
        options.minimumVersion = tls.minimumVersion.option
        options.maximumVersion = tls.maximumVersion.option
        // The two sets are the same, by their names in IANA's registry; a test compares them.
        options.cipherSuites = tls.cipherSuites.compactMap { ProxyOptions.TLS.CipherSuite(rawValue: $0.rawValue) }
        options.applicationProtocols = tls.applicationProtocols.map(\.rawValue)
        options.strictServerName = tls.strictServerName
        options.clientAuthentication =
            switch tls.clientAuthentication {
            case .none: .none
            case .optional: .optional
            case .required: .required
            }
        options.clientAuthorityFile = tls.clientAuthorityFile
        options.clientCertificateHeader =
            switch tls.clientCertificateHeader {
            case .none: .none
            case .clientCert: .clientCert
            case .xClientCert: .xClientCert
            }
        options.handshakeTimeout = tls.handshakeTimeout
        options.reloadInterval = tls.reloadInterval
        return options
    }

    var http2Options: ProxyOptions.HTTP2 {
        var options = ProxyOptions.HTTP2()
        options.maximumConcurrentStreams = http2.maximumConcurrentStreams
        options.streamWindowBytes = http2.streamWindow
        options.connectionWindowBytes = http2.connectionWindow
        options.resets = http2.resets
        options.controlFrames = http2.controlFrames
        options.rateWindow = http2.rateWindow
        options.maximumAge = http2.maximumAge
        return options
    }

    var upstreamTLSOptions: ProxyOptions.UpstreamTLS {
        var options = ProxyOptions.UpstreamTLS()
        options.verification =
            switch upstreamTLS.verification {
            case .full: .full
            case .chain: .chain
            case .none: .none
            }
        options.authorityFile = upstreamTLS.authorityFile
        options.serverName = upstreamTLS.serverName
        if let chain = upstreamTLS.certificateFile, let key = upstreamTLS.keyFile {
            options.certificate = .init(chainFile: chain, keyFile: key)
        }
        options.minimumVersion = upstreamTLS.minimumVersion.option
        return options
    }
}

extension Configuration.TLS.Version {
    fileprivate var option: ProxyOptions.TLS.Version {
        switch self {
        case .tls12: .tls12
        case .tls13: .tls13
        }
    }
}
