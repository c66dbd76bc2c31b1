import Testing
import UnstickConfiguration

@Suite("Mistakes in a configuration")
struct ConfigurationProblemTests {
    @Test("all mistakes are reported at once, in the order of the file, each with its place")
    func allAtOnce() {
        let yaml = """
            lisen: 127.0.0.1:8080
            admin: 0.0.0.0:9090
            instances:
              - { name: web-1, url: "http://127.0.0.1:5001", weight: -1 }
              - { name: web-1, url: "http://127.0.0.1:5001" }
              - name: web 3
                url: htp://127.0.0.1
            session:
              ttl: 30
              concurrency: serialise
              ttl: 10q
            limits: { head: 64KiB, hed: 1KiB }
            store: [1, 2]
            balance: round_robin
            """
        let open = ConfigurationHost.FileContent(bytes: [1, 2, 3], mode: 0o644)
        let expected = [
            "unstick.yaml:1:1: bridge.secret-file: 'bridge.key' is open to other users (mode 0644); expected 0600; "
                + "run chmod 600 bridge.key",
            "unstick.yaml:1:1: bridge.secret-file: 'bridge.key' holds 3 bytes; expected at least 32; "
                + "make one with (umask 077; openssl rand -hex 32 > bridge.key)",
            "unstick.yaml:1:1: lisen: unknown key 'lisen'; did you mean 'listen'?",
            "unstick.yaml:2:8: admin: '0.0.0.0:9090' can be reached from other machines without a token; expected a "
                + "loopback address, or admin-token-file",
            "unstick.yaml:4:58: instances[0].weight: '-1' is outside 0 to 1000; expected a whole number from 0 to 1000",
            "unstick.yaml:5:13: instances[1].name: 'web-1' is already the name of instances[0]",
            "unstick.yaml:5:25: instances[1].url: 'http://127.0.0.1:5001' is already the URL of instances[0]",
            "unstick.yaml:6:11: instances[2].name: 'web 3' is not such a name; expected a name of letters, digits, "
                + "'.', '_' and '-', up to 64 bytes, beginning with a letter or digit",
            "unstick.yaml:7:10: instances[2].url: 'htp://127.0.0.1' is not an http or https URL; expected "
                + "http://HOST:PORT or https://HOST:PORT",
            "unstick.yaml:9:8: session.ttl: '30' has no unit; expected a duration from 1s to 400d, such as 500ms, 2s, "
                + "30m, 4h or 1d",
            "unstick.yaml:10:16: session.concurrency: 'serialise' is not known here; expected one of merge, "
                + "serialize, overwrite; did you mean 'serialize'?",
            "unstick.yaml:11:3: session.ttl: is given twice; it already stands in line 9",
            "unstick.yaml:11:8: session.ttl: '10q' has the unknown unit 'q'; expected a duration from 1s to 400d, such "
                + "as 500ms, 2s, 30m, 4h or 1d",
            "unstick.yaml:12:24: limits.hed: unknown key 'hed'; did you mean 'head'?",
            "unstick.yaml:13:8: store: is a list; expected a mapping with the keys url, layout",
            "unstick.yaml:14:10: balance: 'round_robin' is not known here; expected one of least-connections, "
                + "round-robin, weighted-least-connections, weighted-round-robin, random, power-of-two, consistent; did you mean 'round-robin'?",
        ]
        let found = complaints(yaml, on: machine(files: ["bridge.key": open]))
        #expect(found.sorted() == expected.sorted())
        #expect(found.map(line) == found.map(line).sorted())
    }

    private func line(_ complaint: String) -> Int { Int(complaint.split(separator: ":")[1]) ?? 0 }

    @Test(
        "one mistake gives one complaint, which names key and value",
        arguments: [
            ("listen: 8080", "listen: '8080' has no port; expected ADDRESS:PORT"),
            ("listen: 127.0.0.1:70000", "listen: '127.0.0.1:70000' has port 70000, which is outside 1 to 65535"),
            ("listen: 127.0.0.1:0", "listen: '127.0.0.1:0' has port 0, which is outside 1 to 65535"),
            ("listen: 127.0.0.1:http", "listen: '127.0.0.1:http' has no valid port"),
            ("listen: 127.0.0.300:80", "listen: '127.0.0.300:80' has no valid host"),
            ("listen: example.com:80", "listen: 'example.com:80' is not an address to listen on"),
            ("listen: \"::1:80\"", "listen: '::1:80' is ambiguous: an IPv6 address stands in brackets"),
            ("listen: \"[::1:80\"", "listen: '[::1:80' has no closing ']'"),
            ("listen: \"[::1]\"", "listen: '[::1]' has no port"),
            ("listen: [127.0.0.1:80]", "listen: is a list; expected ADDRESS:PORT"),
            ("listen:", "listen: has no value; expected ADDRESS:PORT"),
            (
                "listen: 127.0.0.1:9090",
                "listen: '127.0.0.1:9090' cannot be bound: 'listen' and 'admin' need different ports"
            ),
            (
                "listen: 127.0.0.1:5001",
                "instances[0].url: 'http://127.0.0.1:5001' is this process's own 'listen' address"
            ),
            ("admin: \"[::]:9090\"", "admin: '[::]:9090' can be reached from other machines without a token"),
            ("proxy: { admin: 10.0.0.1:9100 }", "proxy.admin: '10.0.0.1:9100' can be reached from other machines"),
            ("proxy: { threads: many }", "proxy.threads: 'many' is not a whole number"),
            ("proxy: { threads: \"4\" }", "proxy.threads: '4' is not a whole number"),
            ("proxy: { threads: 0 }", "proxy.threads: '0' is outside 1 to 256"),
            ("proxy: { coordinator: https://c:9090 }", "proxy.coordinator: 'https://c:9090' asks for TLS"),
            ("health: { interval: 1.5s }", "health.interval: '1.5s' is not a whole number with a unit"),
            ("health: { interval: 2S }", "health.interval: '2S' has the unknown unit 'S'"),
            ("health: { interval: 2 }", "health.interval: '2' has no unit"),
            ("health: { interval: 0 }", "health.interval: '0' is outside 100ms to 1h"),
            ("health: { interval: 99999999999999999999s }", "health.interval: '99999999999999999999s' is too large"),
            ("health: { interval: 999999999999999999d }", "health.interval: '999999999999999999d' is too large"),
            ("health: { timeout: 3s }", "health.timeout: health.timeout, '3s', is above health.interval, '2s'"),
            ("health: { path: healthz }", "health.path: 'healthz' is not such a path"),
            ("health: { path: /a b }", "health.path: '/a b' is not such a path"),
            ("limits: { head: 64K }", "limits.head: '64K' has the unknown unit 'K'"),
            ("limits: { head: 64kib }", "did you mean '64KiB'?"),
            ("limits: { head: 65536 }", "limits.head: '65536' has no unit"),
            ("limits: { head: 2MiB }", "limits.head: '2MiB' is outside 1KiB to 1MiB"),
            ("limits: { head: 4KiB }", "limits.head: limits.target, '8KiB', is above limits.head, '4KiB'"),
            ("limits: { body: unlimited }", "limits.body: 'unlimited' is not a size; expected a size from 0 to"),
            ("affinity: { method: header }", "affinity.method: 'header' is not known here; expected one of cookie"),
            ("affinity: { method: url-parameter }", "affinity.method: 'url-parameter' needs affinity.parameter"),
            ("affinity: { cookie: \"a b\" }", "affinity.cookie: 'a b' is not a cookie name"),
            ("affinity: { cookie: session }", "affinity.cookie: 'session' is the name of both cookies"),
            ("affinity: { same-site: None, secure: false }", "affinity.same-site: 'None' is ignored by browsers"),
            ("affinity: { path: \"/;x\" }", "affinity.path: '/;x' is not such a path"),
            ("affinity: { domain: \"a..b\" }", "affinity.domain: 'a..b' is not a domain"),
            (
                "affinity: { adopt: [AWSALB] }",
                "affinity.adopt[0]: is 'AWSALB'; expected { cookie: SERVERID, format: haproxy-insert"
            ),
            ("session: { cookie: null }", "session.cookie: is null; expected the session id's place"),
            ("session: { header: unstick_session }", "session.header: 'unstick_session' is not such a header name"),
            ("session: { url-parameter: \"a&b\" }", "session.url-parameter: 'a&b' is not such a parameter name"),
            ("store: { url: redis://h }", "store.url: 'redis://h' is for a 'redis' store, which is not available yet"),
            ("store: { url: sqlit:x.db }", "did you mean 'sqlite:'?"),
            ("store: { url: memory }", "did you mean 'memory:'?"),
            ("store: { url: \"sqlite:\" }", "store.url: 'sqlite:' names no file"),
            ("store: { url: sqlite://x.db }", "store.url: 'sqlite://x.db' names a host"),
            ("store: { url: sqlite:unstick-journal.db }", "store.url: 'unstick-journal.db' is both the store and the"),
            (
                "store: { layout: django }",
                "store.layout: 'django' is a layout that is not available yet; expected envelope"
            ),
            (
                "coordinator: { require-rehearsal: yes }",
                "coordinator.require-rehearsal: 'yes' is neither; expected true"
            ),
            ("trusted-proxies: [10.0.0.1/8]", "trusted-proxies[0]: '10.0.0.1/8' is not an address range"),
            ("trusted-proxies: 10.0.0.0/8", "trusted-proxies: is '10.0.0.0/8'; expected a list of addresses"),
            ("migration: { name: \"\" }", "migration.name: '' is empty"),
            ("log: { level: verbose }", "log.level: 'verbose' is not known here; expected one of trace, debug"),
            ("ttl: 30m", "ttl: unknown key 'ttl'; did you mean 'session.ttl'?"),
            ("frobnicate: 1", "frobnicate: unknown key 'frobnicate'; known here: listen, admin"),
            ("session: { ttl: 30m, \"ttl\": 30m }", "session.ttl: is given twice"),
            ("[1]: 2", "has a list as a key; expected a word"),
        ]
    )
    func single(line: String, complaint: String) {
        let found = complaints(oneInstance + line + "\n")
        #expect(found.count == 1)
        #expect(found.first?.contains(complaint) == true, "\(found)")
    }

    @Test(
        "instances are needed, each with a name and a URL",
        arguments: [
            ("", "unstick.yaml:1:1: instances: is missing"),
            ("# nothing\n", "unstick.yaml:1:1: instances: is missing"),
            ("instances: []", "unstick.yaml:1:12: instances: has 0 entries"),
            ("instances: { a: b }", "unstick.yaml:1:12: instances: is a mapping; expected a list"),
            ("instances: [web]", "unstick.yaml:1:13: instances[0]: is 'web'; expected { name: NAME"),
            ("instances: [{ url: \"http://a:1\" }]", "unstick.yaml:1:13: instances[0]: has no name"),
            ("instances: [{ name: a }]", "unstick.yaml:1:13: instances[0]: has no url"),
            ("instances: [{ name: a, url: \"http://a\" }]", "instances[0].url: 'http://a' has no port"),
            ("instances: [{ name: a, url: \"http://a:1/x\" }]", "instances[0].url: 'http://a:1/x' has a path"),
            (
                "instances: [{ name: a, url: \"http://a:1\", wieght: 2 }]",
                "instances[0].wieght: unknown key 'wieght'; did you mean 'weight'?"
            ),
            ("- a", "unstick.yaml:1:1: is a list; expected a mapping"),
        ]
    )
    func instances(yaml: String, complaint: String) {
        let found = complaints(yaml)
        #expect(found.contains { $0.contains(complaint) }, "\(found)")
    }

    @Test("a repeated key does not hide what comes behind it, nor the mistakes in its own repetition")
    func repeatedKeys() {
        let yaml = """
            listen: 127.0.0.1:1
            "listen": 127.0.0.1:99999
            instances:
              - { name: a, name: b, url: "http://127.0.0.1:5001" }
            'listen': x
            nonsense: 1
            """
        let found = problems(yaml)
        #expect(found.map(\.line) == [2, 2, 4, 5, 5, 6])
        #expect(found.map(\.keyPath) == ["listen", "listen", "instances[0].name", "listen", "listen", "nonsense"])
        #expect(found.map(\.column) == [1, 11, 16, 1, 11, 1])
    }

    @Test(
        "text that is not YAML is refused with its place",
        arguments: [("listen: [1", 2), ("a: b: c", 1), ("listen: \"x", 1), ("a: *b", 1), ("---\na: 1\n---\nb: 2\n", 3)]
    )
    func syntax(yaml: String, line: Int) {
        let found = problems(yaml)
        #expect(found.count == 1)
        #expect(found.first?.line == line, "\(found)")
        #expect(found.first?.message.hasPrefix("is not valid YAML") == true, "\(found)")
    }

    @Test(
        "passwords in URLs are blotted out",
        arguments: ["redis://u:pa55@h:1/2", "postgres://pa55@h", "redis://u:p@pa55@h"])
    func passwords(url: String) {
        let found = problems(oneInstance + "store: { url: \"\(url)\" }\nproxy: { coordinator: \"\(url)\" }\n")
        #expect(found.count == 2)
        #expect(
            found.allSatisfy { !$0.description.contains("pa55") && $0.value?.contains("pa55") == false }, "\(found)")
    }

    @Test("a problem renders like a compiler's")
    func rendering() {
        let problem = ConfigurationProblem(
            file: "unstick.yaml",
            line: 7,
            column: 12,
            keyPath: "instances[1].url",
            value: "htp://127.0.0.1",
            message: "'htp://127.0.0.1' is not an http URL; expected http://HOST:PORT"
        )
        #expect(
            ConfigurationErrors(problems: [problem, problem]).description.split(separator: "\n").first
                == "unstick.yaml:7:12: instances[1].url: 'htp://127.0.0.1' is not an http URL; expected http://HOST:PORT"
        )
    }
}
