import Testing
import UnstickConfiguration
import UnstickProxy

@testable import unstick

@Suite("The data plane's options for resilience")
struct ResilienceOptionsTests {
    private func configuration(_ yaml: String) throws -> Configuration {
        let host = ConfigurationHost(name: "web", cores: 2) { _ throws(ConfigurationHost.FileRefusal) in
            ConfigurationHost.FileContent(bytes: Array(repeating: UInt8(ascii: "k"), count: 32), mode: 0o600)
        }
        return try Configuration.parse(
            yaml: "instances: [{ name: a, url: \"http://127.0.0.1:5001\" }]\n" + yaml, file: "unstick.yaml", host: host)
    }

    @Test("the configuration's defaults are the options' defaults")
    func defaults() throws {
        let configuration = try configuration("")
        #expect("\(configuration.resilienceOptions)" == "\(ProxyOptions.Resilience())")
        #expect("\(configuration.healthOptions)" == "\(ProxyOptions.Health())")
        #expect("\(configuration.timeoutOptions)" == "\(ProxyOptions.Timeouts())")
    }

    @Test("every value reaches its option")
    func values() throws {
        let configuration = try configuration(
            """
            health: { path: /up, host: h, status: [204], interval: 3s, unhealthy-interval: 9s, timeout: 2s, rise: 4, fall: 5, panic-threshold: 7% }
            timeouts: { connect: 1s, response: 2s, stream: 3s, idle: 4s, client-head: 5s, client-body: 6s, total: 7s, upstream-idle: 8s, store: 9s, shutdown: 10s }
            retries: { count: 1, budget: 2%, minimum: 4, unsent: idempotent, delay: 5ms, delay-max: 6ms }
            breaker: { consecutive-failures: 7, failure-ratio: 8%, samples: 9, window: 11s, open-time: 12s, open-time-max: 13s, probes: 14 }
            ejection: { consecutive-errors: 15, consecutive-gateway-errors: 16, deviation: 1.7, samples: 18, instances: 20, interval: 21s, time: 22s, time-max: 23s, max: 24% }
            limits: { connections-per-client: 25, body-rate: 26B/s, body-rate-grace: 27s, body-rate-window: 28s, rate-limit-clients: 2900 }
            rate-limits: [{ name: r, match: { path-prefix: /p, methods: [GET] }, per: route, rate: 30/m, burst: 31 }]
            """)
        var health = ProxyOptions.Health()
        health.path = "/up"
        health.host = "h"
        health.statuses = [204...204]
        health.interval = .seconds(3)
        // Never longer than the interval.
        health.unhealthyInterval = .seconds(3)
        health.timeout = .seconds(2)
        health.rise = 4
        health.fall = 5
        #expect("\(configuration.healthOptions)" == "\(health)")

        var timeouts = ProxyOptions.Timeouts()
        timeouts.connect = .seconds(1)
        timeouts.response = .seconds(2)
        timeouts.stream = .seconds(3)
        timeouts.idle = .seconds(4)
        timeouts.clientHead = .seconds(5)
        timeouts.clientBody = .seconds(6)
        timeouts.total = .seconds(7)
        timeouts.upstreamIdle = .seconds(8)
        timeouts.store = .seconds(9)
        timeouts.shutdown = .seconds(10)
        #expect("\(configuration.timeoutOptions)" == "\(timeouts)")

        var options = ProxyOptions.Resilience()
        options.panicPercent = 7
        options.retries.count = 1
        options.retries.budgetPercent = 2
        options.retries.budgetMinimum = 4
        options.retries.unsent = .idempotent
        options.retries.delay = .milliseconds(5)
        options.retries.delayMax = .milliseconds(6)
        options.breaker.consecutiveFailures = 7
        options.breaker.failurePercent = 8
        options.breaker.samples = 9
        options.breaker.window = .seconds(11)
        options.breaker.openTime = .seconds(12)
        options.breaker.openTimeMax = .seconds(13)
        options.breaker.probes = 14
        options.ejection.consecutiveErrors = 15
        options.ejection.consecutiveGatewayErrors = 16
        options.ejection.deviationTenths = 17
        options.ejection.samples = 18
        options.ejection.instances = 20
        options.ejection.interval = .seconds(21)
        options.ejection.time = .seconds(22)
        options.ejection.timeMax = .seconds(23)
        options.ejection.percentMax = 24
        options.clients.connections = 25
        options.clients.bodyRate = 26
        options.clients.bodyRateGrace = .seconds(27)
        options.clients.bodyRateWindow = .seconds(28)
        options.rateLimitClients = 2900
        options.rateLimits = [
            ProxyOptions.RateLimit(
                name: "r", pathPrefix: "/p", methods: ["GET"], scope: .route, count: 30, period: .seconds(60), burst: 31
            )
        ]
        #expect("\(configuration.resilienceOptions)" == "\(options)")
    }
}
