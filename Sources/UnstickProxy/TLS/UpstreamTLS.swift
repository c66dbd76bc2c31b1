import Logging
import NIOCore
package import NIOSSL
import Synchronization

/// Handlers for TLS connections to instances, kept up with the files of authorities and client certificate.
final class UpstreamTLS: Sendable {
    private let options: ProxyOptions.UpstreamTLS
    private let logger: Logger
    private let state: Mutex<State>

    private struct State {
        var context: NIOSSLContext
        var stamps: [FileStamp?]
        var settling: [FileStamp?]?
    }

    /// Reads every file, the system's authorities too. Blocks: not on an event loop.
    init(options: ProxyOptions.UpstreamTLS, logger: Logger) throws(TLSFileError) {
        self.options = options
        self.logger = logger
        let stamps = Self.stamps(options)
        state = Mutex(State(context: try Self.load(options), stamps: stamps, settling: nil))
    }

    /// The handlers to stand first in the pipeline of a connection to `host`, before it becomes active. The handshake begins
    /// by itself; what is written before its end waits; a failure closes the channel with an error in the pipeline.
    func handlers(host: String) throws -> [any ChannelHandler] {
        let context = state.withLock { $0.context }
        let name = options.serverName ?? host
        // An address has no place in the server name extension (RFC 6066 section 3); it is verified against the
        // certificate's addresses instead.
        if (try? SocketAddress(ipAddress: name, port: 0)) != nil {
            return [try NIOSSLClientHandler(context: context, serverHostname: nil)]
        }
        guard options.verification == .full else {
            return [try NIOSSLClientHandler(context: context, serverHostname: name)]
        }
        // The library takes a certificate for the peer's address as one for any name. Whoever can answer name queries
        // could then show a certificate of his own address.
        let handler = try NIOSSLClientHandler._makeSSLClientHandler(context: context, serverHostname: name) {
            certificate, channel in
            channel.eventLoop.makeCompletedFuture {
                guard Self.isCertificate(certificate, for: name) else { throw WrongName(expected: name) }
            }
        }
        return [handler]
    }

    /// Why a handshake has failed, as the end of "web-1: …".
    static func reason(of error: any Error) -> String {
        switch error {
        case let error as WrongName: return error.description
        case let error as TLSFileError: return "\(error)"
        case let error as NIOSSLExtraError where error == .failedToValidateHostname:
            return "the instance's certificate is not for its address"
        case NIOSSLError.uncleanShutdown: return "closed the connection without an answer"
        case NIOSSLError.handshakeFailed(let cause):
            let text = "\(cause)"
            // The library has no case of its own for it (BoringSSL's err_data).
            if text.contains("CERTIFICATE_VERIFY_FAILED") { return "the instance's certificate cannot be verified" }
            if text.contains("WRONG_VERSION_NUMBER") { return "the instance does not answer with TLS" }
            return "the TLS handshake has failed: \(text)"
        default: return "\(error)"
        }
    }

    /// The certificate shows no such name.
    struct WrongName: Error, CustomStringConvertible {
        var expected: String
        var description: String { "the instance's certificate is not for '\(expected)'" }
    }

    private static func isCertificate(_ certificate: NIOSSLCertificate, for name: String) -> Bool {
        var table = ServerNameTable<Void>()
        for name in CertificateFiles.serverNames(certificate) { table.insert(name, ()) }
        return table.value(for: name, isStrict: true) != nil
    }

    /// As ``TLSContextStore/reloadIfChanged()``.
    @discardableResult
    func reloadIfChanged() -> TLSContextStore.ReloadResult {
        let now = Self.stamps(options)
        let hasSettled: Bool? = state.withLock { state in
            guard now != state.stamps else {
                state.settling = nil
                return nil
            }
            guard let settling = state.settling, settling == now else {
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

    /// As ``TLSContextStore/reload()``.
    @discardableResult
    func reload() -> TLSContextStore.ReloadResult {
        let stamps = Self.stamps(options)
        do throws(TLSFileError) {
            let context = try Self.load(options)
            state.withLock { $0 = State(context: context, stamps: stamps, settling: nil) }
            logger.info("TLS settings towards instances reloaded")
            return .reloaded
        } catch {
            state.withLock { state in
                state.stamps = stamps
                state.settling = nil
            }
            logger.error("a TLS file could not be reloaded, the old one stays in use: \(error)")
            return .failed([error])
        }
    }

    private static func stamps(_ options: ProxyOptions.UpstreamTLS) -> [FileStamp?] {
        [options.authorityFile, options.certificate?.chainFile, options.certificate?.keyFile].map { file in
            file.flatMap { FileStamp(path: $0) }
        }
    }

    private static func load(_ options: ProxyOptions.UpstreamTLS) throws(TLSFileError) -> NIOSSLContext {
        let configuration = try configuration(options)
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            guard let certificate = options.certificate else {
                throw TLSFileError("the system's authorities", "cannot be loaded: \(error)")
            }
            throw TLSFileError(certificate.keyFile, "does not fit the certificate in '\(certificate.chainFile)'")
        }
    }

    /// Reads the files. Blocks: not on an event loop.
    static func configuration(_ options: ProxyOptions.UpstreamTLS) throws(TLSFileError) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = options.minimumVersion.library
        configuration.applicationProtocols = ["http/1.1"]
        switch options.verification {
        case .full: configuration.certificateVerification = .fullVerification
        case .chain: configuration.certificateVerification = .noHostnameVerification
        case .none: configuration.certificateVerification = .none
        }
        if let file = options.authorityFile {
            configuration.trustRoots = .certificates(try CertificateFiles.certificates(file))
        }
        if let certificate = options.certificate {
            configuration.certificateChain = try CertificateFiles.certificates(certificate.chainFile)
                .map { .certificate($0) }
            configuration.privateKey = .privateKey(try CertificateFiles.privateKey(certificate.keyFile).key)
        }
        return configuration
    }
}

extension ProxyOptions.UpstreamTLS {
    /// The same settings for another client of instances, such as the coordinator's. Reads the files; blocks.
    package func configuration() throws(TLSFileError) -> TLSConfiguration { try UpstreamTLS.configuration(self) }
}
