/// Scheme, host and port of an instance's `http://HOST:PORT` or `https://HOST:PORT` address (RFC 6454 section 4).
///
/// The configuration has checked the form; what still cannot be read becomes port 0, which refuses connections, and health
/// checks say so.
struct InstanceOrigin: Hashable, Sendable {
    var isSecure: Bool
    /// A name or an address, IPv6 without brackets.
    var host: String
    var port: Int

    init(url: String) {
        var rest = Substring(url)
        isSecure = false
        if Self.removePrefix("https://", from: &rest) {
            isSecure = true
        } else {
            _ = Self.removePrefix("http://", from: &rest)
        }
        let standard = isSecure ? 443 : 80
        rest = rest.prefix { $0 != "/" }
        let portText: Substring?
        if rest.first == "[", let bracket = rest.firstIndex(of: "]") {
            host = String(rest[rest.index(after: rest.startIndex)..<bracket])
            let behind = rest[rest.index(after: bracket)...]
            portText = behind.isEmpty ? nil : behind.dropFirst()
        } else if let colon = rest.lastIndex(of: ":") {
            host = String(rest[..<colon])
            portText = rest[rest.index(after: colon)...]
        } else {
            host = String(rest)
            portText = nil
        }
        port = portText.map { Int($0) ?? 0 } ?? standard
        if !(0...65_535).contains(port) { port = 0 }
    }

    /// `HOST:PORT` as a `Host` field has it; the scheme's own port may stand there (RFC 9110 section 7.2).
    var authority: String { "\(host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host):\(port)" }

    private static func removePrefix(_ prefix: String, from text: inout Substring) -> Bool {
        guard text.prefix(prefix.count).lowercased() == prefix else { return false }
        text = text.dropFirst(prefix.count)
        return true
    }
}
