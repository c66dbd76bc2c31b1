import HTTPWire
import Testing

@Suite("Network addresses")
struct NetworkAddressTests {
    @Test(
        "addresses are read, and written as RFC 5952 wants them",
        arguments: [
            ("0.0.0.0", "0.0.0.0"), ("1.2.3.4", "1.2.3.4"), ("255.255.255.255", "255.255.255.255"),
            ("10.99.100.9", "10.99.100.9"),
            ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("2001:DB8::1", "2001:db8::1"),
            ("2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
            ("::ffff:1.2.3.4", "1.2.3.4"), ("::ffff:102:304", "1.2.3.4"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
            ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"), ("1:0:0:2::", "1:0:0:2::"),
            ("0:0:0:1:0:0:0:0", "0:0:0:1::"),
            ("a:b:c:d:e:f:0:0", "a:b:c:d:e:f::"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ])
    func reads(text: String, written: String) {
        #expect(NetworkAddress(text)?.description == written)
        #expect(NetworkAddress(written) == NetworkAddress(text))
    }

    @Test(
        "what is no address is refused",
        arguments: [
            "", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.04", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4:80",
            "1.2.3.4\u{0}",
            "1..2.3", "+1.2.3.4", "0x1.2.3.4", ":", ":1", "1:", ":::", "1::2::3", "::1:", "12345::", "g::", "[::1]",
            "fe80::1%eth0",
            "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:1.2.3.4",
            "::1.2.3.4:5", "::1.2.3",
            "::ffff:1.2.3.4.5", "unknown", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa",
        ])
    func refuses(text: String) { #expect(NetworkAddress(text) == nil) }

    @Test("every address survives being written and read")
    func roundTrip() {
        var random = SplitMix64(state: 11)
        for _ in 0..<20_000 {
            var (high, low) = (random.next(), random.next())
            // Many zero groups, in all places.
            for group in UInt64(0)..<4 {
                if random.below(2) == 0 { high &= ~(0xffff << (group * 16)) }
                if random.below(2) == 0 { low &= ~(0xffff << (group * 16)) }
            }
            let six = NetworkAddress(high: high, low: low)
            #expect(NetworkAddress(six.description) == six)
            let four = NetworkAddress(ipv4: UInt32(truncatingIfNeeded: random.next()))
            #expect(NetworkAddress(four.description) == four)
        }
    }

    @Test(
        "a prefix holds its addresses and no others",
        arguments: [
            (
                "10.0.0.0", 8, ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
                ["11.0.0.0", "9.255.255.255", "::10.0.0.0", "::1"]
            ),
            ("192.0.2.1", 32, ["192.0.2.1"], ["192.0.2.0", "192.0.2.3"]), ("0.0.0.0", 0, ["1.2.3.4"], ["::1"]),
            ("2001:db8::", 32, ["2001:db8::1", "2001:db8:ffff::"], ["2001:db9::", "1.2.3.4"]),
            ("::", 0, ["::1", "ffff::"], ["1.2.3.4"]),
            ("fd00::1", 128, ["fd00::1"], ["fd00::2", "fd00::"]), ("fd00::8", 125, ["fd00::f"], ["fd00::10"]),
            ("fd00:1::", 65, ["fd00:1::7fff:0:0:0"], ["fd00:1::8000:0:0:0"]),
        ] as [(String, Int, [String], [String])])
    func prefixes(network: String, length: Int, inside: [String], outside: [String]) throws {
        let address = try #require(NetworkAddress(network))
        let prefix = try #require(NetworkPrefix(address, length: length))
        for text in inside { #expect(NetworkAddress(text).map { prefix.contains($0) } == true, "\(text)") }
        for text in outside { #expect(NetworkAddress(text).map { prefix.contains($0) } == false, "\(text)") }
    }

    @Test("a prefix is not longer than its address")
    func lengths() throws {
        let four = try #require(NetworkAddress("10.0.0.0"))
        let six = try #require(NetworkAddress("::"))
        #expect(NetworkPrefix(four, length: 33) == nil)
        #expect(NetworkPrefix(four, length: -1) == nil)
        #expect(NetworkPrefix(six, length: 129) == nil)
    }

    @Test("loopback addresses are known")
    func loopback() {
        for text in ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"] {
            #expect(NetworkAddress(text)?.isLoopback == true)
        }
        for text in ["128.0.0.1", "::2", "10.0.0.1", "1::1"] { #expect(NetworkAddress(text)?.isLoopback == false) }
    }
}
