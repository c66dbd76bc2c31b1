import Testing
import UnstickConfiguration

@Suite("Addresses")
struct AddressTests {
    @Test(
        "an endpoint reads back as it was written",
        arguments: ["127.0.0.1:8080", "[::1]:8080", "localhost:1", "web-1.internal:65535", "my_service:80"]
    )
    func roundTrip(text: String) throws {
        #expect(try SocketEndpoint(parsing: text).description == text)
    }

    @Test(
        "what is not HOST:PORT is refused",
        arguments: [
            "", ":80", "a", "a:", "a:b", "a:-1", "a:+1", "a:65536", "a:99999999999999999999", "1.2.3:80",
            "256.1.1.1:80", "-a:80",
            "a-:80", "a..b:80", "a b:80", "[1.2.3.4]:80", "[::1]80", "[]:80", "::1", "a:1:2", "é:80",
        ]
    )
    func refused(text: String) {
        #expect(throws: EndpointRefusal.self) { try SocketEndpoint(parsing: text) }
    }

    @Test(
        "loopback is localhost, 127.0.0.0/8 and ::1 only",
        arguments: [
            ("localhost", true), ("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("::ffff:127.0.0.1", true),
            ("0.0.0.0", false), ("::", false), ("128.0.0.1", false), ("::2", false), ("localhost.example", false),
        ]
    )
    func loopback(host: String, expected: Bool) {
        #expect(SocketEndpoint(host: host, port: 1).isLoopback == expected)
    }

    @Test(
        "a range contains the addresses with its prefix",
        arguments: [
            ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.0.0.0/9", "10.127.0.1", true),
            ("10.0.0.0/9", "10.128.0.1", false), ("0.0.0.0/0", "9.9.9.9", true), ("0.0.0.0/0", "::1", false),
            ("192.0.2.1", "192.0.2.1", true), ("192.0.2.1", "192.0.2.2", false), ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false), ("10.0.0.0/8", "::ffff:10.1.2.3", true), ("::/0", "::5", true),
        ]
    )
    func contains(range: String, address: String, expected: Bool) throws {
        let range = try #require(AddressRange(range))
        #expect(range.contains(try #require(IPAddress(address))) == expected)
    }

    @Test(
        "malformed ranges are refused",
        arguments: ["", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "a/8", "10.1.0.0/8"])
    func malformed(text: String) {
        #expect(AddressRange(text) == nil)
    }
}
