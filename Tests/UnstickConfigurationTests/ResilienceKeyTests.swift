import Testing

@testable import UnstickConfiguration

@Suite("Keys of resilience")
struct ResilienceKeyTests {
    @Test("every key is read to its place")
    func values() throws {
        let configuration = try parse(
            oneInstance
                + """
                health: { host: "shop.example:8080", status: [200-204, 301], unhealthy-interval: 500ms, panic-threshold: 30% }
                timeouts: { client-body: 7s, stream: 8h, total: 9s, upstream-idle: 10s }
                retries: { count: 1, budget: 5%, minimum: 3, unsent: idempotent, delay: 10ms, delay-max: 1s }
                breaker:
                  consecutive-failures: none
                  failure-ratio: 25%
                  samples: 30
                  window: 5s
                  open-time: 2s
                  open-time-max: 1m
                  probes: 4
                ejection:
                  consecutive-errors: 6
                  consecutive-gateway-errors: none
                  deviation: 2.5
                  samples: 50
                  instances: 3
                  interval: 20s
                  time: 1m
                  time-max: 1h
                  max: 20%
                limits:
                  connections-per-client: 40
                  body-rate: 1KiB/s
                  body-rate-grace: 5s
                  body-rate-window: 4s
                  rate-limit-clients: 2048
                rate-limits:
                  - { name: login, match: { path-prefix: /login, methods: [POST] }, per: client, rate: 5/m, burst: 10 }
                  - { name: all, per: route, rate: 1000/s }
                """)
        #expect(configuration.health.host == "shop.example:8080")
        #expect(configuration.health.statuses == [200...204, 301...301])
        #expect(configuration.health.unhealthyInterval == .milliseconds(500))
        #expect(configuration.health.panicPercent == 30)
        let timeouts = configuration.timeouts
        #expect(timeouts.clientBody == .seconds(7) && timeouts.stream == .seconds(8 * 3600))
        #expect(timeouts.total == .seconds(9) && timeouts.upstreamIdle == .seconds(10))

        var expected = Configuration.Resilience()
        expected.retries.count = 1
        expected.retries.budgetPercent = 5
        expected.retries.minimum = 3
        expected.retries.unsent = .idempotent
        expected.retries.delay = .milliseconds(10)
        expected.retries.delayMax = .seconds(1)
        expected.breaker.consecutiveFailures = nil
        expected.breaker.failurePercent = 25
        expected.breaker.samples = 30
        expected.breaker.window = .seconds(5)
        expected.breaker.openTime = .seconds(2)
        expected.breaker.openTimeMax = .seconds(60)
        expected.breaker.probes = 4
        expected.ejection.consecutiveErrors = 6
        expected.ejection.consecutiveGatewayErrors = nil
        expected.ejection.deviationTenths = 25
        expected.ejection.samples = 50
        expected.ejection.instances = 3
        expected.ejection.interval = .seconds(20)
        expected.ejection.time = .seconds(60)
        expected.ejection.timeMax = .seconds(3600)
        expected.ejection.percentMax = 20
        expected.clients.connections = 40
        expected.clients.bodyRate = 1024
        expected.clients.bodyRateGrace = .seconds(5)
        expected.clients.bodyRateWindow = .seconds(4)
        expected.rateLimitClients = 2048
        expected.rateLimits = [
            Configuration.RateLimit(
                name: "login", pathPrefix: "/login", methods: ["POST"], scope: .client,
                rate: Configuration.Rate(count: 5, period: .minute), burst: 10),
            Configuration.RateLimit(
                name: "all", pathPrefix: nil, methods: [], scope: .route,
                rate: Configuration.Rate(count: 1000, period: .second), burst: 1000),
        ]
        #expect(configuration.resilience == expected)
    }

    @Test(
        "a bad value is refused with key, value and what was expected",
        arguments: [
            (
                "retries: { budget: 20 }",
                "retries.budget: '20' is not a whole number with %; expected a percentage from 0% to 100%"
            ),
            (
                "retries: { budget: 101% }",
                "retries.budget: '101%' is outside 0% to 100%; expected a percentage from 0% to 100%"
            ),
            ("retries: { delay: 2s }", "retries.delay: retries.delay, '2s', is above retries.delay-max, '250ms'"),
            (
                "breaker: { open-time-max: 500ms }",
                "breaker.open-time-max: breaker.open-time, '1s', is above breaker.open-time-max, '500ms'"
            ),
            ("ejection: { time: 10m }", "ejection.time: ejection.time, '10m', is above ejection.time-max, '5m'"),
            (
                "ejection: { deviation: 1.95 }",
                "ejection.deviation: '1.95' is not such a number; expected a number from 0.1 to 10.0 with at most one decimal"
            ),
            (
                "limits: { body-rate: 500 }",
                "limits.body-rate: '500' is not a size with /s; expected a rate from 0/s to 1GiB/s, such as 1KiB/s"
            ),
            (
                "limits: { connections: 5, connections-per-client: 6 }",
                "limits.connections-per-client: limits.connections-per-client, '6', is above limits.connections, '5'"
            ),
            (
                "health: { status: [99] }",
                "health.status[0]: '99' is outside 100 to 599; expected a status or a range such as 200-399, within 100 to 599"
            ),
            (
                "health: { status: [300-200] }",
                "health.status[0]: '300-200' ends before it begins; expected a status or a range such as 200-399, within 100 to 599"
            ),
            (
                "health: { host: \"a b\" }",
                "health.host: 'a b' is not a host; expected a host such as shop.example or shop.example:8080"
            ),
            (
                "timeouts: { total: 0 }",
                "timeouts.total: '0' is outside 10ms to 1d; expected a duration from 10ms to 1d, such as 500ms, 2s, 30m, 4h or 1d"
            ),
            (
                "rate-limits: [{ name: a }]",
                "rate-limits[0]: has no rate; expected { name: NAME, per: client, rate: 100/s }"
            ),
            (
                "rate-limits: [{ name: a, rate: 100/d }]",
                "rate-limits[0].rate: '100/d' has the unknown period 'd'; expected 1 to 1000000 requests per s, m or h, such as 100/s"
            ),
            (
                "rate-limits: [{ name: a, rate: 0/s }]",
                "rate-limits[0].rate: '0/s' is outside 1 to 1000000; expected 1 to 1000000 requests per s, m or h, such as 100/s"
            ),
            (
                "rate-limits: [{ name: a, rate: 1/s, match: { methods: [get] } }]",
                "rate-limits[0].match.methods[0]: 'get' is not such a method; expected a method such as GET, in capitals; did you mean 'GET'?"
            ),
            (
                "rate-limits: [{ name: a, rate: 1/s, per: ip }]",
                "rate-limits[0].per: 'ip' is not known here; expected one of client, route"
            ),
            (
                "rate-limits: [{ name: a, rate: 1/s, burts: 3 }]",
                "rate-limits[0].burts: unknown key 'burts'; did you mean 'burst'?"
            ),
            (
                "rate-limits: [{ name: a, rate: 1/s }, { name: a, rate: 1/s }]",
                "rate-limits[1].name: 'a' is already the name of rate-limits[0]"
            ),
            (
                "rate-limits: 5",
                "rate-limits: is '5'; expected a list of { name: NAME, per: client, rate: 100/s }, at most 64"
            ),
        ])
    func mistakes(yaml: String, complaint: String) {
        let found = complaints(oneInstance + yaml + "\n")
        #expect(found.count == 1)
        #expect(found.first?.hasSuffix(" " + complaint) == true, "\(found)")
        #expect(found.first?.hasPrefix("unstick.yaml:2:") == true)
    }

    @Test(
        "a path prefix that no normalized path can have is refused",
        arguments: ["login", "/a//b", "/a/../b", "/./a", "/a%20b", "/a;b", "/a?b", "/a#b"])
    func pathPrefixes(prefix: String) {
        let found = complaints(
            oneInstance + "rate-limits: [{ name: a, rate: 1/s, match: { path-prefix: \"\(prefix)\" } }]\n")
        #expect(found.count == 1 && found.first?.contains("rate-limits[0].match.path-prefix: '\(prefix)'") == true)
    }
}
