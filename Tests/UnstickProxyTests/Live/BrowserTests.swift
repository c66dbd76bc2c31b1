import NIOCore
import Testing
import UnstickCore

@testable import UnstickProxy

/// A page as a person's browser gets it, with pieces that it fetches in parallel.
@Suite("A real browser, over TLS and HTTP/2")
struct BrowserTests {
    private static let page = """
        <!doctype html><title>Shop</title><link rel="stylesheet" href="/style.css"><p id="out">waiting</p>
        <script>
        (async () => {
          const parts = await Promise.all([...Array(12).keys()].map(n => fetch(`/part/${n}`).then(r => r.text())));
          const posted = await fetch('/echo', {method: 'POST', body: 'x'.repeat(100000)}).then(r => r.text());
          const protocols = new Set(performance.getEntriesByType('resource').map(e => e.nextHopProtocol));
          const own = performance.getEntriesByType('navigation')[0].nextHopProtocol;
          document.getElementById('out').textContent =
            `page ${own}; rest ${[...protocols].join()}; parts ${parts.join('')}; posted ${posted}; ` +
            `color ${getComputedStyle(document.body).color}`;
        })();
        </script>
        """

    private static func answer(_ request: ReceivedRequest) -> UpstreamAnswer {
        func text(_ type: String, _ body: String) -> UpstreamAnswer {
            UpstreamAnswer(headers: [("Content-Type", type)], body: Array(body.utf8))
        }
        switch request.uri {
        case "/": return text("text/html", page)
        case "/style.css": return text("text/css", "body { color: rgb(1, 2, 3) }")
        case "/echo": return text("text/plain", "\(request.body.count)")
        case let uri where uri.hasPrefix("/part/"): return text("text/plain", "[\(uri.dropFirst(6))]")
        default: return text("text/plain", "?")
        }
    }

    @Test("a page, its parts and a form's upload come by HTTP/2 and are whole", .timeLimit(.minutes(2)))
    func page() async throws {
        try await SecureFixture.with(applications: 0) { fixture in
            let upstream = try await TestUpstream(group: fixture.proxy.group, answer: Self.answer)
            await fixture.route(to: [upstream.url])
            let result = try await run(
                "chromium",
                [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server",
                    "--disable-background-networking", "--disable-component-update", "--no-first-run",
                    "--ignore-certificate-errors", "--user-data-dir=\(fixture.authority.folder)/browser",
                    "--virtual-time-budget=20000", "--dump-dom", "https://127.0.0.1:\(fixture.port)/",
                ], in: fixture.authority.folder)
            let parts = (0..<12).map { "[\($0)]" }.joined()
            #expect(
                result.output.contains(
                    "page h2; rest h2; parts \(parts); posted 100000; color rgb(1, 2, 3)"),
                "\(result.output) \(result.errors.suffix(2000))")
            await upstream.close()
        }
    }
}
