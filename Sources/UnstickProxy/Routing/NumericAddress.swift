import Glibc
import UnstickCore

/// An address and a port in numbers.
struct NumericAddress {
    /// 4 or 16, as on the wire.
    var bytes: [UInt8]
    var port: UInt16

    /// `ADDRESS:PORT` or `[ADDRESS]:PORT`; nil for host names.
    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.first == "[", host.last == "]" { host = host.dropFirst().dropLast() }
        guard let bytes = Self.parse(String(host)) else { return nil }
        self.bytes = bytes
        self.port = port
    }

    /// Big-endian.
    var portBytes: [UInt8] { [UInt8(port >> 8), UInt8(port & 0xff)] }

    /// `struct sockaddr_in` or `sockaddr_in6` of Linux, as a little-endian machine holds it.
    var socketAddress: [UInt8] {
        bytes.count == 4
            ? [UInt8(AF_INET), 0] + portBytes + bytes + [UInt8](repeating: 0, count: 8)
            : [UInt8(AF_INET6), 0] + portBytes + [0, 0, 0, 0] + bytes + [0, 0, 0, 0]
    }

    static func parse(_ host: String) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, host, &buffer) == 1 { return Array(buffer.prefix(4)) }
        return inet_pton(AF_INET6, host, &buffer) == 1 ? buffer : nil
    }
}

/// What the affinity method `ip-hash` makes of a client's address. Once per connection, or per request where a trusted
/// proxy in front names the client.
enum AddressAffinity {
    /// Of IPv6 the network part only: a device changes the rest of its address by itself, within a session (RFC 8981).
    /// An IPv4 address in IPv6's clothes counts as IPv4.
    /// - Parameter text: as in `X-Forwarded-For`; what is no address is hashed as it is.
    static func hash(_ text: some Sequence<UInt8>) -> UInt64 {
        let text = Array(text)
        guard let bytes = NumericAddress.parse(String(decoding: text, as: UTF8.self)) else {
            return text.withUnsafeBytes { StableHash.hash($0) }
        }
        let isMapped =
            bytes.count == 16 && bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff
        let significant = bytes.count == 4 ? bytes[...] : isMapped ? bytes[12...] : bytes[..<8]
        return Array(significant).withUnsafeBytes { StableHash.hash($0) }
    }
}
