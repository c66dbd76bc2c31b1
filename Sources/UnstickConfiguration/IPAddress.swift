#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// An IPv4 or IPv6 address.
public struct IPAddress: Sendable, Hashable, CustomStringConvertible {
    /// 4 or 16 bytes in network order.
    public let bytes: [UInt8]

    /// Reads `127.0.0.1` or `::1`, without brackets, zone or port (`inet_pton`, POSIX).
    public init?(_ text: String) {
        var buffer = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &buffer) == 1 {
            bytes = Array(buffer[..<4])
        } else if inet_pton(AF_INET6, text, &buffer) == 1 {
            bytes = buffer
        } else {
            return nil
        }
    }

    /// Nil unless there are 4 or 16 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    /// 127.0.0.0/8 (RFC 1122 section 3.2.1.3), `::1` (RFC 4291 section 2.5.3), and the former mapped into IPv6.
    public var isLoopback: Bool {
        if let mapped = ipv4Mapped { return mapped[0] == 127 }
        if bytes.count == 4 { return bytes[0] == 127 }
        return bytes[..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
    }

    /// The IPv4 address in `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2): how a dual-stack socket shows an IPv4 peer.
    var ipv4Mapped: [UInt8]? {
        guard bytes.count == 16, bytes[..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xff, bytes[11] == 0xff else {
            return nil
        }
        return Array(bytes[12...])
    }

    public var description: String {
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        guard inet_ntop(family, bytes, &buffer, socklen_t(buffer.count)) != nil else { return "?" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// Addresses with a common prefix: `10.0.0.0/8`, `fd00::/8`, or a single address.
public struct AddressRange: Sendable, Hashable, CustomStringConvertible {
    public let network: IPAddress
    /// Number of leading bits that count: 0 to 32, or 0 to 128.
    public let prefixLength: Int

    /// Reads CIDR notation (RFC 4632 section 3.1) or an address. Nil for bits set behind the prefix as well: who writes
    /// `10.1.2.3/8` meant something else.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let network = IPAddress(String(parts[0])) else { return nil }
        let bits = network.bytes.count * 8
        var prefix = bits
        if parts.count == 2 {
            guard parts[1].utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let length = Int(parts[1]), length <= bits
            else {
                return nil
            }
            prefix = length
        }
        self.network = network
        prefixLength = prefix
        guard AddressRange.hasZerosBehind(prefix, network.bytes) else { return nil }
    }

    /// Whether the address is in the range. An IPv4 address mapped into IPv6 counts as the IPv4 address.
    public func contains(_ address: IPAddress) -> Bool {
        let bytes = network.bytes.count == 4 ? (address.ipv4Mapped ?? address.bytes) : address.bytes
        guard bytes.count == network.bytes.count else { return false }
        let whole = prefixLength / 8
        guard bytes[..<whole] == network.bytes[..<whole] else { return false }
        let rest = prefixLength % 8
        return rest == 0 || (bytes[whole] ^ network.bytes[whole]) >> UInt8(8 - rest) == 0
    }

    private static func hasZerosBehind(_ prefix: Int, _ bytes: [UInt8]) -> Bool {
        for bit in prefix..<(bytes.count * 8) where bytes[bit / 8] & (0x80 >> UInt8(bit % 8)) != 0 { return false }
        return true
    }

    public var description: String { "\(network)/\(prefixLength)" }
}
