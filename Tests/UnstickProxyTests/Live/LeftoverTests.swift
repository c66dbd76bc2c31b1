import NIOCore
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("What one client leaves behind")
struct LeftoverTests {
    @Test(
        "bytes behind a request that closes its connection are never read as another client's",
        arguments: [
            "GET /bad HTTP/1.1\r\nHost : a\r\n\r\n", "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nX\r\n",
        ])
    func leftovers(_ request: String) async throws {
        try await ProxyFixture.with(phase: .sticky, applications: 1) { fixture in
            _ = try await fixture.raw(request + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
            let answer = try await fixture.raw("GET /mine HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"), "\(answer)")
            let seen = fixture.upstreams[0].requests.map(\.uri)
            #expect(seen.filter { $0 == "/mine" } == ["/mine"] && !seen.contains("/smuggled"), "\(seen)")
        }
    }
}
