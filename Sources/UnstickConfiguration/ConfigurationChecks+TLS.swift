extension ConfigurationChecks {
    /// Resolves the files of `tls` and `upstream-tls`, and checks what no key can tell by itself. The files are read by the
    /// proxy, not here: a coordinator on another machine has none of them.
    func completeTLS(_ configuration: inout Configuration, _ log: inout ProblemLog) {
        checkServer(configuration, &log)
        checkUpstream(configuration.upstreamTLS, &log)
        for index in configuration.tls.certificates.indices {
            configuration.tls.certificates[index].chain = resolve(configuration.tls.certificates[index].chain)
            configuration.tls.certificates[index].key = resolve(configuration.tls.certificates[index].key)
        }
        configuration.tls.clientAuthorityFile = configuration.tls.clientAuthorityFile.map(resolve)
        configuration.upstreamTLS.authorityFile = configuration.upstreamTLS.authorityFile.map(resolve)
        configuration.upstreamTLS.certificateFile = configuration.upstreamTLS.certificateFile.map(resolve)
        configuration.upstreamTLS.keyFile = configuration.upstreamTLS.keyFile.map(resolve)
    }

    private func checkServer(_ configuration: Configuration, _ log: inout ProblemLog) {
        let tls = configuration.tls
        if let listen = tls.listen {
            if tls.certificates.isEmpty, !log.isRefused("tls.certificates") {
                log.report(
                    "tls.certificates", value: nil,
                    "is empty; expected a list of { cert: FILE, key: FILE } for tls.listen '\(listen)'")
            }
            for (key, other) in [
                ("listen", configuration.listen), ("admin", configuration.admin),
                ("proxy.admin", configuration.proxy.admin),
            ] {
                guard let other, !log.isRefused(key), overlap(listen, other) else { continue }
                log.report(
                    "tls.listen", value: "\(listen)",
                    "'\(listen)' cannot be bound: 'tls.listen' and '\(key)' need different ports")
            }
            for instance in configuration.instances where instance.endpoint == listen {
                log.report(
                    "tls.listen", value: "\(listen)",
                    "'\(listen)' is the address of the instance '\(instance.name)'; requests would go in circles")
            }
        } else if !tls.certificates.isEmpty, !log.isRefused("tls.listen") {
            log.report("tls.certificates", value: nil, "is of no use without tls.listen, such as 'listen: 0.0.0.0:443'")
        }
        if tls.minimumVersion == .tls13, tls.maximumVersion == .tls12 {
            let key = log.isGiven("tls.min-version") ? "tls.min-version" : "tls.max-version"
            log.report(key, value: "1.3", "tls.min-version, '1.3', is above tls.max-version, '1.2'")
        }
        if tls.clientAuthentication != .none, tls.clientAuthorityFile == nil, !log.isRefused("tls.client-ca") {
            let value = tls.clientAuthentication.rawValue
            log.report(
                "tls.client-auth", value: value,
                "'\(value)' needs tls.client-ca, the file of the authorities that sign clients' certificates")
        }
        if tls.clientAuthentication == .none, tls.clientCertificateHeader != .none, !log.isRefused("tls.client-auth") {
            let value = tls.clientCertificateHeader.rawValue
            log.report(
                "tls.client-cert-header", value: value,
                "'\(value)' needs tls.client-auth: optional or required; no client is asked for a certificate")
        }
    }

    private func checkUpstream(_ tls: Configuration.UpstreamTLS, _ log: inout ProblemLog) {
        if tls.certificateFile != nil, tls.keyFile == nil, !log.isRefused("upstream-tls.key") {
            log.report("upstream-tls.cert", value: tls.certificateFile, "needs upstream-tls.key, the file of its key")
        }
        if tls.keyFile != nil, tls.certificateFile == nil, !log.isRefused("upstream-tls.cert") {
            log.report("upstream-tls.key", value: tls.keyFile, "needs upstream-tls.cert, the file of its chain")
        }
    }
}
