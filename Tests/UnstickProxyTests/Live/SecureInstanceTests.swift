import ControlAPI
import NIOCore
import NIOPosix
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Instances behind TLS, live")
struct SecureInstanceTests {
    private func with(
        health: String? = nil, names: String = "IP:127.0.0.1", authority file: String? = "ca.pem",
        _ body: (SecureFixture, TLSTestServer) async throws -> Void
    ) async throws {
        try await SecureFixture.with(
            applications: 0,
            configure: { authority, options in
                try await authority.issue("web", subject: "/CN=web", alternatives: names)
                if let file { options.upstreamTLS.authorityFile = authority.path(file) }
                options.health.path = health
                options.health.interval = .milliseconds(200)
                options.health.unhealthyInterval = .milliseconds(100)
            }
        ) { fixture in
            try await TLSTestServer.with(tls: tlsOptions(fixture.authority, "web")) { server in
                await fixture.route(to: ["https://127.0.0.1:\(server.port)"])
                try await body(fixture, server)
            }
        }
    }

    @Test("requests reach it, from HTTP/1.1 and HTTP/2, on connections that are kept")
    func good() async throws {
        try await with { fixture, server in
            for http in ["--http1.1", "--http2"] {
                let result = try await fixture.curl([http, "-w", "%{http_code}"], path: "/echo")
                #expect(result.output.hasSuffix("200") && result.output.hasPrefix("GET /echo "), "\(result)")
            }
            let result = try await run(
                "h2load", ["-n", "2000", "-c", "4", "-m", "8", "-N", "10", "https://127.0.0.1:\(fixture.port)/echo"])
            #expect(result.output.contains("2000 2xx, 0 3xx, 0 4xx, 0 5xx"), "\(result)")
            #expect(server.clients.all.count <= 64, "\(server.clients.all.count) connections")
        }
    }

    @Test("a large answer arrives whole, an answer cut short does not look whole")
    func answers() async throws {
        try await with { fixture, server in
            let large = try await fixture.curl(["--http2"], path: "/large")
            #expect(large.output.utf8.count == 1 << 20, "\(large.code) \(large.errors)")
            let cut = try await fixture.curl(["--http1.1"], path: "/abort")
            #expect(cut.code == 18 || cut.code == 56, "\(cut)")
            let cut2 = try await fixture.curl(["--http2"], path: "/abort")
            #expect(cut2.code == 92, "\(cut2)")
        }
    }

    @Test(
        "one with a wrong certificate gets no request, and the report says why",
        arguments: [
            ("DNS:other.test", "ca.pem", "is not for its address"), ("IP:127.0.0.1", nil, "cannot be verified"),
        ])
    func wrongCertificate(_ names: String, _ file: String?, _ reason: String) async throws {
        try await with(names: names, authority: file) { fixture, server in
            for _ in 0..<3 {
                let result = try await fixture.curl(["-w", "%{http_code}"], path: "/echo")
                #expect(result.output.hasSuffix("503") || result.output.hasSuffix("502"), "\(result)")
            }
            #expect(server.log.requests.isEmpty)
            try await fixture.awaitReport {
                $0.instances.first?.reason?.contains(reason) == true
            }
        }
    }

    @Test("health checks go through TLS, and name a wrong certificate")
    func health() async throws {
        try await with(health: "/health") { fixture, server in
            try await fixture.awaitReport { $0.instances.first?.health == .healthy }
        }
        try await with(health: "/health", names: "DNS:other.test") { fixture, server in
            try await fixture.awaitReport {
                $0.instances.first?.health == .unhealthy
                    && $0.instances.first?.reason?.contains("is not for its address") == true
            }
            #expect(server.log.requests.isEmpty)
        }
    }

    @Test("an instance that does not speak TLS is unavailable")
    func plainInstance() async throws {
        try await SecureFixture.with(applications: 1) { fixture in
            await fixture.route(to: ["https://127.0.0.1:\(fixture.proxy.upstreams[0].port)"])
            let result = try await fixture.curl(["-w", "%{http_code}"], path: "/value")
            #expect(result.output.hasSuffix("503") || result.output.hasSuffix("502"), "\(result)")
        }
    }
}
