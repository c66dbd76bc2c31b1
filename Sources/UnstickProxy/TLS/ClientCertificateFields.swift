import NIOSSL
import UnstickCrypto

/// What the application is told of a client's certificate, as field lines, and which fields of clients must go so that
/// nobody can claim one.
enum ClientCertificateFields {
    /// The lines with their CRLF; empty when nothing is to be told.
    static func lines(of certificate: NIOSSLCertificate, as header: ProxyOptions.TLS.ClientCertificateHeader) -> [UInt8]
    {
        guard header != .none, let bytes = try? certificate.toDERBytes() else { return [] }
        switch header {
        case .none: return []
        case .clientCert:
            // A byte sequence of structured fields (RFC 9440 section 2.1, RFC 8941 section 3.3.5).
            return Array("Client-Cert: :\(base64(bytes)):\r\n".utf8)
        case .xClientCert:
            let text = """
                X-Client-Cert-Subject: \(distinguishedName(certificate.subjectName))\r
                X-Client-Cert-Issuer: \(distinguishedName(certificate.issuerName))\r
                X-Client-Cert-Serial: \(hexadecimal(certificate.serialNumber))\r
                X-Client-Cert-Fingerprint: \(hexadecimal(SHA256Digest.digest(of: bytes)))\r
                X-Client-Cert-Not-After: \(certificate.notValidAfter)\r

                """
            return Array(text.utf8)
        }
    }

    /// Whether a client's field of this name must not reach the application once it is told of certificates: those that are
    /// set here, in any case and with `_` for `-`, which CGI and WSGI cannot tell apart.
    static func isReserved(_ name: some Collection<UInt8>) -> Bool {
        if starts(name, with: "x-client-cert-") { return true }
        let isLong = name.count == 17
        guard name.count == 11 || isLong else { return false }
        return starts(name, with: isLong ? "client-cert-chain" : "client-cert")
    }

    private static func starts(_ name: some Collection<UInt8>, with prefix: StaticString) -> Bool {
        guard name.count >= prefix.utf8CodeUnitCount else { return false }
        let expected = UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount)
        return zip(name, expected).allSatisfy { byte, wanted in
            HTTP2FieldRules.lowercased(byte) == wanted || (byte == UInt8(ascii: "_") && wanted == UInt8(ascii: "-"))
        }
    }

    // MARK: Texts

    /// RFC 4648 section 4, which differs from base64url in two letters and the padding.
    static func base64(_ bytes: [UInt8]) -> String {
        var text = bytes.withUnsafeBytes { Base64URL.encode($0) }
        for index in text.indices {
            if text[index] == UInt8(ascii: "-") { text[index] = UInt8(ascii: "+") }
            if text[index] == UInt8(ascii: "_") { text[index] = UInt8(ascii: "/") }
        }
        while text.count % 4 != 0 { text.append(UInt8(ascii: "=")) }
        return String(decoding: text, as: UTF8.self)
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        var text = ""
        for byte in bytes {
            text += byte < 16 ? "0" : ""
            text += String(byte, radix: 16)
        }
        return text
    }

    /// The string form of RFC 4514, the most specific part first.
    static func distinguishedName(_ parts: [SSLCertificateName]) -> String {
        parts.reversed().map { "\(attributeType($0.type))=\(escaped($0.value))" }.joined(separator: ",")
    }

    private static func attributeType(_ type: SSLCertificateNameType) -> String {
        switch type {
        case .commonName: "CN"
        case .organization: "O"
        case .organizationalUnit: "OU"
        case .country: "C"
        case .state: "ST"
        case .city: "L"
        case .emailAddress: "1.2.840.113549.1.9.1"
        case .userId: "UID"
        default: "UNKNOWN"
        }
    }

    /// RFC 4514 section 2.4. Controls and what is not ASCII become pairs of hex digits: the text stands in a header.
    private static func escaped(_ value: String) -> String {
        var text = ""
        let bytes = Array(value.utf8)
        for (index, byte) in bytes.enumerated() {
            let isEdge = index == 0 || index == bytes.count - 1
            switch byte {
            case 0x00..<0x20, 0x7f...: text += "\\" + hexadecimal([byte])
            case UInt8(ascii: "\""), UInt8(ascii: "+"), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "<"),
                UInt8(ascii: ">"), UInt8(ascii: "\\"):
                text += "\\" + String(decoding: [byte], as: UTF8.self)
            case UInt8(ascii: " ") where isEdge, UInt8(ascii: "#") where index == 0:
                text += "\\" + String(decoding: [byte], as: UTF8.self)
            default: text += String(decoding: [byte], as: UTF8.self)
            }
        }
        return text
    }
}
