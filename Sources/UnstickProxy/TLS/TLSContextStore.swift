import Logging
import NIOSSL
import Synchronization

/// The contexts for handshakes with clients, one a certificate, kept up with their files.
///
/// Each certificate has a context of its own, with session tickets of its own: choosing one costs a look into a table,
/// where changing the certificate of a common context would cost every handshake a detour over the event loop. A reload
/// replaces contexts for handshakes to come; connections keep theirs. Tickets from before a reload lead to a full handshake.
final class TLSContextStore: Sendable {
    private let options: ProxyOptions.TLS
    private let logger: Logger
    private let state: Mutex<State>

    private struct State: Sendable {
        /// In the order of the options; always whole.
        var entries: [Entry]
        var table: ServerNameTable<NIOSSLContext>
        /// What was last looked at; loaded already, or found broken.
        var stamps: [String: FileStamp]
        /// Differs from `stamps` while files are being exchanged.
        var settling: [String: FileStamp]?
    }

    private struct Entry: Sendable {
        var context: NIOSSLContext
        var names: [String]
        /// Seconds since 1970.
        var expiry: Int64
    }

    /// A certificate as reports show it.
    struct CertificateStatus: Hashable, Sendable {
        /// The file of its chain.
        var file: String
        var names: [String]
        /// End of its validity, seconds since 1970.
        var expiry: Int64

        /// Whole days left, negative when it has expired.
        func daysLeft(at seconds: Int64) -> Int64 {
            let left = expiry - seconds
            return left >= 0 ? left / 86_400 : (left - 86_399) / 86_400
        }
    }

    /// What a look at the files led to.
    enum ReloadResult: Hashable, Sendable {
        case unchanged
        /// Files have changed; they are loaded when the next look finds them unchanged, so that a certificate and its key
        /// are not read halfway through their exchange.
        case settling
        case reloaded
        /// Of these certificates the old ones stay in use.
        case failed([TLSFileError])
    }

    /// Reads every file. Blocks: not on an event loop.
    init(options: ProxyOptions.TLS, logger: Logger) throws(TLSFileError) {
        self.options = options
        self.logger = logger
        let stamps = Self.stamps(options)
        let authorities = try Self.authorities(options)
        var entries: [Entry] = []
        for certificate in options.certificates {
            entries.append(try Self.load(certificate, options: options, authorities: authorities, logger: logger))
        }
        state = Mutex(State(entries: entries, table: Self.table(entries), stamps: stamps, settling: nil))
    }

    /// Whether a handshake must be looked into before a context is chosen.
    var needsServerName: Bool { options.certificates.count > 1 || options.strictServerName }

    /// The context for a handshake; nil when strictness refuses the name.
    func context(serverName: String?) -> NIOSSLContext? {
        state.withLock { $0.table.value(for: serverName, isStrict: options.strictServerName) }
    }

    /// In the order of the options.
    var certificates: [CertificateStatus] {
        let entries = state.withLock { $0.entries }
        return zip(options.certificates, entries).map {
            CertificateStatus(file: $0.chainFile, names: $1.names, expiry: $1.expiry)
        }
    }

    // MARK: Reloading

    /// Loads what has changed since the last look. Blocks: not on an event loop.
    @discardableResult
    func reloadIfChanged() -> ReloadResult {
        let now = Self.stamps(options)
        let hasSettled: Bool? = state.withLock { state in
            guard now != state.stamps else {
                state.settling = nil
                return nil
            }
            guard state.settling == now else {
                state.settling = now
                return false
            }
            return true
        }
        switch hasSettled {
        case nil: return .unchanged
        case false?: return .settling
        case true?: return reload()
        }
    }

    /// Loads every file at once, as on SIGHUP. A certificate that cannot be loaded stays as it was, and an error that names
    /// the file is logged. Blocks: not on an event loop.
    @discardableResult
    func reload() -> ReloadResult {
        // Before reading: a change during it shows at the next look.
        let stamps = Self.stamps(options)
        var failures: [TLSFileError] = []
        var entries = state.withLock { $0.entries }
        do throws(TLSFileError) {
            let authorities = try Self.authorities(options)
            for (index, certificate) in options.certificates.enumerated() {
                do throws(TLSFileError) {
                    entries[index] = try Self.load(
                        certificate, options: options, authorities: authorities, logger: logger)
                } catch {
                    failures.append(error)
                }
            }
        } catch {
            // Without the authorities no new context would know whom to trust.
            failures.append(error)
        }
        let table = Self.table(entries)
        state.withLock { [entries] state in
            state.entries = entries
            state.table = table
            state.stamps = stamps
            state.settling = nil
        }
        for failure in failures {
            logger.error("a TLS file could not be reloaded, the old one stays in use: \(failure)")
        }
        guard failures.isEmpty else { return .failed(failures) }
        logger.info("TLS certificates reloaded", metadata: ["certificates": "\(entries.count)"])
        return .reloaded
    }

    /// Looks at the files again and again until it is cancelled.
    func watch<C: Clock>(clock: C = ContinuousClock()) async where C.Duration == Duration {
        while (try? await clock.sleep(for: options.reloadInterval)) != nil { reloadIfChanged() }
    }

    // MARK: Files

    private static func files(_ options: ProxyOptions.TLS) -> [String] {
        var files = options.certificates.flatMap { [$0.chainFile, $0.keyFile] }
        if let authority = options.clientAuthorityFile { files.append(authority) }
        return files
    }

    private static func stamps(_ options: ProxyOptions.TLS) -> [String: FileStamp] {
        var stamps: [String: FileStamp] = [:]
        for file in files(options) { stamps[file] = FileStamp(path: file) }
        return stamps
    }

    private static func authorities(_ options: ProxyOptions.TLS) throws(TLSFileError) -> [NIOSSLCertificate] {
        guard options.clientAuthentication != .none, let file = options.clientAuthorityFile else { return [] }
        return try CertificateFiles.certificates(file)
    }

    private static func table(_ entries: [Entry]) -> ServerNameTable<NIOSSLContext> {
        var table = ServerNameTable<NIOSSLContext>()
        table.fallback = entries.first?.context
        for entry in entries {
            for name in entry.names { table.insert(name, entry.context) }
        }
        return table
    }

    private static func load(
        _ certificate: ProxyOptions.TLS.Certificate, options: ProxyOptions.TLS, authorities: [NIOSSLCertificate],
        logger: Logger
    ) throws(TLSFileError) -> Entry {
        let chain = try CertificateFiles.certificates(certificate.chainFile)
        let (key, isOpenToAll) = try CertificateFiles.privateKey(certificate.keyFile)
        if isOpenToAll {
            logger.warning("every user of this machine can read the private key '\(certificate.keyFile)'")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = options.minimumVersion.library
        configuration.maximumTLSVersion = options.maximumVersion.library
        configuration.cipherSuiteValues = options.cipherSuites.map(\.library)
        configuration.applicationProtocols = options.applicationProtocols
        switch options.clientAuthentication {
        case .none: break
        case .optional:
            configuration.certificateVerification = .optionalVerification
            configuration.trustRoots = .certificates(authorities)
            configuration.sendCANameList = true
        case .required:
            configuration.certificateVerification = .noHostnameVerification
            configuration.trustRoots = .certificates(authorities)
            configuration.sendCANameList = true
        }
        do {
            return Entry(
                context: try NIOSSLContext(configuration: configuration),
                names: CertificateFiles.serverNames(chain[0]), expiry: Int64(chain[0].notValidAfter))
        } catch {
            // All parts were read already; what is left to fail is that they belong together.
            throw TLSFileError(certificate.keyFile, "does not fit the certificate in '\(certificate.chainFile)'")
        }
    }
}

extension ProxyOptions.TLS.Version {
    var library: TLSVersion {
        switch self {
        case .tls12: .tlsv12
        case .tls13: .tlsv13
        }
    }
}

extension ProxyOptions.TLS.CipherSuite {
    var library: NIOTLSCipher {
        switch self {
        case .ecdheEcdsaAes128: .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        case .ecdheRsaAes128: .TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        case .ecdheEcdsaAes256: .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        case .ecdheRsaAes256: .TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
        case .ecdheEcdsaChaCha20: .TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        case .ecdheRsaChaCha20: .TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        }
    }
}
