import UnstickConfiguration
import UnstickProxy

extension Configuration {
    /// The data plane's options for health checks.
    var healthOptions: ProxyOptions.Health {
        var options = ProxyOptions.Health()
        options.path = health.path
        options.host = health.host
        options.statuses = health.statuses
        options.interval = health.interval
        options.unhealthyInterval = min(health.unhealthyInterval, health.interval)
        options.timeout = health.timeout
        options.rise = health.rise
        options.fall = health.fall
        return options
    }

    /// The data plane's waits.
    var timeoutOptions: ProxyOptions.Timeouts {
        var options = ProxyOptions.Timeouts()
        options.connect = timeouts.connect
        options.response = timeouts.response
        options.stream = timeouts.stream
        options.idle = timeouts.idle
        options.clientHead = timeouts.clientHead
        options.clientBody = timeouts.clientBody
        options.total = timeouts.total
        options.upstreamIdle = timeouts.upstreamIdle
        options.store = timeouts.store
        options.shutdown = timeouts.shutdown
        return options
    }

    /// The data plane's answers to failing instances and greedy clients.
    var resilienceOptions: ProxyOptions.Resilience {
        var options = ProxyOptions.Resilience()
        options.retries.count = resilience.retries.count
        options.retries.budgetPercent = resilience.retries.budgetPercent
        options.retries.budgetMinimum = resilience.retries.minimum
        options.retries.unsent = resilience.retries.unsent == .any ? .any : .idempotent
        options.retries.delay = resilience.retries.delay
        options.retries.delayMax = resilience.retries.delayMax
        options.breaker.consecutiveFailures = resilience.breaker.consecutiveFailures
        options.breaker.failurePercent = resilience.breaker.failurePercent
        options.breaker.samples = resilience.breaker.samples
        options.breaker.window = resilience.breaker.window
        options.breaker.openTime = resilience.breaker.openTime
        options.breaker.openTimeMax = resilience.breaker.openTimeMax
        options.breaker.probes = resilience.breaker.probes
        options.ejection.consecutiveErrors = resilience.ejection.consecutiveErrors
        options.ejection.consecutiveGatewayErrors = resilience.ejection.consecutiveGatewayErrors
        options.ejection.deviationTenths = resilience.ejection.deviationTenths
        options.ejection.samples = resilience.ejection.samples
        options.ejection.instances = resilience.ejection.instances
        options.ejection.interval = resilience.ejection.interval
        options.ejection.time = resilience.ejection.time
        options.ejection.timeMax = resilience.ejection.timeMax
        options.ejection.percentMax = resilience.ejection.percentMax
        options.panicPercent = health.panicPercent
        options.clients.connections = resilience.clients.connections
        options.clients.bodyRate = resilience.clients.bodyRate
        options.clients.bodyRateGrace = resilience.clients.bodyRateGrace
        options.clients.bodyRateWindow = resilience.clients.bodyRateWindow
        options.rateLimitClients = resilience.rateLimitClients
        options.rateLimits = resilience.rateLimits.map { limit in
            ProxyOptions.RateLimit(
                name: limit.name, pathPrefix: limit.pathPrefix ?? "", methods: limit.methods,
                scope: limit.scope == .client ? .client : .route, count: limit.rate.count,
                period: limit.rate.period.duration, burst: limit.burst)
        }
        return options
    }
}
