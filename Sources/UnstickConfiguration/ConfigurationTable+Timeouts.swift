extension ConfigurationTable where Root == ConfigurationDraft {
    private typealias Key = ConfigurationKey<ConfigurationDraft>

    static var healthKeys: [ConfigurationKey<ConfigurationDraft>] {
        let interval: ClosedRange<Duration> = .milliseconds(100)...(.seconds(3600))
        return [
            Key(
                "health.path", .target, \.configuration.health.path,
                "Target of the health check; answers as in `health.status` are good."),
            Key(
                "health.host", .optional(.hostField), \.configuration.health.host,
                "`Host` of the health check; `null`: the instance's own host and port."),
            Key(
                "health.status", .list(.statusRange, of: "statuses", most: 32), \.configuration.health.statuses,
                "Statuses of a good check."),
            Key(
                "health.interval", .duration(interval), \.configuration.health.interval,
                "Between two checks of an instance; a tenth more or less each time."),
            Key(
                "health.unhealthy-interval", .duration(interval), \.configuration.health.unhealthyInterval,
                "The same while it is not known to be healthy; never longer than `health.interval`."),
            Key(
                "health.timeout", .duration(.milliseconds(10)...(.seconds(60))), \.configuration.health.timeout,
                "Of one check; not above `health.interval`."),
            Key(
                "health.rise", .count(1...100), \.configuration.health.rise,
                "Good checks in a row that bring it back."),
            Key("health.fall", .count(1...100), \.configuration.health.fall, "Bad checks in a row that take it out."),
            Key(
                "health.panic-threshold", .percent(0...100), \.configuration.health.panicPercent,
                "With less than this share of the instances fit for new work, it goes to all of them; `0%`: never."),
        ]
    }

    static var timeoutKeys: [ConfigurationKey<ConfigurationDraft>] {
        let wait: ClosedRange<Duration> = .milliseconds(10)...(.seconds(3600))
        let day: ClosedRange<Duration> = .milliseconds(10)...(.seconds(86400))
        return [
            Key("timeouts.connect", .duration(wait), \.configuration.timeouts.connect, "Until an instance accepts."),
            Key(
                "timeouts.response", .duration(wait), \.configuration.timeouts.response,
                "Until an instance's response head; then 504."),
            Key(
                "timeouts.idle", .duration(wait), \.configuration.timeouts.idle,
                "Of a kept connection without a request; then it is closed."),
            Key(
                "timeouts.client-head", .duration(wait), \.configuration.timeouts.clientHead,
                "From a request's first byte to the end of its head; then 408."),
            Key(
                "timeouts.client-body", .duration(wait), \.configuration.timeouts.clientBody,
                "Between two reads of a request's body; then 408."),
            Key(
                "timeouts.stream", .duration(day), \.configuration.timeouts.stream,
                "Without a byte either way of a response's body or an upgraded connection; then it is closed."),
            Key(
                "timeouts.total", .optional(.duration(day), word: "none"), \.configuration.timeouts.total,
                "From a request's first byte to its answer's last; then 504. Not for upgraded connections and event streams."
            ),
            Key(
                "timeouts.upstream-idle", .duration(wait), \.configuration.timeouts.upstreamIdle,
                "Of an unused connection to an instance; shorter than the instance's own."),
            Key("timeouts.store", .duration(wait), \.configuration.timeouts.store, "Of one store operation."),
            Key(
                "timeouts.shutdown", .duration(.zero...(.seconds(3600))), \.configuration.timeouts.shutdown,
                "For requests in flight when the process is told to stop."),
        ]
    }
}
