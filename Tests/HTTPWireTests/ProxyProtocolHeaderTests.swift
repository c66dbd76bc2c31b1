import HTTPWire
import Testing

@Suite("PROXY protocol headers")
struct ProxyProtocolHeaderTests {
    typealias Endpoint = ProxyProtocolHeader.Endpoint

    static func read(
        _ bytes: [UInt8], bytesMax: Int = ProxyProtocolHeader.versionTwoBytesMax
    ) -> Result<ProxyProtocolHeader?, ProxyProtocolError> {
        bytes.withUnsafeBytes { bytes in
            do throws(ProxyProtocolError) {
                return .success(try ProxyProtocolHeader.parse(bytes, bytesMax: bytesMax))
            } catch {
                return .failure(error)
            }
        }
    }

    static func endpoint(_ text: String, _ port: UInt16) -> Endpoint? {
        NetworkAddress(text).map { Endpoint(address: $0, port: port) }
    }

    // MARK: Version 1

    static let lines: [(String, String?, UInt16, String?, UInt16)] = [
        ("PROXY TCP4 203.0.113.7 10.0.0.1 50000 443\r\n", "203.0.113.7", 50000, "10.0.0.1", 443),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255", 65535, "255.255.255.255",
            65535
        ),
        ("PROXY TCP6 2001:db8::7 ::1 0 1\r\n", "2001:db8::7", 0, "::1", 1),
        (
            "PROXY TCP6 ffff:f1ff:ffff:ffff:ffff:ffff:ffff:ffff ffff:f2ff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            "ffff:f1ff:ffff:ffff:ffff:ffff:ffff:ffff", 65535, "ffff:f2ff:ffff:ffff:ffff:ffff:ffff:ffff", 65535
        ),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 5 6\r\n", "192.0.2.1", 5, "::1", 6),
        ("PROXY UNKNOWN\r\n", nil, 0, nil, 0),
        ("PROXY UNKNOWN ffff::1 whatever 1 2 3\r\n", nil, 0, nil, 0),
    ]

    @Test("a line of version 1 is read, wherever it is cut", arguments: lines.indices)
    func line(index: Int) throws {
        let (text, source, sourcePort, destination, destinationPort) = Self.lines[index]
        let bytes = octets(text)
        let header = try #require(try Self.read(bytes + octets("GET / HTTP/1.1\r\n")).get())
        #expect(header.version == 1)
        #expect(!header.isLocal)
        #expect(header.length == bytes.count)
        #expect(header.source == source.flatMap { Self.endpoint($0, sourcePort) })
        #expect(header.destination == destination.flatMap { Self.endpoint($0, destinationPort) })
        for count in 0..<bytes.count { #expect(Self.read(Array(bytes[..<count])) == .success(nil), "cut at \(count)") }
        #expect(Self.read(bytes) == .success(header))
    }

    static let faultyLines: [(String, ProxyProtocolError.Reason)] = [
        ("GET / HTTP/1.1\r\n\r\n", .noHeader), ("PROXX", .noHeader), ("proxy TCP4", .noHeader),
        ("\u{16}\u{3}\u{1}", .noHeader),
        ("PROXY\tTCP4 1.1.1.1 1.1.1.1 1 1\r\n", .noHeader), ("PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n", .badFamily),
        ("PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n", .badFamily), ("PROXY \r\n", .badFamily),
        ("PROXY UNKNOWNX\r\n", .badFamily), ("PROXY TCP4\r\n", .badAddress),
        ("PROXY TCP4 1.1.1.1\r\n", .badAddress), ("PROXY TCP4 1.1.1.1 1.1.1.1\r\n", .badPort),
        ("PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", .badPort), ("PROXY TCP4 ::1 ::1 1 1\r\n", .badAddress),
        ("PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n", .badAddress), ("PROXY TCP4 01.1.1.1 1.1.1.1 1 1\r\n", .badAddress),
        ("PROXY TCP4 1.1.1 1.1.1.1 1 1\r\n", .badAddress), ("PROXY TCP4 1.1.1.1  1.1.1.1 1 1\r\n", .badAddress),
        ("PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n", .badPort), ("PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n", .badPort),
        ("PROXY TCP4 1.1.1.1 1.1.1.1 -1 1\r\n", .badPort), ("PROXY TCP4 1.1.1.1 1.1.1.1 1 x\r\n", .badPort),
        ("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n", .badLine), ("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n", .badLine),
        ("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n", .badLine), ("PROXY UNKNOWN\n", .badLine),
        ("PROXY UNKNOWN " + String(repeating: "x", count: 92) + "\r\n", .tooLong),
        ("PROXY TCP4 " + String(repeating: "1", count: 200), .tooLong),
    ]

    @Test("a faulty line is refused", arguments: faultyLines)
    func faultyLine(text: String, reason: ProxyProtocolError.Reason) {
        guard case .failure(let error) = Self.read(octets(text)) else {
            Issue.record("accepted")
            return
        }
        #expect(error.reason == reason)
    }

    @Test("a line may have 107 bytes and no more")
    func lineLength() {
        let fitting = "PROXY UNKNOWN " + String(repeating: "x", count: 91) + "\r\n"
        #expect(octets(fitting).count == 107)
        #expect((try? Self.read(octets(fitting)).get())??.length == 107)
    }

    // MARK: Version 2

    static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

    static func versionTwo(_ command: UInt8, _ family: UInt8, _ block: [UInt8], length: Int? = nil) -> [UInt8] {
        let length = length ?? block.count
        return signature + [command, family, UInt8(length >> 8), UInt8(length & 0xff)] + block
    }

    static let ipv4: [UInt8] = [203, 0, 113, 7, 10, 0, 0, 1, 0xc3, 0x50, 0x01, 0xbb]
    static let ipv6: [UInt8] =
        [0x20, 1, 0x0d, 0xb8] + Array(repeating: 0, count: 11) + [7] + Array(repeating: 0, count: 15) + [
            1, 0, 80, 1, 0xbb,
        ]

    @Test("addresses of version 2 are read, whatever stands behind them")
    func addresses() throws {
        for types in [[], [0x04, 0, 0], [0x01, 0, 2, 0x68, 0x32, 0xea, 0, 3, 1, 2, 3]] as [[UInt8]] {
            let bytes = Self.versionTwo(0x21, 0x11, Self.ipv4 + types)
            let header = try #require(try Self.read(bytes + [1, 2, 3]).get())
            #expect(header.version == 2)
            #expect(header.length == bytes.count)
            #expect(header.source == Self.endpoint("203.0.113.7", 50000))
            #expect(header.destination == Self.endpoint("10.0.0.1", 443))
            for count in 0..<bytes.count { #expect(Self.read(Array(bytes[..<count])) == .success(nil)) }
        }
        let header = try #require(try Self.read(Self.versionTwo(0x21, 0x21, Self.ipv6)).get())
        #expect(header.source == Self.endpoint("2001:db8::7", 80))
        #expect(header.destination == Self.endpoint("::1", 443))
    }

    @Test(
        "LOCAL, UNSPEC, datagrams and Unix sockets leave the connection's own addresses",
        arguments: [
            versionTwo(0x20, 0x00, []), versionTwo(0x20, 0x11, ipv4), versionTwo(0x20, 0x11, [9, 9]),
            versionTwo(0x21, 0x00, [1, 2, 3]), versionTwo(0x21, 0x12, ipv4), versionTwo(0x21, 0x22, ipv6),
            versionTwo(0x21, 0x31, Array(repeating: 0, count: 216)), versionTwo(0x21, 0x10, ipv4),
        ])
    func withoutAddresses(bytes: [UInt8]) throws {
        let header = try #require(try Self.read(bytes).get())
        #expect(header.source == nil)
        #expect(header.destination == nil)
        #expect(header.isLocal == (bytes[12] == 0x20))
        #expect(header.length == bytes.count)
    }

    @Test(
        "a faulty header of version 2 is refused",
        arguments: [
            ([0x0d, 0x0a, 0x0d, 0x0d], ProxyProtocolError.Reason.noHeader),
            (versionTwo(0x11, 0x11, ipv4), .badVersion), (versionTwo(0x31, 0x11, ipv4), .badVersion),
            (versionTwo(0x22, 0x11, ipv4), .badCommand), (versionTwo(0x2f, 0x11, ipv4), .badCommand),
            (versionTwo(0x21, 0x41, ipv4), .badFamily), (versionTwo(0x21, 0x13, ipv4), .badFamily),
            (versionTwo(0x21, 0x11, Array(ipv4.dropLast())), .badLength),
            (versionTwo(0x21, 0x21, ipv4), .badLength), (versionTwo(0x21, 0x31, ipv6), .badLength),
            (versionTwo(0x21, 0x11, ipv4 + [1]), .badLength), (versionTwo(0x21, 0x11, ipv4 + [1, 0]), .badLength),
            (versionTwo(0x21, 0x11, ipv4 + [1, 0, 1]), .badLength),
            (versionTwo(0x21, 0x11, ipv4 + [1, 0xff, 0xff, 1]), .badLength),
            (versionTwo(0x21, 0x11, ipv4 + [3, 0, 4, 1, 2, 3, 4]), .badChecksum),
            (versionTwo(0x21, 0x11, ipv4 + [3, 0, 3, 1, 2, 3]), .badChecksum),
            (versionTwo(0x21, 0x11, ipv4 + [0x20, 0, 4, 1, 0, 0, 0]), .badLength),
            (versionTwo(0x21, 0x11, ipv4, length: 0xffff), .tooLong),
        ])
    func faulty(bytes: [UInt8], reason: ProxyProtocolError.Reason) {
        guard case .failure(let error) = Self.read(bytes) else {
            Issue.record("accepted")
            return
        }
        #expect(error.reason == reason)
    }

    @Test("a checksum is held against the bytes: one bit wrong is refused")
    func checksum() throws {
        // Made by an independent implementation.
        let good =
            Self.signature + [
                0x21, 0x11, 0x00, 0x18, 0xcb, 0x00, 0x71, 0x07, 0x0a, 0x00, 0x00, 0x01, 0xc3, 0x50, 0x01, 0xbb, 0x01,
                0x00, 0x02, 0x68, 0x32, 0x03, 0x00, 0x04, 0x8f, 0x9c, 0x7c, 0x26,
            ]
        let header = try #require(try Self.read(good).get())
        #expect(header.source == Self.endpoint("203.0.113.7", 50000))
        // Behind the fields whose own checks would refuse first.
        for offset in 16..<28 {
            for bit in 0..<8 {
                var bad = good
                bad[offset] ^= 1 << UInt8(bit)
                #expect(Self.read(bad) == .failure(ProxyProtocolError(.badChecksum, at: 36)), "\(offset).\(bit)")
            }
        }
    }

    @Test("the limit on the header's bytes is a parameter")
    func limit() {
        let bytes = Self.versionTwo(0x21, 0x11, Self.ipv4 + [0x04, 0, 100] + Array(repeating: 0, count: 100))
        #expect((try? Self.read(bytes, bytesMax: bytes.count).get())??.length == bytes.count)
        #expect(Self.read(bytes, bytesMax: bytes.count - 1) == .failure(ProxyProtocolError(.tooLong, at: 14)))
    }

    @Test("the sender's word about TLS is read")
    func tls() throws {
        for (flags, expected) in [(UInt8(1), true), (7, true), (0, false), (6, false)] {
            let types: [UInt8] = [0x20, 0, 8, flags, 0, 0, 0, 0, 0x21, 0, 0]
            let header = try #require(try Self.read(Self.versionTwo(0x21, 0x11, Self.ipv4 + types)).get())
            #expect(header.clientUsedTLS == expected)
        }
    }

    @Test("no bytes at all crash the reader")
    func anyBytes() {
        var random = SplitMix64(state: 7)
        for _ in 0..<20_000 {
            var bytes =
                random.below(2) == 0
                ? octets(Self.lines[random.below(Self.lines.count)].0)
                : Self.versionTwo(0x21, 0x11, Self.ipv4 + [3, 0, 4, 0, 0, 0, 0])
            for _ in 0...random.below(4) {
                let offset = random.below(bytes.count)
                bytes[offset] = UInt8(random.below(256))
            }
            let whole = Self.read(bytes)
            // What a prefix says, the whole says too.
            let prefix = Self.read(Array(bytes[..<random.below(bytes.count + 1)]))
            #expect(prefix == .success(nil) || prefix == whole)
        }
    }
}
