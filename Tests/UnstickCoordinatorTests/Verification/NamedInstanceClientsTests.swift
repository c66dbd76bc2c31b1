import AsyncHTTPClient
import NIOPosix
import Testing

@testable import UnstickCoordinator

@Suite("Instances under another name")
struct NamedInstanceClientsTests {
    @Test(
        "the name takes the host's place in the URL, and the host stays in Host",
        arguments: [
            ("https://10.0.0.1:8443", "https://app.test:8443", "10.0.0.1:8443"),
            ("https://[::1]:8443", "https://app.test:8443", "[::1]:8443"),
            ("https://web-1", "https://app.test", "web-1"), ("https://[::1]", "https://app.test", "[::1]"),
        ])
    func routes(url: String, wanted: String, authority: String) async throws {
        let clients = NamedInstanceClients(
            serverName: "app.test", group: MultiThreadedEventLoopGroup.singleton,
            configuration: Verifier.httpConfiguration)
        let route = clients.route(to: url)
        #expect(route?.url == wanted)
        #expect(route?.authority == authority)
        #expect(clients.route(to: "http://10.0.0.1:80")?.url == nil)
        #expect(clients.route(to: url)?.client === route?.client)
        await clients.shutdown()
    }
}
