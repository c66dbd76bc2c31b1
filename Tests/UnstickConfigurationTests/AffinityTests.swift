import Testing
import UnstickConfiguration

@Suite("Affinity, balancing and instances in the configuration")
struct AffinityConfigurationTests {
    static let files: [String: ConfigurationHost.FileContent] = [
        "bridge.key": .key, "lb.key": ConfigurationHost.FileContent(bytes: Array("secret\n".utf8), mode: 0o600),
    ]

    static func problems(_ yaml: String) -> [String] {
        complaints(oneInstance + yaml, on: machine(files: files))
    }

    @Test("adopted affinities are read with their maps and keys")
    func adopted() throws {
        let configuration = try parse(
            oneInstance + """
                affinity:
                  max-age: 1h
                  adopt:
                    - { cookie: SERVERID, format: haproxy-insert, map: { s1: a } }
                    - { cookie: JSESSIONID, parameter: jsessionid, format: route }
                    - { cookie: lb, format: caddy, key-file: lb.key }
                    - { cookie: INGRESSCOOKIE, format: ingress-nginx, backend: default-shop-80 }
                """, on: machine(files: Self.files))
        let adopt = configuration.affinity.adopt
        #expect(adopt.map(\.format) == [.haproxyInsert, .route, .caddy, .ingressNginx])
        #expect(adopt[0].servers == [Configuration.Adopted.Server(name: "s1", instance: "a")])
        #expect(adopt[1].parameter == "jsessionid" && adopt[1].servers.isEmpty)
        #expect(adopt[2].key?.bytes == Array("secret".utf8))
        #expect(adopt[3].backend == "default-shop-80")
        #expect(configuration.affinity.maxAge == .seconds(3600))
    }

    @Test(
        "what cannot work is refused with its place",
        arguments: [
            ("[{ cookie: S }]", "affinity.adopt[0]: has no format"),
            ("[{ format: value }]", "affinity.adopt[0]: has no place; expected cookie, parameter or both"),
            ("[{ cookie: S, format: haproxy }]", "affinity.adopt[0].format: 'haproxy' is not known here"),
            ("[{ cookie: UNSTICK, format: value }]", "affinity.adopt[0].cookie: 'UNSTICK' is affinity.cookie"),
            ("[{ cookie: AWSALB, format: value }]", "affinity.adopt[0].cookie: 'AWSALB' is encrypted"),
            ("[{ cookie: S, format: haproxy-dynamic }]", "affinity.adopt[0]: has no key-file"),
            ("[{ cookie: S, format: caddy, key-file: no.key }]", "affinity.adopt[0].key-file: 'no.key' cannot be read"),
            ("[{ cookie: S, format: value, key-file: lb.key }]", "affinity.adopt[0].key-file: has no meaning here"),
            ("[{ cookie: S, format: ingress-nginx }]", "affinity.adopt[0]: has no backend"),
            ("[{ cookie: S, format: envoy, backend: x }]", "affinity.adopt[0].backend: has no meaning here"),
            ("[{ cookie: S, format: value, map: { s1: b } }]", "affinity.adopt[0].map.s1: 'b' is not the name"),
            ("[{ cookie: S, format: value, map: s1 }]", "affinity.adopt[0].map: is 's1'; expected a mapping"),
            (
                "[{ cookie: S, format: haproxy-dynamic, key-file: lb.key, map: { \"app:1\": a } }]",
                "affinity.adopt[0].map.app:1: 'app:1' is not what this balancer hashes"
            ),
            ("[{ parameter: s, cookie: S, format: haproxy-prefix }]", "affinity.adopt[0].parameter: has no meaning"),
            ("[{ cookie: S, format: value, name: x }]", "affinity.adopt[0].name: unknown key 'name'"),
            ("{ cookie: S }", "affinity.adopt: is a mapping; expected a list"),
        ])
    func refused(adopt: String, complaint: String) {
        let found = Self.problems("affinity: { adopt: \(adopt) }")
        #expect(found.count == 1, "\(found)")
        #expect(found.first?.contains(complaint) == true, "\(found)")
    }

    @Test("a host name where an address is hashed needs a map")
    func hostNames() {
        let found = complaints(
            "instances: [{ name: a, url: \"http://app:1\" }]\n"
                + "affinity: { adopt: [{ cookie: S, format: nginx-sticky-module-md5 }] }")
        #expect(found.count == 1 && found[0].contains("this balancer hashes addresses, not names"))
    }

    @Test(
        "cookie prefixes keep their promises",
        arguments: [
            ("{ cookie: __Host-U, secure: true }", nil), ("{ cookie: __Secure-U, secure: true, path: /a }", nil),
            ("{ cookie: __Host-U }", "expected affinity.secure: true"),
            ("{ cookie: __host-U, secure: true, path: /a }", "expected affinity.path: /"),
            ("{ cookie: __Host-U, secure: true, domain: a.example }", "expected no affinity.domain"),
            ("{ cookie: __secure-U }", "expected affinity.secure: true"),
        ] as [(String, String?)])
    func prefixes(affinity: String, complaint: String?) {
        let found = Self.problems("affinity: \(affinity)")
        #expect(complaint.map { text in found.count == 1 && found[0].contains(text) } ?? found.isEmpty, "\(found)")
    }

    @Test("balance, slow start and watching")
    func balance() throws {
        let configuration = try parse(
            oneInstance
                + "balance: power-of-two\nslow-start: { time: 30s, floor: 5 }\n"
                + "coordinator: { watch-instances: true, watch-interval: 2s }")
        #expect(configuration.balance == .powerOfTwo)
        #expect(configuration.slowStart.time == .seconds(30) && configuration.slowStart.floor == 5)
        #expect(configuration.coordinator.watchInstances && configuration.coordinator.watchInterval == .seconds(2))
        let standard = try parse(oneInstance)
        #expect(standard.slowStart.time == .zero && standard.slowStart.floor == 10)
        #expect(!standard.coordinator.watchInstances && standard.coordinator.watchInterval == .seconds(5))
    }

    @Test("a discovered name is an instance for each of its addresses")
    func discovery() throws {
        let configuration = try parse("instances: [{ discover: app.internal, port: 5001, name: app, weight: 3 }]")
        #expect(configuration.instances.isEmpty)
        let discovery = try #require(configuration.discoveries.first)
        #expect(discovery.instance(at: "10.0.0.7")?.name == "app-10.0.0.7")
        #expect(discovery.instance(at: "fd00::7")?.name == "app-fd00--7")
        #expect(discovery.instance(at: "fd00::7")?.url == "http://[fd00::7]:5001")
        #expect(discovery.instance(at: "10.0.0.7")?.weight == 3)
    }

    @Test(
        "discoveries and weights that cannot work are refused",
        arguments: [
            ("{ discover: app, name: app }", "instances[0]: has no port; expected { discover: HOST"),
            ("{ discover: app, port: 1 }", "instances[0]: has no name; expected { discover: HOST"),
            ("{ discover: app, port: 1, name: a, url: \"http://b:1\" }", "instances[0].url: has no meaning"),
            ("{ name: a, url: \"http://b:1\", port: 1 }", "instances[0].port: has no meaning"),
            ("{ discover: \"a b\", port: 1, name: a }", "instances[0].discover: 'a b' is not a host name"),
            ("{ name: a, url: \"http://b:1\", weight: 0 }", "instances: have weight 0 all together"),
            ("{ name: a, url: \"http://b:1\", weight: 1001 }", "instances[0].weight: '1001' is outside"),
        ])
    func instances(element: String, complaint: String) {
        let found = complaints("instances: [\(element)]")
        #expect(found.count == 1, "\(found)")
        #expect(found.first?.contains(complaint) == true, "\(found)")
    }
}
