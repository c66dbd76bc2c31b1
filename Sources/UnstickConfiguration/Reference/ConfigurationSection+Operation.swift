extension ConfigurationSection {
    static let retries = ConfigurationSection(
        title: "Retries",
        text: """
            A request is tried again only where no instance can have acted on it: no connection came about, or one that was \
            kept from an earlier request was closed without an answer and the method is idempotent (or the request has an \
            `Idempotency-Key`). A budget keeps retries from becoming the load.
            """,
        paths: ["retries"],
        example: """
            retries: { count: 2, budget: 20%, unsent: any }
            """)

    static let breaker = ConfigurationSection(
        title: "Circuit breaker",
        text: "For instances that do not answer. Sessions keep their home; new work goes elsewhere.",
        paths: ["breaker"],
        example: """
            breaker:
              consecutive-failures: 3
              failure-ratio: 50%
              open-time: 1s
            """)

    static let ejection = ConfigurationSection(
        title: "Ejection",
        text: """
            For instances that answer, but worse than the others. What all of them answer alike is the application's own \
            mistake; `ejection.max` and `health.panic-threshold` keep it from emptying the site.
            """,
        paths: ["ejection"],
        example: """
            ejection:
              consecutive-gateway-errors: 5
              time: 30s
              max: 50%
            """)

    static let logs = ConfigurationSection(
        title: "Logs",
        text: """
            The program's own log goes to standard error. The access log has a line per request; session ids never stand in \
            it, only their keyed hash.
            """,
        paths: ["log", "access-log"],
        example: """
            log: { level: info, format: json }
            access-log:
              to: /var/log/unstick/access.log
              format: json
              sample: 0.1
            """)

    static let identification = ConfigurationSection(
        title: "Request ids and traces",
        text: "How a request is found again in other programs' logs and in traces (W3C Trace Context, OTLP/HTTP).",
        paths: ["request-id", "tracing"],
        example: """
            request-id: { header: X-Request-ID, accept: trusted-proxies, response: true }
            tracing:
              endpoint: "http://127.0.0.1:4318"
              sample: 0.05
            """)
}
