/// What a PROXY protocol header says (HAProxy's proxy-protocol.txt, versions 1 and 2): who is connected to the proxy in
/// front. It is the first thing on a connection, before TLS.
public struct ProxyProtocolHeader: Hashable, Sendable {
    public struct Endpoint: Hashable, Sendable {
        public var address: NetworkAddress
        public var port: UInt16

        public init(address: NetworkAddress, port: UInt16) {
            self.address = address
            self.port = port
        }
    }

    /// 1 or 2.
    public let version: Int
    /// The client. Nil when the connection's own addresses stand: for LOCAL (the proxy's own connection, such as a health
    /// check), UNKNOWN and UNSPEC, Unix sockets and datagrams.
    public let source: Endpoint?
    /// What the client connected to; nil as `source` is.
    public let destination: Endpoint?
    /// Version 2's LOCAL command.
    public let isLocal: Bool
    /// Whether the sender says that the client's connection to it was TLS (`PP2_TYPE_SSL` with `PP2_CLIENT_SSL`).
    public let clientUsedTLS: Bool
    /// Bytes of the header; what follows is the client's.
    public let length: Int

    /// Bytes of a version 1 header, CRLF included (section 2.1).
    public static let versionOneBytesMax = 107
    /// Bytes of a version 2 header that are accepted without another limit: addresses and many TLVs.
    public static let versionTwoBytesMax = 4_096

    /// Reads a header from the first byte of a connection. Returns nil while it is not complete: call again with the same
    /// bytes and more. A connection that cannot become a header is refused at its first wrong byte.
    ///
    /// - Parameter bytesMax: limit on a version 2 header, 16 to 65 551.
    public static func parse(
        _ bytes: UnsafeRawBufferPointer,
        bytesMax: Int = versionTwoBytesMax
    ) throws(ProxyProtocolError) -> ProxyProtocolHeader? {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return nil }
        if ByteScan.byte(base, 0) == signature.utf8Start[0] {
            return try versionTwo(base, end: bytes.count, bytesMax: bytesMax)
        }
        return try versionOne(base, end: bytes.count)
    }

    // MARK: Version 1

    /// `PROXY TCP4 SOURCE DESTINATION PORT PORT CRLF`, each space exactly one.
    private static func versionOne(
        _ base: UnsafeRawPointer, end: Int
    ) throws(ProxyProtocolError) -> ProxyProtocolHeader? {
        guard try hasPrefix("PROXY ", base, end: end, fault: .noHeader) else { return nil }
        let limit = min(end, versionOneBytesMax)
        let lineEnd = ByteScan.first(0x0a, base, from: 6, end: limit)
        guard lineEnd < limit else {
            if limit == versionOneBytesMax { throw ProxyProtocolError(.tooLong, at: limit) }
            return nil
        }
        guard ByteScan.byte(base, lineEnd - 1) == 0x0d else { throw ProxyProtocolError(.badLine, at: lineEnd) }
        let end = lineEnd - 1
        let length = lineEnd + 1
        var position = 6
        let family = word(base, &position, end: end)
        // Whatever follows UNKNOWN is to be ignored (section 2.1).
        if ByteScan.equals(base, family, "UNKNOWN") {
            return ProxyProtocolHeader(version: 1, length: length)
        }
        let isIPv6 = ByteScan.equals(base, family, "TCP6")
        guard isIPv6 || ByteScan.equals(base, family, "TCP4") else {
            throw ProxyProtocolError(.badFamily, at: family.start)
        }
        let source = try address(base, &position, end: end, isIPv6: isIPv6)
        let destination = try address(base, &position, end: end, isIPv6: isIPv6)
        let sourcePort = try port(base, &position, end: end)
        let destinationPort = try port(base, &position, end: end)
        guard position > end else { throw ProxyProtocolError(.badLine, at: position) }
        return ProxyProtocolHeader(
            version: 1,
            source: Endpoint(address: source, port: sourcePort),
            destination: Endpoint(address: destination, port: destinationPort),
            length: length
        )
    }

    /// The bytes up to the next space or the end; moves `position` behind that space.
    private static func word(_ base: UnsafeRawPointer, _ position: inout Int, end: Int) -> ByteSlice {
        let start = min(position, end)
        let stop = ByteScan.first(0x20, base, from: start, end: end)
        position = stop + 1
        return ByteSlice(start: start, end: stop)
    }

    private static func address(
        _ base: UnsafeRawPointer, _ position: inout Int, end: Int, isIPv6: Bool
    ) throws(ProxyProtocolError) -> NetworkAddress {
        let text = word(base, &position, end: end)
        let bytes = UnsafeRawBufferPointer(start: base + text.start, count: text.count)
        // The text decides: an IPv4 address mapped into IPv6 stands behind TCP6.
        guard let address = NetworkAddress(bytes), bytes.contains(0x3a) == isIPv6 else {
            throw ProxyProtocolError(.badAddress, at: text.start)
        }
        return address
    }

    /// 0 to 65 535 without leading zeros.
    private static func port(
        _ base: UnsafeRawPointer, _ position: inout Int, end: Int
    ) throws(ProxyProtocolError) -> UInt16 {
        let text = word(base, &position, end: end)
        var value = 0
        for offset in text.range {
            let byte = ByteScan.byte(base, offset)
            guard ByteScan.isDigit(byte), text.count <= 5 else { throw ProxyProtocolError(.badPort, at: offset) }
            value = value * 10 + Int(byte - 0x30)
        }
        guard !text.isEmpty, value <= 65_535, text.count == 1 || ByteScan.byte(base, text.start) != 0x30 else {
            throw ProxyProtocolError(.badPort, at: text.start)
        }
        return UInt16(value)
    }

    /// Whether the bytes begin with `text`; false when they end within it.
    private static func hasPrefix(
        _ text: StaticString, _ base: UnsafeRawPointer, end: Int, fault: ProxyProtocolError.Reason
    ) throws(ProxyProtocolError) -> Bool {
        let count = text.utf8CodeUnitCount
        for offset in 0..<min(count, end) where ByteScan.byte(base, offset) != text.utf8Start[offset] {
            throw ProxyProtocolError(fault, at: offset)
        }
        return end >= count
    }

    // MARK: Version 2

    /// The twelve bytes that no text protocol begins with (section 2.2).
    private static let signature: StaticString = "\r\n\r\n\0\r\nQUIT\n"

    private static func versionTwo(
        _ base: UnsafeRawPointer, end: Int, bytesMax: Int
    ) throws(ProxyProtocolError) -> ProxyProtocolHeader? {
        guard try hasPrefix(signature, base, end: end, fault: .noHeader), end > 12 else { return nil }
        let command = ByteScan.byte(base, 12)
        guard command >> 4 == 2 else { throw ProxyProtocolError(.badVersion, at: 12) }
        guard command & 0xf <= 1 else { throw ProxyProtocolError(.badCommand, at: 12) }
        guard end > 13 else { return nil }
        let family = ByteScan.byte(base, 13)
        guard family >> 4 <= 3, family & 0xf <= 2 else { throw ProxyProtocolError(.badFamily, at: 13) }
        guard end >= 16 else { return nil }
        let length = 16 + number16(base, 14)
        if length > bytesMax { throw ProxyProtocolError(.tooLong, at: 14) }
        guard end >= length else { return nil }
        // LOCAL: the connection's own endpoints stand, everything else is to be ignored.
        if command & 0xf == 0 { return ProxyProtocolHeader(version: 2, isLocal: true, length: length) }

        let addressBytes =
            switch family >> 4 {
            case 1: 12
            case 2: 36
            case 3: 216
            // Without a family there is no telling where TLVs would begin.
            default: length - 16
            }
        guard 16 + addressBytes <= length else { throw ProxyProtocolError(.badLength, at: 14) }
        let clientUsedTLS = try readTypes(base, start: 16 + addressBytes, end: length)
        guard family & 0xf == 1, family >> 4 == 1 || family >> 4 == 2 else {
            return ProxyProtocolHeader(version: 2, clientUsedTLS: clientUsedTLS, length: length)
        }
        let width = family >> 4 == 1 ? 4 : 16
        func endpoint(_ index: Int) -> Endpoint? {
            let bytes = UnsafeRawBufferPointer(start: base + 16 + index * width, count: width)
            guard let address = NetworkAddress(networkBytes: bytes) else { return nil }
            return Endpoint(
                address: address, port: UInt16(truncatingIfNeeded: number16(base, 16 + 2 * width + 2 * index)))
        }
        return ProxyProtocolHeader(
            version: 2, source: endpoint(0), destination: endpoint(1), clientUsedTLS: clientUsedTLS, length: length)
    }

    private static func number16(_ base: UnsafeRawPointer, _ offset: Int) -> Int {
        Int(ByteScan.byte(base, offset)) << 8 | Int(ByteScan.byte(base, offset + 1))
    }

    /// Walks the type-length-value vectors: they must fill the rest, a checksum must fit (section 2.2.4), others are
    /// skipped. Whether the client used TLS.
    private static func readTypes(
        _ base: UnsafeRawPointer, start: Int, end: Int
    ) throws(ProxyProtocolError) -> Bool {
        var clientUsedTLS = false
        var hasChecksum = false
        var offset = start
        while offset < end {
            guard offset + 3 <= end else { throw ProxyProtocolError(.badLength, at: offset) }
            let type = ByteScan.byte(base, offset)
            let value = offset + 3
            let next = value + number16(base, offset + 1)
            guard next <= end else { throw ProxyProtocolError(.badLength, at: offset + 1) }
            switch type {
            case 0x03:
                guard next - value == 4, !hasChecksum else { throw ProxyProtocolError(.badChecksum, at: offset) }
                hasChecksum = true
                let stated = UInt32(number16(base, value)) << 16 | UInt32(number16(base, value + 2))
                guard checksum(base, end: end, without: value) == stated else {
                    throw ProxyProtocolError(.badChecksum, at: value)
                }
            case 0x20:
                guard next - value >= 5 else { throw ProxyProtocolError(.badLength, at: offset + 1) }
                clientUsedTLS = ByteScan.byte(base, value) & 1 != 0
            default: break
            }
            offset = next
        }
        return clientUsedTLS
    }

    /// CRC-32c (RFC 3720 appendix B.4) of the header with the four bytes of the checksum itself taken as zeros.
    private static func checksum(_ base: UnsafeRawPointer, end: Int, without field: Int) -> UInt32 {
        var crc: UInt32 = .max
        for offset in 0..<end {
            crc ^= offset >= field && offset < field + 4 ? 0 : UInt32(ByteScan.byte(base, offset))
            for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 0 ? 0 : 0x82f6_3b78) }
        }
        return ~crc
    }

    private init(
        version: Int, source: Endpoint? = nil, destination: Endpoint? = nil, isLocal: Bool = false,
        clientUsedTLS: Bool = false, length: Int
    ) {
        self.version = version
        self.source = source
        self.destination = destination
        self.isLocal = isLocal
        self.clientUsedTLS = clientUsedTLS
        self.length = length
    }
}

/// Why a connection does not begin with a PROXY protocol header. It must be closed without an answer: the sender is no
/// HTTP client.
public struct ProxyProtocolError: Error, Hashable, Sendable {
    public enum Reason: UInt8, Hashable, Sendable, CaseIterable {
        /// The connection begins with something else.
        case noHeader
        case badLine, badVersion, badCommand, badFamily, badAddress, badPort, badLength, badChecksum, tooLong
    }

    public var reason: Reason
    /// Offset of the offending byte from the connection's first one.
    public var offset: Int

    public init(_ reason: Reason, at offset: Int) {
        self.reason = reason
        self.offset = offset
    }
}

extension ProxyProtocolError: CustomStringConvertible {
    public var description: String { "PROXY protocol: \(reason) at byte \(offset)" }
}
