import HTTPWire
import Testing

@testable import UnstickProxy

/// A policy that trusts 10.0.0.0/8 and fd00::/8.
func forwardingPolicy(_ change: (inout ProxyOptions.Forwarding) -> Void = { _ in }) -> ForwardingPolicy {
    var options = ProxyOptions.Forwarding()
    options.trustedProxies = [
        ProxyOptions.Network(bytes: [10, 0, 0, 0], prefixLength: 8)!,
        ProxyOptions.Network(bytes: [0xfd] + Array(repeating: 0, count: 15), prefixLength: 8)!,
    ]
    change(&options)
    return ForwardingPolicy(options)
}

/// Parses a request and calls `body` with head and bytes.
func withRequest<Result>(
    _ text: String, _ body: (borrowing RequestHead, UnsafeRawBufferPointer) throws -> Result
) throws -> Result {
    var head = RequestHead()
    return try Array(text.utf8).withUnsafeBytes { bytes in
        let isComplete = try head.parse(bytes)
        #expect(isComplete)
        return try body(head, bytes)
    }
}

@Suite("Client identity")
struct ClientIdentityTests {
    func client(
        _ fields: String, peer: String = "10.0.0.1", _ change: (inout ProxyOptions.Forwarding) -> Void = { _ in }
    ) throws -> ClientIdentity {
        let policy = forwardingPolicy(change)
        let identity = ClientIdentity(peer: NetworkAddress(peer), peerPort: 5, localPort: 80, under: policy)
        return try withRequest("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n") {
            identity.resolved(for: $0, of: $1, under: policy)
        }
    }

    @Test(
        "the client is the rightmost address that is no trusted proxy",
        arguments: [
            ("", "10.0.0.1"), ("X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"),
            ("X-Forwarded-For: 6.6.6.6, 203.0.113.7\r\n", "203.0.113.7"),
            ("X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.9.9.9\r\n", "203.0.113.7"),
            ("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.7,10.9.9.9\r\n", "203.0.113.7"),
            ("X-Forwarded-For: 10.1.1.1, 10.2.2.2\r\n", "10.1.1.1"),
            ("X-Forwarded-For: 203.0.113.7, unknown, 10.2.2.2\r\n", "10.2.2.2"),
            ("X-Forwarded-For: 203.0.113.7, garbage\r\n", "10.0.0.1"),
            ("X-Forwarded-For: 203.0.113.7:4711\r\n", "203.0.113.7"),
            ("X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7"),
            ("X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"),
            ("X-Forwarded-For: 203.0.113.7, fd00::9\r\n", "203.0.113.7"),
            ("X-Forwarded-For: ,, 203.0.113.7 ,\r\n", "203.0.113.7"),
            ("X-Forwarded-For:\r\n", "10.0.0.1"), ("X-Forwarded-For: 203.0.113.7:x\r\n", "10.0.0.1"),
            ("X-Forwarded-For: 203.0.113.07\r\n", "10.0.0.1"), ("Forwarded: for=203.0.113.7\r\n", "10.0.0.1"),
            ("X-Real-IP: 203.0.113.7\r\n", "10.0.0.1"),
        ])
    func chain(fields: String, address: String) throws {
        #expect(try client(fields).client?.description == address)
        // Nobody else is believed.
        #expect(try client(fields, peer: "192.0.2.1").client?.description == "192.0.2.1")
    }

    @Test(
        "Forwarded is read as RFC 7239 writes it, when it is chosen",
        arguments: [
            ("Forwarded: for=203.0.113.7", "203.0.113.7", "http"),
            ("Forwarded: For=\"[2001:db8::7]:4711\";proto=https", "2001:db8::7", "https"),
            (
                "Forwarded: for=6.6.6.6;proto=http, for=203.0.113.7;Proto=HTTPS;by=10.0.0.2, for=10.0.0.2",
                "203.0.113.7", "https"
            ),
            ("Forwarded: for=6.6.6.6\r\nForwarded: for=203.0.113.7", "203.0.113.7", "http"),
            ("Forwarded: for=\"_gazonk\"", "10.0.0.1", "http"),
            ("Forwarded: for=unknown, for=10.3.3.3", "10.3.3.3", "http"),
            ("Forwarded: by=1.1.1.1;for=\"203.0.113.7\";host=\"a,b;for=6.6.6.6\"", "203.0.113.7", "http"),
            ("Forwarded: host=\"\\\", for=6.6.6.6\";for=203.0.113.7", "203.0.113.7", "http"),
            ("Forwarded: proto=https", "10.0.0.1", "http"), ("X-Forwarded-For: 203.0.113.7", "10.0.0.1", "http"),
        ])
    func forwarded(field: String, address: String, scheme: String) throws {
        let identity = try client(field + "\r\n") { $0.clientSource = .forwarded }
        #expect(identity.client?.description == address)
        #expect(identity.scheme.text.description == scheme)
    }

    @Test("the scheme of a trusted proxy counts, if it is one of the two and said once")
    func scheme() throws {
        #expect(try client("X-Forwarded-Proto: https\r\n").scheme == .https)
        #expect(try client("X-Forwarded-Proto: HTTPS\r\n").scheme == .https)
        #expect(try client("X-Forwarded-Proto: https\r\n", peer: "192.0.2.1").scheme == .http)
        #expect(try client("X-Forwarded-Proto: https, http\r\n").scheme == .http)
        #expect(try client("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\n").scheme == .http)
        #expect(try client("X-Forwarded-Proto: wss\r\n").scheme == .http)
        #expect(
            try client("X-Forwarded-For: 1.1.1.1\r\n") { $0.clientSource = .connection }.client?.description
                == "10.0.0.1")
    }

    @Test("a PROXY protocol header takes the socket's place, LOCAL does not")
    func proxied() throws {
        func header(_ bytes: [UInt8]) throws -> ProxyProtocolHeader? {
            try bytes.withUnsafeBytes { try ProxyProtocolHeader.parse($0) }
        }
        let policy = forwardingPolicy()
        let line = try header(Array("PROXY TCP4 10.7.7.7 192.0.2.1 50000 443\r\n".utf8))
        let identity = ClientIdentity(
            peer: NetworkAddress("127.0.0.1"), peerPort: 9, localPort: 8080, proxied: line, under: policy)
        #expect(identity.client?.description == "10.7.7.7")
        #expect(identity.peerPort == 50000)
        #expect(identity.localPort == 443)
        #expect(identity.isPeerTrusted)
        let unknown = try header(Array("PROXY UNKNOWN\r\n".utf8))
        let plain = ClientIdentity(
            peer: NetworkAddress("127.0.0.1"), peerPort: 9, localPort: 80, proxied: unknown, under: policy)
        #expect(plain.client?.description == "127.0.0.1")
        #expect(plain.localPort == 80)
        #expect(!plain.isPeerTrusted)
    }

    @Test("only named peers may send a PROXY protocol header, if any are named")
    func sources() {
        var options = ProxyOptions.ListenProxyProtocol()
        #expect(options.accepts(NetworkAddress("192.0.2.1")))
        #expect(options.accepts(nil))
        options.sources = [ProxyOptions.Network(bytes: [10, 0, 0, 0], prefixLength: 8)!]
        #expect(options.accepts(NetworkAddress("10.2.3.4")))
        #expect(options.accepts(NetworkAddress("::ffff:10.2.3.4")))
        #expect(!options.accepts(NetworkAddress("192.0.2.1")))
        #expect(!options.accepts(nil))
    }
}
