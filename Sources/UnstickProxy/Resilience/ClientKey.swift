import HTTPWire
import UnstickCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Who a client is for limits: an IPv4 address, or the /64 of an IPv6 address, because one subscriber has a whole /64
/// to take addresses from (RFC 6177, RFC 4862).
struct ClientKey: Hashable {
    let rawValue: UInt64

    /// - Parameter bytes: 4 or 16, in network order; nil for any other number.
    init?(bytes: UnsafeRawBufferPointer) {
        switch bytes.count {
        case 4:
            self.init(ipv4: bytes.loadUnaligned(as: UInt32.self).bigEndian)
        case 16:
            let high = bytes.loadUnaligned(as: UInt64.self).bigEndian
            let low = bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self).bigEndian
            // ::ffff:a.b.c.d is an IPv4 client of a dual-stack socket (RFC 4291 section 2.5.5.2).
            if high == 0, low >> 32 == 0xffff {
                self.init(ipv4: UInt32(truncatingIfNeeded: low))
            } else {
                self.init(rawValue: high)
            }
        default:
            return nil
        }
    }

    init(_ address: NetworkAddress) {
        if address.isIPv6 {
            self.init(rawValue: address.high)
        } else {
            self.init(ipv4: UInt32(truncatingIfNeeded: address.low))
        }
    }

    /// ::ffff:0:0/96 lies in a block that no client has (RFC 4291 section 4), so that both families fit one number.
    private init(ipv4: UInt32) { self.init(rawValue: 0xffff_0000_0000 | UInt64(ipv4)) }

    private init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Reads `192.0.2.1` or `2001:db8::1`, with or without a zone (`fe80::1%eth0`), without brackets or port. Nil when it
    /// is neither.
    init?(text: UnsafeRawBufferPointer) {
        // The longest address (INET6_ADDRSTRLEN) has 45 bytes.
        let length = text.firstIndex(of: UInt8(ascii: "%")) ?? text.count
        guard length > 0, length <= 45 else { return nil }
        let key = withUnsafeTemporaryAllocation(byteCount: 64, alignment: 8) { buffer -> ClientKey? in
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: text[..<length]))
            buffer[length] = 0
            let address = UnsafeMutableRawBufferPointer(rebasing: buffer[48..<64])
            guard let source = buffer.baseAddress?.assumingMemoryBound(to: CChar.self) else { return nil }
            if inet_pton(AF_INET, source, address.baseAddress) == 1 {
                return ClientKey(bytes: UnsafeRawBufferPointer(rebasing: address[..<4]))
            }
            if inet_pton(AF_INET6, source, address.baseAddress) == 1 {
                return ClientKey(bytes: UnsafeRawBufferPointer(address))
            }
            return nil
        }
        guard let key else { return nil }
        self = key
    }

    /// Where it stands in tables. Keyed, so that nobody can choose addresses that fall together.
    func hash(seed: UInt64) -> UInt64 {
        StableHash.mix(StableHash.mix(rawValue ^ seed) &+ StableHash.mix(~seed))
    }
}
