/// An IPv4 or IPv6 address as two numbers: compared, matched and written without memory of its own.
public struct NetworkAddress: Hashable, Sendable {
    /// The first eight of sixteen bytes, in network order; 0 for IPv4.
    public let high: UInt64
    /// The last eight; the four bytes of an IPv4 address in the lower half.
    public let low: UInt64
    public let isIPv6: Bool

    /// - Parameter ipv4: the four bytes, the first one highest.
    public init(ipv4: UInt32) {
        high = 0
        low = UInt64(ipv4)
        isIPv6 = false
    }

    /// An IPv4 address that is mapped into IPv6, `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2), becomes the IPv4 address: a dual-stack
    /// socket shows IPv4 peers so, and both mean the same host.
    public init(high: UInt64, low: UInt64) {
        isIPv6 = !(high == 0 && low >> 32 == 0xffff)
        self.high = high
        self.low = isIPv6 ? low : low & 0xffff_ffff
    }

    /// From 4 or 16 bytes in network order; nil for another number.
    public init?(networkBytes bytes: UnsafeRawBufferPointer) {
        switch bytes.count {
        case 4: self.init(ipv4: bytes.loadUnaligned(as: UInt32.self).bigEndian)
        case 16:
            self.init(
                high: bytes.loadUnaligned(as: UInt64.self).bigEndian,
                low: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self).bigEndian)
        default: return nil
        }
    }

    /// Reads `192.0.2.1`, `2001:db8::1` or `::ffff:192.0.2.1` (RFC 4291 §2.2), nothing around it: no brackets, zone, port or
    /// white space. IPv4 octets have no leading zeros, which some readers take for octal (RFC 6943 §3.1.1).
    public init?(_ text: UnsafeRawBufferPointer) {
        guard let base = text.baseAddress, text.count <= Self.textBytesMax else { return nil }
        if let number = Self.ipv4(base, from: 0, end: text.count) {
            self.init(ipv4: number)
        } else if let (high, low) = Self.ipv6(base, end: text.count) {
            self.init(high: high, low: low)
        } else {
            return nil
        }
    }

    public init?(_ text: String) {
        var text = text
        guard let address = text.withUTF8({ NetworkAddress(UnsafeRawBufferPointer($0)) }) else { return nil }
        self = address
    }

    /// 127.0.0.0/8 (RFC 1122 §3.2.1.3) and `::1` (RFC 4291 §2.5.3).
    public var isLoopback: Bool { isIPv6 ? high == 0 && low == 1 : low >> 24 == 127 }

    /// Most bytes of the text form: eight groups of four digits, or six and a dotted quad.
    public static let textBytesMax = 45

    private static func ipv4(_ base: UnsafeRawPointer, from start: Int, end: Int) -> UInt32? {
        var offset = start
        var result: UInt32 = 0
        for octet in 0..<4 {
            if octet > 0 {
                guard offset < end, ByteScan.byte(base, offset) == 0x2e else { return nil }
                offset += 1
            }
            let first = offset
            var value: UInt32 = 0
            while offset < end, offset - first < 3, ByteScan.isDigit(ByteScan.byte(base, offset)) {
                value = value * 10 + UInt32(ByteScan.byte(base, offset) - 0x30)
                offset += 1
            }
            guard offset > first, value < 256, offset - first == 1 || ByteScan.byte(base, first) != 0x30 else {
                return nil
            }
            result = result << 8 | value
        }
        return offset == end ? result : nil
    }

    private static func ipv6(_ base: UnsafeRawPointer, end: Int) -> (UInt64, UInt64)? {
        var groups: (UInt64, UInt64) = (0, 0)
        var count = 0
        var gap = -1
        var offset = 0
        func push(_ value: UInt64) {
            groups.0 = groups.0 << 16 | groups.1 >> 48
            groups.1 = groups.1 << 16 | value
            count += 1
        }
        if end >= 2, ByteScan.byte(base, 0) == 0x3a {
            guard ByteScan.byte(base, 1) == 0x3a else { return nil }
            gap = 0
            offset = 2
        }
        while offset < end {
            guard count < 8 else { return nil }
            let start = offset
            var value: UInt64 = 0
            while offset < end, offset - start < 4, let digit = ByteScan.hexValue(ByteScan.byte(base, offset)) {
                value = value << 4 | UInt64(digit)
                offset += 1
            }
            if offset < end, ByteScan.byte(base, offset) == 0x2e {
                guard count <= 6, let number = ipv4(base, from: start, end: end) else { return nil }
                push(UInt64(number >> 16))
                push(UInt64(number & 0xffff))
                offset = end
                break
            }
            guard offset > start else { return nil }
            push(value)
            guard offset < end else { break }
            guard ByteScan.byte(base, offset) == 0x3a else { return nil }
            offset += 1
            if offset < end, ByteScan.byte(base, offset) == 0x3a {
                guard gap < 0 else { return nil }
                gap = count
                offset += 1
            } else if offset == end {
                return nil
            }
        }
        if gap < 0 { return count == 8 ? groups : nil }
        // `::` stands for at least one group.
        guard count < 8 else { return nil }
        let behind = (count - gap) * 16
        let tail = mask(behind)
        let kept = (groups.0 & tail.0, groups.1 & tail.1)
        let head = shiftLeft((groups.0 & ~tail.0, groups.1 & ~tail.1), by: (8 - count) * 16)
        return (head.0 | kept.0, head.1 | kept.1)
    }

    /// The lowest `bits` of 128, 0 to 127.
    private static func mask(_ bits: Int) -> (UInt64, UInt64) {
        bits >= 64 ? ((1 << UInt64(bits - 64)) - 1, .max) : (0, (1 << UInt64(bits)) - 1)
    }

    private static func shiftLeft(_ value: (UInt64, UInt64), by bits: Int) -> (UInt64, UInt64) {
        if bits >= 128 { return (0, 0) }
        if bits >= 64 { return (value.1 << UInt64(bits - 64), 0) }
        return bits == 0 ? value : (value.0 << UInt64(bits) | value.1 >> UInt64(64 - bits), value.1 << UInt64(bits))
    }
}

extension HeadWriter {
    /// The address as RFC 5952 wants it: lower case, the longest run of zero groups as `::`.
    public mutating func append(_ address: NetworkAddress) {
        guard address.isIPv6 else { return append(ipv4: UInt32(truncatingIfNeeded: address.low)) }
        func group(_ index: Int) -> UInt64 {
            (index < 4 ? address.high : address.low) >> UInt64(48 - (index & 3) * 16) & 0xffff
        }
        var gapStart = 8
        var gapCount = 1
        var index = 0
        while index < 8 {
            var end = index
            while end < 8, group(end) == 0 { end += 1 }
            if end - index > gapCount {
                gapStart = index
                gapCount = end - index
            }
            index = end + 1
        }
        index = 0
        while index < 8 {
            if index == gapStart {
                append("::")
                index += gapCount
                continue
            }
            if index > 0, index != gapStart + gapCount || gapStart == 8 { append(byte: 0x3a) }
            append(hex: group(index))
            index += 1
        }
    }

    /// Through a word and a half in registers: this runs for every forwarded request.
    private mutating func append(ipv4 number: UInt32) {
        var text: (UInt64, UInt64) = (0, 0)
        var count = 0
        var shift: UInt32 = 0
        withUnsafeMutableBytes(of: &text) { text in
            let target = text.baseAddress!
            @inline(__always)
            func put(_ byte: UInt32) {
                target.storeBytes(of: UInt8(truncatingIfNeeded: byte), toByteOffset: count, as: UInt8.self)
                count &+= 1
            }
            while shift < 32 {
                let octet = number >> (24 &- shift) & 0xff
                if shift > 0 { put(0x2e) }
                if octet > 99 { put(0x30 &+ octet / 100) }
                if octet > 9 { put(0x30 &+ octet / 10 % 10) }
                put(0x30 &+ octet % 10)
                shift &+= 8
            }
            append(UnsafeRawBufferPointer(start: target, count: count))
        }
    }

    private mutating func append(hex value: UInt64) {
        var shift = UInt64(12)
        while shift > 0, value >> shift == 0 { shift -= 4 }
        while true {
            let digit = UInt8(truncatingIfNeeded: value >> shift & 0xf)
            append(byte: digit < 10 ? digit + 0x30 : digit + 0x57)
            if shift == 0 { return }
            shift -= 4
        }
    }
}

extension NetworkAddress: CustomStringConvertible {
    public var description: String {
        withUnsafeTemporaryAllocation(byteCount: Self.textBytesMax, alignment: 1) { memory in
            var writer = HeadWriter(memory)
            writer.append(self)
            return String(decoding: writer.written, as: UTF8.self)
        }
    }
}

/// Addresses with a common prefix (RFC 4632 §3.1).
public struct NetworkPrefix: Hashable, Sendable {
    let network: NetworkAddress
    let highMask: UInt64
    let lowMask: UInt64

    /// - Parameter length: number of leading bits that count: 0 to 32 for IPv4, 0 to 128 for IPv6; nil for another. Bits of
    ///   `network` behind it are ignored.
    public init?(_ network: NetworkAddress, length: Int) {
        guard length >= 0, length <= (network.isIPv6 ? 128 : 32) else { return nil }
        self.network = network
        // An IPv4 address stands in the lower 32 bits of `low`.
        let bits = network.isIPv6 ? length : length + 96
        highMask = bits >= 64 ? .max : Self.leading(bits)
        lowMask = bits >= 64 ? Self.leading(bits - 64) : 0
    }

    private static func leading(_ bits: Int) -> UInt64 { bits == 0 ? 0 : .max << UInt64(64 - bits) }

    @inline(__always)
    public func contains(_ address: NetworkAddress) -> Bool {
        address.isIPv6 == network.isIPv6
            && (address.high ^ network.high) & highMask | (address.low ^ network.low) & lowMask == 0
    }
}
