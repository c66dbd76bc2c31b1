import NIOCore
import NIOPosix
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Connections of one client, live")
struct ClientConnectionLimitTests {
    @Test("a client gets as many connections as it may; the next one is closed and counted; one that ends makes room")
    func limit() async throws {
        try await ProxyFixture.with(
            phase: .sticky, configure: { $0.resilience.clients.connections = 3 }
        ) { fixture in
            var open: [any Channel] = []
            for _ in 0..<3 {
                open.append(
                    try await ClientBootstrap(group: fixture.group).connect(host: "127.0.0.1", port: fixture.port).get()
                )
            }
            try await fixture.until(3) { try await fixture.connectionCount() }
            // The server's close is all that this one hears.
            let refused = try await ClientBootstrap(group: fixture.group)
                .connect(host: "127.0.0.1", port: fixture.port).get()
            try await refused.closeFuture.get()
            let page = await fixture.metrics()
            #expect(page.text.contains(#"unstick_proxy_client_connections_refused_total{reason="client_limit"} 1"#))
            try await open.removeLast().close()
            try await fixture.until(2) { try await fixture.connectionCount() }
            let answer = try await fixture.raw("GET /one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 200 "))
            for channel in open { try await channel.close() }
        }
    }
}
