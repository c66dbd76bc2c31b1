internal import Yams

extension ConfigurationTable where Root == ConfigurationDraft {
    private typealias Key = ConfigurationKey<ConfigurationDraft>

    /// The sections `tls`, `http2` and `upstream-tls`.
    static func tlsKeys(_ document: YAMLDocument?) -> [ConfigurationKey<ConfigurationDraft>] {
        serverKeys(document) + http2Keys + upstreamKeys
    }

    private static func serverKeys(_ document: YAMLDocument?) -> [Key] {
        [
            Key(
                "tls.listen", .optional(.listenAddress), \.configuration.tls.listen,
                "Where clients connect with TLS, beside `listen`; `null`: nowhere."),
            Key(
                "tls.certificates", .certificates(of: document), \.configuration.tls.certificates,
                "PEM files of chains and keys; a client gets the one whose names include the server it asks for, or the "
                    + "first."),
            Key(
                "tls.min-version", .word(Configuration.TLS.Version.allCases), \.configuration.tls.minimumVersion,
                "The oldest TLS version."),
            Key(
                "tls.max-version", .word(Configuration.TLS.Version.allCases), \.configuration.tls.maximumVersion,
                "The newest TLS version."),
            Key(
                "tls.ciphers", .words(Configuration.TLS.CipherSuite.allCases), \.configuration.tls.cipherSuites,
                default: "all, in this order",
                "Cipher suites for TLS 1.2, in the order of preference; those of TLS 1.3 are fixed."),
            Key(
                "tls.alpn", .words(Configuration.TLS.ApplicationProtocol.allCases),
                \.configuration.tls.applicationProtocols, "Protocols to offer, in the order of preference."),
            Key(
                "tls.strict-sni", .truth, \.configuration.tls.strictServerName,
                "Whether clients that ask for no server of any certificate are refused."),
            Key(
                "tls.client-auth", .word(Configuration.TLS.ClientAuthentication.allCases),
                \.configuration.tls.clientAuthentication,
                "Whether clients may or must show a certificate; needs `tls.client-ca`."),
            Key(
                "tls.client-ca", .optional(.filePath), \.configuration.tls.clientAuthorityFile,
                "PEM file of the authorities that sign clients' certificates."),
            Key(
                "tls.client-cert-header", .word(Configuration.TLS.ClientCertificateHeader.allCases),
                \.configuration.tls.clientCertificateHeader,
                "What the application is told of a client's certificate: `Client-Cert` of RFC 9440, or "
                    + "`X-Client-Cert-Subject`, `-Issuer`, `-Serial`, `-Fingerprint` and `-Not-After`; clients' own such "
                    + "fields are dropped."),
            Key(
                "tls.handshake-timeout", .duration(.milliseconds(10)...(.seconds(600))),
                \.configuration.tls.handshakeTimeout, "From the accepted connection to the end of its handshake."),
            Key(
                "tls.reload-interval", .duration(.seconds(1)...(.seconds(3600))), \.configuration.tls.reloadInterval,
                "Between two looks whether TLS files have changed; changed ones are loaded when they have not changed "
                    + "again by the next look, or at once on SIGHUP."),
        ]
    }

    private static var http2Keys: [Key] {
        [
            Key(
                "http2.max-concurrent-streams", .count(1...10_000), \.configuration.http2.maximumConcurrentStreams,
                "Most requests of one connection at a time."),
            Key(
                "http2.stream-window", .size(64 << 10...16 << 20), \.configuration.http2.streamWindow,
                "Most bytes of a request's body that wait for an instance."),
            Key(
                "http2.connection-window", .size(64 << 10...64 << 20), \.configuration.http2.connectionWindow,
                "The same for all requests of a connection."),
            Key(
                "http2.resets", .count(10...100_000), \.configuration.http2.resets,
                "Most requests within `http2.rate-window` that a client may cancel or that are malformed, before its "
                    + "connection is ended."),
            Key(
                "http2.control-frames", .count(10...100_000), \.configuration.http2.controlFrames,
                "Most SETTINGS, PING and PRIORITY frames within `http2.rate-window`, likewise."),
            Key(
                "http2.rate-window", .duration(.seconds(1)...(.seconds(600))), \.configuration.http2.rateWindow,
                "The time over which the two are counted."),
            Key(
                "http2.max-age", .optional(.duration(.seconds(1)...(.seconds(86_400 * 30))), word: "none"),
                \.configuration.http2.maximumAge,
                "Age at which a connection takes no more requests, so that clients spread anew; `none`: never."),
        ]
    }

    private static var upstreamKeys: [Key] {
        [
            Key(
                "upstream-tls.verify", .word(Configuration.UpstreamTLS.Verification.allCases),
                \.configuration.upstreamTLS.verification,
                "What is verified of an instance with an `https://` URL: chain and name, the chain only, or nothing."),
            Key(
                "upstream-tls.ca-file", .optional(.filePath), \.configuration.upstreamTLS.authorityFile,
                "PEM file of the authorities; `null`: the system's."),
            Key(
                "upstream-tls.server-name", .optional(.domain), \.configuration.upstreamTLS.serverName,
                "Name to ask for and to verify; `null`: the URL's host."),
            Key(
                "upstream-tls.cert", .optional(.filePath), \.configuration.upstreamTLS.certificateFile,
                "PEM file of the chain that is shown to instances; needs `upstream-tls.key`."),
            Key(
                "upstream-tls.key", .optional(.filePath), \.configuration.upstreamTLS.keyFile,
                "PEM file of its key."),
            Key(
                "upstream-tls.min-version", .word(Configuration.TLS.Version.allCases),
                \.configuration.upstreamTLS.minimumVersion, "The oldest TLS version."),
        ]
    }
}

/// An element of `tls.certificates` while it is read.
struct CertificateDraft {
    var chain = ""
    var key = ""
}

extension ConfigurationTable where Root == CertificateDraft {
    static var certificate: ConfigurationTable {
        ConfigurationTable(keys: [
            ConfigurationKey("cert", .filePath, \.chain, default: "required", "PEM file of the chain."),
            ConfigurationKey("key", .filePath, \.key, default: "required", "PEM file of the key."),
        ])
    }
}

extension ValueKind where Value == [Configuration.TLS.Certificate] {
    static let certificatesLimit = 1000

    static func certificates(of document: YAMLDocument?) -> ValueKind {
        let expected = "a list of { cert: FILE, key: FILE }, at most \(certificatesLimit)"
        return ValueKind(
            expected: expected,
            read: { node, keyPath, log in
                guard case .sequence(let sequence) = node, let document else {
                    log.report(keyPath, at: node.place, "is \(node.shape); expected \(expected)")
                    return nil
                }
                guard sequence.count <= certificatesLimit else {
                    log.report(keyPath, at: node.place, "has \(sequence.count) entries; expected \(expected)")
                    return nil
                }
                return sequence.enumerated().compactMap { index, element in
                    let path = "\(keyPath)[\(index)]"
                    log.note(path, at: element.place)
                    guard case .mapping(let mapping) = element else {
                        log.report(path, at: element.place, "is \(element.shape); expected { cert: FILE, key: FILE }")
                        return nil
                    }
                    var draft = CertificateDraft()
                    ConfigurationTable.certificate.read(mapping, of: document, prefix: path, into: &draft, log: &log)
                    for name in ["cert", "key"] where !log.isGiven("\(path).\(name)") {
                        log.report(path, at: element.place, "has no \(name); expected { cert: FILE, key: FILE }")
                    }
                    return Configuration.TLS.Certificate(chain: draft.chain, key: draft.key)
                }
            },
            format: { "[" + $0.map { "{ cert: \($0.chain), key: \($0.key) }" }.joined(separator: ", ") + "]" }
        )
    }
}

extension ValueKind {
    /// A list of words of a fixed set, at least one, none twice.
    static func words<Word: RawRepresentable & Hashable>(_ words: [Word]) -> ValueKind
    where Value == [Word], Word.RawValue == String {
        let list = ValueKind.list(ValueKind<Word>.word(words), of: "words", most: words.count)
        let expected = "a list of some of \(words.map(\.rawValue).joined(separator: ", "))"
        return ValueKind(
            expected: expected,
            read: { node, keyPath, log in
                guard let values = list.read(node, keyPath, &log) else { return nil }
                guard !values.isEmpty, Set(values).count == values.count else {
                    let problem = values.isEmpty ? "is empty" : "names one twice"
                    log.report(keyPath, at: node.place, "\(problem); expected \(expected)")
                    return nil
                }
                return values
            },
            format: list.format
        )
    }
}
