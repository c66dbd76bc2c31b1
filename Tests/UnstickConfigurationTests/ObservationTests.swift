import Testing
import UnstickConfiguration

@Suite("Configuration of access log, request ids and tracing")
struct ObservationTests {
    @Test("nothing is told about requests unless it is asked for")
    func defaults() throws {
        let configuration = try parse(oneInstance)
        #expect(configuration.accessLog.target == nil && configuration.requestID.header == nil)
        #expect(configuration.tracing.endpoint == nil && configuration.tracing.sample == 0.1)
        #expect(configuration.log.level == .info)
    }

    @Test("everything that can be said")
    func everything() throws {
        let configuration = try parse(
            oneInstance + """
                access-log: { to: logs/access.log, format: combined, query: false, min-status: 400, sample: 0.25 }
                request-id: { header: X-Request-ID, accept: everybody, response: true }
                tracing: { endpoint: "https://otel.example:4318", sample: 1, accept: nobody, service-name: shop, queue: 512, retry: 5s }
                """, file: "/etc/unstick/unstick.yaml", on: machine(files: ["/etc/unstick/bridge.key": .key]))
        let log = configuration.accessLog
        #expect(log.target == .file("/etc/unstick/logs/access.log") && log.format == .combined && !log.query)
        #expect(log.minStatus == 400 && log.sample == 0.25)
        #expect(configuration.requestID.header == "X-Request-ID" && configuration.requestID.accept == .everybody)
        #expect(configuration.requestID.response)
        let tracing = configuration.tracing
        #expect(tracing.endpoint == "https://otel.example:4318/v1/traces" && tracing.sample == 1)
        #expect(tracing.accept == .nobody && tracing.serviceName == "shop" && tracing.queue == 512)
        #expect(tracing.retry == .seconds(5))
        #expect(try parse(oneInstance + "access-log: { to: stdout }").accessLog.target == .standardOutput)
    }

    @Test(
        "a collector's path is kept, and added when there is none",
        arguments: [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("HTTP://[::1]:4318/otlp/v1/traces", "http://[::1]:4318/otlp/v1/traces"),
        ])
    func endpoints(_ given: String, _ endpoint: String) throws {
        #expect(try parse(oneInstance + "tracing: { endpoint: \"\(given)\" }").tracing.endpoint == endpoint)
    }

    @Test(
        "mistakes are named with their place and what was expected",
        arguments: [
            ("access-log: { to: stdout, sample: 1.5 }", "access-log.sample: '1.5' is outside 0 to 1; expected a share"),
            ("access-log: { to: stdout, sample: 5% }", "access-log.sample: '5%' is a percentage"),
            ("access-log: { to: stdout, sample: -1 }", "access-log.sample: '-1' is not a decimal fraction"),
            ("access-log: { to: stdout, sample: nan }", "access-log.sample: 'nan' is not a decimal fraction"),
            ("access-log: { to: stdout, sample: 1e-3 }", "access-log.sample: '1e-3' is not a decimal fraction"),
            ("access-log: { to: stdout, min-status: 600 }", "access-log.min-status: '600' is outside 0 to 599"),
            ("access-log: { to: logs/ }", "access-log.to: 'logs/' is not a file's path"),
            (
                "access-log: { format: json, query: false }",
                "access-log.format: does nothing by itself; expected access-log.to"
            ),
            ("access-log: stdout", "access-log: is 'stdout'; expected a mapping"),
            ("request-id: { header: \"a b\" }", "request-id.header: 'a b' is not such a header name"),
            ("request-id: { header: Unstick-Session }", "request-id.header: 'Unstick-Session' is not such"),
            (
                "request-id: { response: true }",
                "request-id.response: does nothing by itself; expected request-id.header"
            ),
            (
                "tracing: { endpoint: \"127.0.0.1:4318\" }",
                "tracing.endpoint: '127.0.0.1:4318' is not an http or https URL"
            ),
            ("tracing: { endpoint: \"http://u@h:1\" }", "@h:1' has a user in it"),
            ("tracing: { endpoint: \"http://h\" }", "tracing.endpoint: 'http://h' has no port"),
            ("tracing: { endpoint: \"http://h:1/a#b\" }", "has a path that is none"),
            ("tracing: { sample: 1 }", "tracing.sample: does nothing by itself; expected tracing.endpoint as well"),
            ("tracing: { endpoint: \"http://h:1\", queue: 5 }", "tracing.queue: '5' is outside 256 to 1048576"),
            ("tracing: { endpoint: \"http://h:1\", accept: all }", "tracing.accept: 'all' is not known here"),
        ])
    func mistakes(_ yaml: String, _ complaint: String) throws {
        let complaints = complaints(oneInstance + yaml)
        #expect(complaints.count == 1, "\(complaints)")
        let first = try #require(complaints.first)
        #expect(first.contains(complaint), "\(first)")
        #expect(first.hasPrefix("unstick.yaml:2:"), "\(first)")
    }

    @Test("what is switched off may keep its other values")
    func switchedOff() throws {
        #expect(try parse(oneInstance + "tracing: { endpoint: null, sample: 1 }").tracing.sample == 1)
    }
}
