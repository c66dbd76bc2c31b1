import ControlAPI
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("What instances are told about clients, live")
struct ForwardedFieldsTests {
    static let loopback = ProxyOptions.Network(bytes: [127, 0, 0, 0], prefixLength: 8)!
    static let names = [
        "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "Forwarded",
    ]

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var trusts = false
        var all = false
        var source = ProxyOptions.Forwarding.ClientSource.xForwardedFor
        var version = "1.1"
        var sent: [String] = []
        /// In the order of `names`; `PORT` stands for the proxy's.
        var wanted: [String?]
        var testDescription: String { name }
    }

    static let cases: [Case] = [
        Case(name: "a client", wanted: ["1.1 unstick", "127.0.0.1", "http", "a.example", "PORT", nil, nil]),
        Case(
            name: "a client that pretends",
            sent: [
                "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Forwarded-Port: 1",
                "X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6", "X_Forwarded_For: 6.6.6.6", "X_Real_IP: 6.6.6.6",
            ],
            wanted: ["1.1 unstick", "127.0.0.1", "http", "a.example", "PORT", nil, nil]),
        Case(
            name: "a client that has come through another proxy", sent: ["Via: 1.0 first"],
            wanted: ["1.0 first|1.1 unstick", "127.0.0.1", "http", "a.example", "PORT", nil, nil]),
        Case(
            name: "a client of HTTP/1.0", version: "1.0",
            wanted: ["1.0 unstick", "127.0.0.1", "http", "a.example", "PORT", nil, nil]),
        Case(
            name: "everything", all: true, sent: ["X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6"],
            wanted: [
                "1.1 unstick", "127.0.0.1", "http", "a.example", "PORT", "127.0.0.1",
                "for=127.0.0.1;host=\"a.example\";proto=http",
            ]),
        Case(
            name: "a trusted proxy", trusts: true, all: true,
            sent: [
                "X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-For: 127.0.0.9", "X-Forwarded-Proto: https",
                "X-Forwarded-Host: shop.example", "X-Forwarded-Port: 443", "X-Real-IP: 6.6.6.6",
                "Forwarded: for=203.0.113.9;proto=https",
            ],
            wanted: [
                "1.1 unstick", "6.6.6.6, 203.0.113.9, 127.0.0.9, 127.0.0.1", "https", "shop.example", "443",
                "203.0.113.9", "for=203.0.113.9;proto=https, for=127.0.0.1;host=\"a.example\";proto=https",
            ]),
        Case(
            name: "a trusted proxy that says nothing", trusts: true,
            wanted: ["1.1 unstick", "127.0.0.1", "http", "a.example", "PORT", nil, nil]),
        Case(
            name: "a trusted proxy with Forwarded", trusts: true, all: true, source: .forwarded,
            sent: [
                "X-Forwarded-For: 6.6.6.6", "Forwarded: for=\"[2001:db8::7]:80\";proto=https, for=127.0.0.9",
            ],
            wanted: [
                "1.1 unstick", "6.6.6.6, 127.0.0.1", "https", "a.example", "PORT", "2001:db8::7",
                "for=\"[2001:db8::7]:80\";proto=https, for=127.0.0.9, for=127.0.0.1;host=\"a.example\";proto=https",
            ]),
    ]

    @Test("instances are told who the client is, and by whose word", arguments: cases)
    func told(_ item: Case) async throws {
        try await withAnsweringInstance(configure: {
            if item.trusts { $0.forwarding.trustedProxies = [Self.loopback] }
            $0.forwarding.xRealIP = item.all
            $0.forwarding.forwarded = item.all
            $0.forwarding.clientSource = item.source
        }) { fixture, upstream in
            _ = try await fixture.raw(
                "GET / HTTP/\(item.version)\r\nHost: a.example\r\nConnection: close\r\n"
                    + item.sent.map { $0 + "\r\n" }.joined() + "\r\n")
            let request = try #require(upstream.requests.first)
            for (name, wanted) in zip(Self.names, item.wanted) {
                let got = request.headers[name]
                let joined: String? = got.isEmpty ? nil : got.joined(separator: "|")
                #expect(joined == wanted?.replacing("PORT", with: "\(fixture.port)"), "\(name)")
            }
            #expect(!request.headers.contains { $0.name.contains("_") })
        }
    }

    @Test("none of the fields is sent when none is wanted, and a client's own go all the same")
    func nothing() async throws {
        try await withAnsweringInstance(configure: {
            $0.forwarding.via = nil
            $0.forwarding.xForwarded = false
        }) { fixture, upstream in
            _ = try await fixture.raw(
                "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
                    + "Connection: close\r\n\r\n")
            let request = try #require(upstream.requests.first)
            #expect(Self.names.allSatisfy { !request.headers.contains(name: $0) })
        }
    }

    @Test("Via stands in answers where that is wanted, with the version that the instance spoke")
    func viaInResponses() async throws {
        for (isWanted, version) in [(false, "1.1"), (true, "1.1"), (true, "1.0")] {
            try await LiveFixture.with(configure: { $0.forwarding.viaInResponses = isWanted }) { live in
                let (client, instance, _) = try await live.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                await instance.send("HTTP/\(version) 200 OK\r\nVia: 1.1 inner\r\nContent-Length: 0\r\n\r\n")
                let head = try await client.receiveHead()
                #expect(values("Via", in: head) == ["1.1 inner"] + (isWanted ? ["\(version) unstick"] : []))
            }
        }
    }

    // MARK: What the effective client is good for

    /// Instances that served requests which claim to be of these clients.
    private func served(_ clients: [String], trusts: Bool) async throws -> [Int] {
        var served: [Int] = []
        try await ProxyFixture.with(
            phase: .sticky, applications: 4,
            configure: {
                $0.affinity.method = .ipHash
                if trusts { $0.forwarding.trustedProxies = [Self.loopback] }
            }
        ) { fixture in
            for client in clients {
                let before = fixture.upstreams.map(\.requests.count)
                _ = try await fixture.raw(
                    "GET /value HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: \(client)\r\nConnection: close\r\n\r\n")
                let after = fixture.upstreams.map(\.requests.count)
                served.append(try #require(zip(before, after).map { $1 - $0 }.firstIndex(of: 1)))
            }
        }
        return served
    }

    @Test("affinity by address goes by the client behind a trusted proxy, and by the peer for all others")
    func addressAffinity() async throws {
        let clients = (1...20).map { "203.0.113.\($0)" }
        let first = try await served(clients + clients, trusts: true)
        #expect(Array(first.prefix(20)) == Array(first.suffix(20)))
        #expect(Set(first).count > 1)
        #expect(Set(try await served(clients, trusts: false)).count == 1)
    }

    @Test(
        "rate limits go by the client behind a trusted proxy, and by the peer for all others",
        arguments: [
            (true, [200, 200, 429, 200, 200]), (false, [200, 200, 429, 429, 429]),
        ])
    func rateLimits(trusts: Bool, wanted: [Int]) async throws {
        try await withAnsweringInstance(configure: {
            if trusts { $0.forwarding.trustedProxies = [Self.loopback] }
            $0.resilience.rateLimits = [
                ProxyOptions.RateLimit(name: "all", scope: .client, count: 1, period: .seconds(600), burst: 2)
            ]
        }) { fixture, upstream in
            let client = try await fixture.connect()
            var got: [Int] = []
            for address in ["203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2", "203.0.113.3"] {
                await client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: \(address)\r\n\r\n")
                let head = try await client.receiveHead()
                // The connection goes on behind a refusal.
                _ = try await client.receive(count: Int(values("Content-Length", in: head)[0])!)
                got += statuses(of: head)
                #expect(values("Retry-After", in: head).isEmpty == !head.hasPrefix("HTTP/1.1 429"))
            }
            #expect(got == wanted)
            #expect(upstream.requests.count == wanted.filter { $0 == 200 }.count)
        }
    }
}
