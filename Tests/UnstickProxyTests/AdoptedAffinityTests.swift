import Testing
import UnstickCore
import UnstickCrypto

@testable import UnstickProxy

/// Real cookies, taken from HAProxy 2.6.12, Caddy 2.11.7, Envoy 1.40.0, Traefik 3.7.15 and Tomcat 10.1 in front of two
/// servers at 127.0.0.1:15001 and :15002, with the configuration that stands beside each.
@Suite("Affinity of other balancers")
struct AdoptedAffinityTests {
    static let instances = [
        RoutingTable.Instance(name: "web-1", url: "http://127.0.0.1:15001"),
        RoutingTable.Instance(name: "web-2", url: "http://127.0.0.1:15002"),
    ]

    struct Case: CustomTestStringConvertible {
        var testDescription: String
        var format: AdoptedAffinity.Format
        var servers: [AdoptedAffinity.Server] = []
        /// The cookie's value and what it names.
        var values: [(String, Int?)]
    }

    static let map: [AdoptedAffinity.Server] = [
        .init(name: "s1", instance: "web-1"), .init(name: "s2", instance: "web-2"),
    ]

    static let cases = [
        Case(
            // cookie SERVERID insert indirect nocache; server web-1 … cookie s1; server web-2 … cookie s2
            testDescription: "HAProxy insert", format: .haproxyInsert, servers: map,
            values: [("s1", 0), ("s2", 1), ("s3", nil), ("s", nil), ("", nil), ("web-1", nil)]),
        Case(
            // cookie SERVERID insert indirect nocache maxidle 30m maxlife 8h
            testDescription: "HAProxy insert with dates", format: .haproxyInsert, servers: map,
            values: [("s1|awVQq|awVQq", 0), ("s2|awVQq|awVQq", 1), ("s3|awVQq", nil), ("|", nil)]),
        Case(
            // cookie JSESSIONID prefix nocache
            testDescription: "HAProxy prefix", format: .haproxyPrefix, servers: map,
            values: [("s1~abc123DEF", 0), ("s2~abc123DEF", 1), ("s9~abc123DEF", nil), ("s1", nil), ("~s1", nil)]),
        Case(
            // cookie SERVERID insert indirect nocache dynamic; dynamic-cookie-key mysecretphrase
            testDescription: "HAProxy dynamic", format: .haproxyDynamic(key: Array("mysecretphrase".utf8)),
            values: [("5814061f17cc699c", 0), ("aecc4528771d0722", 1), ("5814061f17cc699d", nil)]),
        Case(
            // <Engine jvmRoute="app-1">
            testDescription: "Tomcat", format: .route,
            servers: [.init(name: "app-1", instance: "web-1"), .init(name: "app-2", instance: "web-2")],
            values: [
                ("29BF6AA6669E393E4E77303F81C26708.app-1", 0), ("29BF6AA6669E393E4E77303F81C26708.app-2", 1),
                ("29BF6AA6669E393E4E77303F81C26708", nil), ("29BF6AA6669E393E4E77303F81C26708.", nil), ("app-1", nil),
            ]),
        Case(
            // lb_policy cookie lb mysecret
            testDescription: "Caddy", format: .caddy(secret: Array("mysecret".utf8)),
            values: [
                ("2f2bee6ffddee9bd74ec9c42bff227d702120ad7d880de6473208d024b244c34", 0),
                ("da0b4ba3873b8de9461e0203f74c6396147ebe1dbb7a2706455d03b7559d4293", nil),
            ]),
        Case(
            // lb_policy cookie
            testDescription: "Caddy without a secret", format: .caddy(secret: []),
            values: [
                ("da0b4ba3873b8de9461e0203f74c6396147ebe1dbb7a2706455d03b7559d4293", 0),
                ("41cf0be1401d488bb5ae0e5bea744b478901469476d383d870a7d930f1559e08", 1),
            ]),
        Case(
            // stateful_session.cookie: { name: gsc, path: / }, then with ttl: 120s, then as Envoy before 1.27 wrote it
            testDescription: "Envoy", format: .envoy,
            values: [
                ("\"Cg8xMjcuMC4wLjE6MTUwMDE=\"", 0), ("\"Cg8xMjcuMC4wLjE6MTUwMDI=\"", 1),
                ("Cg8xMjcuMC4wLjE6MTUwMDI", 1), ("\"Cg8xMjcuMC4wLjE6MTUwMDEQnqKV2AY=\"", 0),
                ("\"Cg8xMjcuMC4wLjE6MTUwMDIQnqKV2AY=\"", 1), ("MTI3LjAuMC4xOjE1MDAx", 0), ("Cg8x", nil), ("\"\"", nil),
                ("127.0.0.1:15001", nil), (String(repeating: "A", count: 600), nil),
            ]),
        Case(
            // servers: [{ url: "http://127.0.0.1:15001" }, { url: "http://127.0.0.1:15002/" }]
            testDescription: "Traefik", format: .traefik,
            servers: [
                .init(name: "http://127.0.0.1:15001", instance: "web-1"),
                .init(name: "http://127.0.0.1:15002/", instance: "web-2"),
            ],
            values: [
                ("a2aa08644137bb86", 0), ("c588ac1ba78f7d6f", 1), ("http://127.0.0.1:15001", 0),
                ("f6d880145d2adb08", nil),
            ]),
        Case(
            // Not from a server here: the documented formula, with digests by `openssl dgst`.
            testDescription: "nginx sticky", format: .nginxSticky,
            values: [("07824ab202779e915d962fec69301103", 0), ("7eaa8600ba670ed18f0c92fa0fe2f1cd", 1)]),
        Case(
            testDescription: "nginx-sticky-module-ng", format: .nginxStickyModule(.sha1),
            values: [("9e6b74fc768d951c21c547926bb81e1170c82bf3", 0)]),
        Case(
            testDescription: "ingress-nginx", format: .ingressNginx(backend: "default-shop-80"),
            values: [
                ("8fc9b422a536871e2d779ebb22d63aa2|6fbc17df9c3cac0c948abdb8aecfedd8", 1),
                ("8fc9b422a536871e2d779ebb22d63aa2", 1),
            ]),
    ]

    @Test("names the instance that the balancer meant", arguments: cases)
    func formats(example: Case) {
        let rule = AdoptionRule(
            AdoptedAffinity(cookie: "c", format: example.format, servers: example.servers), instances: Self.instances)
        for (value, instance) in example.values {
            let found = Array(value.utf8).withUnsafeBytes { rule.instance($0) }
            #expect(found == instance, "\(value)")
        }
    }

    /// From nginx 1.22.1: `hash $cookie_sid` and `hash $cookie_sid consistent` over 127.0.0.1:15001, :15002, :15003.
    @Test(
        "nginx's hash of a cookie is followed",
        arguments: [
            (
                false,
                [
                    ("a", 2), ("1", 1), ("abc", 2), ("s-1", 0), ("s-2", 1), ("s-3", 0), ("s-4", 0), ("s-5", 2),
                    ("29BF6AA6669E393E4E77303F81C26708", 1), ("Zm9v", 1),
                ]
            ),
            (
                true,
                [
                    ("a", 1), ("1", 1), ("abc", 0), ("s-1", 2), ("s-2", 0), ("s-3", 1), ("s-4", 1), ("s-5", 2),
                    ("29BF6AA6669E393E4E77303F81C26708", 2), ("Zm9v", 2),
                ]
            ),
        ] as [(Bool, [(String, Int)])])
    func nginxHash(isConsistent: Bool, homes: [(String, Int)]) {
        let three = Self.instances + [RoutingTable.Instance(name: "web-3", url: "http://127.0.0.1:15003")]
        let rule = AdoptionRule(
            AdoptedAffinity(cookie: "sid", format: .nginxHash(consistent: isConsistent)), instances: three)
        for (value, instance) in homes {
            #expect(Array(value.utf8).withUnsafeBytes { rule.instance($0) } == instance, "\(value)")
        }
        // One that has left keeps its place: the others' clients do not move, its own are nobody's.
        let servers = three.map {
            AdoptedAffinity.Server(name: String($0.url.dropFirst("http://".count)), instance: $0.name)
        }
        let fewer = AdoptionRule(
            AdoptedAffinity(cookie: "sid", format: .nginxHash(consistent: isConsistent), servers: servers),
            instances: [three[0], three[2]])
        for (value, instance) in homes {
            #expect(
                Array(value.utf8).withUnsafeBytes { fewer.instance($0) } == [0, nil, 1][instance], "\(value)")
        }
        #expect([UInt8]().withUnsafeBytes { fewer.instance($0) } == nil)
    }

    @Test("a server that is not an instance of the table any more names nobody, and no other")
    func removed() {
        let rule = AdoptionRule(
            AdoptedAffinity(cookie: "c", format: .haproxyInsert, servers: Self.map), instances: [Self.instances[1]])
        #expect(Array("s1".utf8).withUnsafeBytes { rule.instance($0) } == nil)
        #expect(Array("s2".utf8).withUnsafeBytes { rule.instance($0) } == 0)
    }

    @Test("a host name where an address is hashed gives no value")
    func hostNames() {
        let instances = [RoutingTable.Instance(name: "a", url: "http://app.internal:80")]
        let format = AdoptedAffinity.Format.haproxyDynamic(key: [1])
        #expect(AdoptedAffinity(cookie: "c", format: format).values(for: instances).isEmpty)
        let mapped = AdoptedAffinity(
            cookie: "c", format: format, servers: [.init(name: "[fd00::7]:80", instance: "a")])
        #expect(mapped.values(for: instances).count == 1)
    }

    @Test(
        "XXH64 agrees with its specification",
        arguments: [
            (0, 0xef46_db37_51d8_e999), (1, 0xe934_a84a_db05_2768), (3, 0x44bc_2cf5_ad77_0999),
        ] as [(Int, UInt64)])
    func xxhash(length: Int, expected: UInt64) {
        let input: [[UInt8]] = [[], [0], [], Array("abc".utf8)]
        #expect(XXHash64.hash(input[length]) == expected)
    }

    @Test("XXH64 of more than 32 bytes")
    func xxhashLong() {
        #expect(XXHash64.hash(Array("Nobody inspects the spammish repetition".utf8)) == 0xfbce_a83c_8a37_8bf1)
    }
}
