import Testing
import UnstickConfiguration
import UnstickCore

@Suite("Values of a configuration")
struct ConfigurationValueTests {
    @Test("the example of the contract parses to what it says")
    func contractExample() throws {
        let configuration = try parse(
            """
            listen: 127.0.0.1:8080
            admin: 127.0.0.1:9090            # API, dashboard, /metrics, /healthz; token required unless loopback
            instances:
              - { name: web-1, url: "http://127.0.0.1:5001", weight: 1 }
              - { name: web-2, url: "http://127.0.0.1:5002" }
            affinity: { method: cookie, cookie: UNSTICK, adopt: [] }     # cookie | ip-hash | url-parameter
            session:  { cookie: session, ttl: 30m, concurrency: merge }
            bridge:   { secret-file: bridge.key }
            store:    { url: "sqlite:unstick.db", layout: envelope }
            balance:  least-connections      # round-robin | least-connections | weighted-* | random
            health:   { path: /healthz, interval: 2s }
            migration: { name: shop, on-store-error: serve }
            """
        )
        #expect(configuration.listen == SocketEndpoint(host: "127.0.0.1", port: 8080))
        #expect(configuration.admin == SocketEndpoint(host: "127.0.0.1", port: 9090))
        #expect(configuration.instances.map(\.name) == ["web-1", "web-2"])
        #expect(configuration.instances.map(\.url) == ["http://127.0.0.1:5001", "http://127.0.0.1:5002"])
        #expect(configuration.instances.map(\.weight) == [1, 1])
        #expect(configuration.affinity.method == .cookie)
        #expect(configuration.affinity.cookie == "UNSTICK")
        #expect(configuration.session.cookie == "session")
        #expect(configuration.session.ttl == .seconds(1800))
        #expect(configuration.session.concurrency == .merge)
        #expect(configuration.bridge.secretFile == "bridge.key")
        #expect(configuration.bridge.secret.bytes.count == 32)
        #expect(configuration.store.location == .sqlite(path: "unstick.db"))
        #expect(configuration.store.layout == .envelope)
        #expect(configuration.balance == .leastConnections)
        #expect(configuration.health.path == "/healthz")
        #expect(configuration.health.interval == .seconds(2))
        #expect(configuration.migration.name == "shop")
        #expect(configuration.migration.onStoreError == .serve)
    }

    @Test("everything but the instances has a default")
    func defaults() throws {
        let configuration = try parse(oneInstance)
        #expect(configuration.listen.description == "127.0.0.1:8080")
        #expect(configuration.admin.description == "127.0.0.1:9090")
        #expect(configuration.affinity.cookie == "UNSTICK")
        #expect(configuration.affinity.secure == .auto)
        #expect(configuration.affinity.sameSite == .lax)
        #expect(configuration.affinity.path == "/")
        #expect(configuration.affinity.domain == nil)
        #expect(configuration.session.cookie == "session")
        #expect(configuration.session.urlParameter == nil)
        #expect(configuration.session.header == nil)
        #expect(configuration.session.ttl == .seconds(1800))
        #expect(configuration.session.concurrency == .merge)
        #expect(configuration.bridge.secretFile == "bridge.key")
        #expect(configuration.store.location == .sqlite(path: "unstick.db"))
        #expect(configuration.balance == .leastConnections)
        #expect(configuration.health.interval == .seconds(2))
        #expect(configuration.health.timeout == .seconds(1))
        #expect(configuration.health.rise == 2)
        #expect(configuration.health.fall == 3)
        #expect(configuration.migration.name == "migration")
        #expect(configuration.limits.head == 65536)
        #expect(configuration.limits.target == 8192)
        #expect(configuration.limits.fields == 128)
        #expect(configuration.limits.body == nil)
        #expect(configuration.limits.replay == 1_048_576)
        #expect(configuration.limits.connections == 20_000)
        #expect(configuration.limits.upstreamConnections == 256)
        #expect(configuration.limits.state == 16 * 1_048_576)
        #expect(configuration.timeouts.connect == .seconds(2))
        #expect(configuration.timeouts.response == .seconds(60))
        #expect(configuration.timeouts.idle == .seconds(75))
        #expect(configuration.timeouts.clientHead == .seconds(15))
        #expect(configuration.timeouts.store == .seconds(5))
        #expect(configuration.timeouts.shutdown == .seconds(30))
        #expect(configuration.proxy.name == "proxy-web")
        #expect(configuration.proxy.threads == 4)
        #expect(configuration.proxy.coordinator == nil)
        #expect(configuration.proxy.admin == nil)
        #expect(configuration.coordinator.journal == "unstick-journal.db")
        #expect(configuration.coordinator.acknowledgeTimeout == .seconds(60))
        #expect(configuration.coordinator.verifyPasses == 50)
        #expect(configuration.coordinator.silence == .seconds(5))
        #expect(configuration.coordinator.soakTime == .zero)
        #expect(!configuration.coordinator.requireRehearsal)
        #expect(configuration.trustedProxies.isEmpty)
        #expect(configuration.adminToken == nil)
        #expect(configuration.log.level == .info)
        #expect(configuration.log.format == .text)
    }

    @Test("every key can be given, with another value than its default")
    func everyKey() throws {
        let token = ConfigurationHost.FileContent(bytes: Array("0123456789abcdef0123456789abcdef\n".utf8), mode: 0o400)
        let configuration = try parse(
            """
            listen: "[::1]:80"
            admin: 0.0.0.0:9091
            admin-token-file: /run/token
            trusted-proxies: [10.0.0.0/8, "::1"]
            instances: [{ name: a, url: http://web-1.internal:80/, weight: 7 }]
            affinity: { method: url-parameter, cookie: HOME, parameter: home, adopt: [], secure: true,
              same-site: Strict, path: /app, domain: example.com }
            session: { cookie: null, url-parameter: jsessionid, header: X-Session, ttl: 4h, concurrency: overwrite }
            bridge: { secret-file: /run/key }
            store: { url: "memory:", layout: envelope }
            balance: weighted-round-robin
            health: { path: "/up?x=1", interval: 500ms, timeout: 250ms, rise: 1, fall: 9 }
            migration: { name: shop.2, on-store-error: refuse }
            limits: { head: 32KiB, target: 4096B, fields: 64, body: 10MB, replay: 0, connections: 10,
              upstream-connections: 5, state: 1MiB }
            timeouts: { connect: 1s, response: 2m, idle: 1h, client-head: 3s, store: 900ms, shutdown: 0 }
            proxy: { name: p1, threads: 2, coordinator: "http://localhost:9090", admin: "127.0.0.1:9100" }
            coordinator: { journal: /var/j.db, acknowledge-timeout: 5s, verify-passes: 3, silence: 9s, soak-time: 1d,
              require-rehearsal: true }
            log: { level: debug, format: json }
            """,
            on: machine(files: ["/run/token": token, "/run/key": .key])
        )
        #expect(configuration.listen == SocketEndpoint(host: "::1", port: 80))
        #expect(configuration.listen.isLoopback)
        #expect(!configuration.admin.isLoopback)
        #expect(configuration.adminToken == Secret(bytes: Array("0123456789abcdef0123456789abcdef".utf8)))
        #expect(configuration.trustedProxies.map(\.description) == ["10.0.0.0/8", "::1/128"])
        #expect(configuration.instances[0].url == "http://web-1.internal:80")
        #expect(configuration.instances[0].weight == 7)
        #expect(configuration.affinity.method == .urlParameter)
        #expect(configuration.affinity.cookie == "HOME")
        #expect(configuration.affinity.parameter == "home")
        #expect(configuration.affinity.secure == .always)
        #expect(configuration.affinity.sameSite == .strict)
        #expect(configuration.affinity.path == "/app")
        #expect(configuration.affinity.domain == "example.com")
        #expect(configuration.session.cookie == nil)
        #expect(configuration.session.urlParameter == "jsessionid")
        #expect(configuration.session.header == "X-Session")
        #expect(configuration.session.ttl == .seconds(4 * 3600))
        #expect(configuration.session.concurrency == .overwrite)
        #expect(configuration.store.location == .memory)
        #expect(configuration.balance == .weightedRoundRobin)
        #expect(configuration.health.path == "/up?x=1")
        #expect(configuration.health.interval == .milliseconds(500))
        #expect(configuration.health.timeout == .milliseconds(250))
        #expect(configuration.health.rise == 1)
        #expect(configuration.health.fall == 9)
        #expect(configuration.migration.name == "shop.2")
        #expect(configuration.migration.onStoreError == .refuse)
        #expect(configuration.limits.head == 32768)
        #expect(configuration.limits.target == 4096)
        #expect(configuration.limits.fields == 64)
        #expect(configuration.limits.body == 10_000_000)
        #expect(configuration.limits.replay == 0)
        #expect(configuration.limits.connections == 10)
        #expect(configuration.limits.upstreamConnections == 5)
        #expect(configuration.limits.state == 1_048_576)
        #expect(configuration.timeouts.connect == .seconds(1))
        #expect(configuration.timeouts.response == .seconds(120))
        #expect(configuration.timeouts.idle == .seconds(3600))
        #expect(configuration.timeouts.clientHead == .seconds(3))
        #expect(configuration.timeouts.store == .milliseconds(900))
        #expect(configuration.timeouts.shutdown == .zero)
        #expect(configuration.proxy.name == "p1")
        #expect(configuration.proxy.threads == 2)
        #expect(configuration.proxy.coordinator == SocketEndpoint(host: "localhost", port: 9090))
        #expect(configuration.proxy.admin == SocketEndpoint(host: "127.0.0.1", port: 9100))
        #expect(configuration.coordinator.journal == "/var/j.db")
        #expect(configuration.coordinator.acknowledgeTimeout == .seconds(5))
        #expect(configuration.coordinator.verifyPasses == 3)
        #expect(configuration.coordinator.silence == .seconds(9))
        #expect(configuration.coordinator.soakTime == .seconds(86400))
        #expect(configuration.coordinator.requireRehearsal)
        #expect(configuration.log.level == .debug)
        #expect(configuration.log.format == .json)
    }

    @Test("relative paths are relative to the configuration's folder")
    func relativePaths() throws {
        let files: [String: ConfigurationHost.FileContent] = ["/etc/unstick/keys/b": .key, "/etc/unstick/t": .key]
        let configuration = try parse(
            oneInstance + "bridge: { secret-file: keys/b }\nadmin-token-file: t\nstore: { url: sqlite:data/s.db }\n",
            file: "/etc/unstick/unstick.yaml",
            on: machine(files: files)
        )
        #expect(configuration.bridge.secretFile == "/etc/unstick/keys/b")
        #expect(configuration.adminTokenFile == "/etc/unstick/t")
        #expect(configuration.store.location == .sqlite(path: "/etc/unstick/data/s.db"))
        #expect(configuration.coordinator.journal == "/etc/unstick/unstick-journal.db")
    }

    @Test("absolute store paths stay, in both spellings", arguments: ["sqlite:/a/s.db", "sqlite:///a/s.db"])
    func absoluteStorePath(url: String) throws {
        let host = machine(files: ["conf/bridge.key": .key])
        let configuration = try parse(oneInstance + "store: { url: \"\(url)\" }\n", file: "conf/u.yaml", on: host)
        #expect(configuration.store.location == .sqlite(path: "/a/s.db"))
    }

    @Test("a section whose keys are all commented out is as good as none")
    func emptySection() throws {
        #expect(try parse(oneInstance + "limits:\n  # head: 1KiB\n").limits.head == 65536)
    }

    @Test(
        "the proxy's name comes from the host's, without what names must not have",
        arguments: [("web.example", "proxy-web.example"), ("a b/c", "proxy-abc"), ("", "proxy-1"), (nil, "proxy-1")]
    )
    func proxyName(hostName: String?, expected: String) throws {
        #expect(try parse(oneInstance, on: machine(name: hostName)).proxy.name == expected)
    }

    @Test("a secret's final line breaks do not count, as in the bridges")
    func secretLineBreak() throws {
        let bytes = Array(String(repeating: "s", count: 32).utf8)
        let file = ConfigurationHost.FileContent(bytes: bytes + [0x0d, 0x0a], mode: 0o600)
        #expect(try parse(oneInstance, on: machine(files: ["bridge.key": file])).bridge.secret.bytes == bytes)
    }

    @Test("a secret does not show in text")
    func secretIsHidden() throws {
        let configuration = try parse(oneInstance)
        var dumped = ""
        dump(configuration, to: &dumped)
        let secret = configuration.bridge.secret
        let texts = [
            "\(configuration)", String(reflecting: configuration), "\(secret)", String(reflecting: secret), dumped,
        ]
        for text in texts {
            #expect(!text.contains("kkkk"))
            #expect(!text.contains("107"))
        }
    }
}
