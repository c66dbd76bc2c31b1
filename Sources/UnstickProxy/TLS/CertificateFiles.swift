import NIOSSL

/// Certificates and keys read from PEM files, with errors that name the file.
enum CertificateFiles {
    /// All certificates of a file, at least one.
    static func certificates(_ path: String) throws(TLSFileError) -> [NIOSSLCertificate] {
        let bytes = try ObservedFile.read(path).bytes
        let certificates: [NIOSSLCertificate]
        do {
            certificates = try NIOSSLCertificate.fromPEMBytes(bytes)
        } catch {
            let isPEM = contains(bytes, "-----BEGIN CERTIFICATE-----")
            throw TLSFileError(
                path, isPEM ? "holds a certificate that cannot be read" : "holds no certificate in PEM form")
        }
        guard !certificates.isEmpty else { throw TLSFileError(path, "holds no certificate in PEM form") }
        return certificates
    }

    /// The first private key of a file, and whether every user of the machine can read it.
    static func privateKey(_ path: String) throws(TLSFileError) -> (key: NIOSSLPrivateKey, isOpenToAll: Bool) {
        let (bytes, isOpenToAll) = try ObservedFile.read(path)
        // Asked for a passphrase, BoringSSL would fail with a text that says nothing of it.
        guard !contains(bytes, "-----BEGIN ENCRYPTED PRIVATE KEY-----"), !contains(bytes, "Proc-Type: 4,ENCRYPTED")
        else {
            throw TLSFileError(path, "holds an encrypted key; expected one without a passphrase")
        }
        do {
            return (try NIOSSLPrivateKey(bytes: bytes, format: .pem), isOpenToAll)
        } catch {
            throw TLSFileError(path, "holds no private key in PEM form")
        }
    }

    /// The names for which a certificate is: DNS names of its subject alternative names, or else its common name (which
    /// clients no longer look at; operators with old internal certificates still do).
    static func serverNames(_ certificate: NIOSSLCertificate) -> [String] {
        let alternatives = certificate._subjectAlternativeNames()
        // With alternative names of any kind the common name means nothing (RFC 9525 section 2).
        if !alternatives.isEmpty {
            return alternatives.filter { $0.nameType == .dnsName }.map { String(decoding: $0.contents, as: UTF8.self) }
        }
        return certificate.subjectName.filter { $0.type == .commonName }.suffix(1).map(\.value)
    }

    private static func contains(_ bytes: [UInt8], _ text: StaticString) -> Bool {
        let pattern = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard bytes.count >= pattern.count else { return false }
        return (0...bytes.count - pattern.count).contains { offset in
            bytes[offset] == pattern[0] && bytes[offset..<offset + pattern.count].elementsEqual(pattern)
        }
    }
}
