import NIOCore
import SocketLoop
import Testing

@Suite("Connecting and listening", .timeLimit(.minutes(1)))
struct ConnectingTests {
    private func connect(_ loop: SocketLoop, host: String, port: Int) async throws -> Result<Void, SocketFailure> {
        try await loop.flatSubmit {
            let promise = loop.makePromise(of: Result<Void, SocketFailure>.self)
            loop.connect(host: host, port: port, timeout: .seconds(10)) { result in
                promise.succeed(result.map { $0.close() })
            }
            return promise.futureResult
        }.get()
    }

    @Test("a port where nobody listens is refused, by name")
    func refused() async throws {
        let wire = try await Wire()
        let port = wire.listener.localAddress.port
        try await wire.listener.close()
        let result = try await connect(wire.loop, host: "127.0.0.1", port: port)
        guard case .failure(let failure) = result else {
            Issue.record("connected to a closed port")
            return
        }
        #expect("\(failure)" == "connect to 127.0.0.1:\(port): Connection refused")
        try await wire.loop.shutdownGracefully()
    }

    @Test("a name is resolved and its addresses tried in turn until one accepts")
    func localhost() async throws {
        // `localhost` has ::1 as well on most machines, where nobody listens.
        let wire = try await Wire()
        let result = try await connect(wire.loop, host: "localhost", port: wire.listener.localAddress.port)
        if case .failure(let failure) = result { Issue.record("\(failure)") }
        try await wire.end()
    }

    @Test("a name without an address is a failure that says so")
    func unknownName() async throws {
        let wire = try await Wire()
        let result = try await connect(wire.loop, host: "no-such-host.invalid", port: 80)
        guard case .failure(let failure) = result else {
            Issue.record("connected to a name that does not exist")
            return
        }
        #expect("\(failure)" == "connect to no-such-host.invalid:80: no address found")
        try await wire.end()
    }

    @Test("a port in use cannot be listened on, and the error names it")
    func inUse() async throws {
        let wire = try await Wire()
        let port = wire.listener.localAddress.port
        await expect("listen on 127.0.0.1:\(port): Address already in use") {
            do {
                _ = try await Listener.bind(host: "127.0.0.1", port: port, loop: wire.loop) { _, _ in }
                return ""
            } catch {
                return "\(error)"
            }
        }
        try await wire.end()
    }

    private func expect(_ text: String, _ body: () async -> String) async {
        let found = await body()
        #expect(found == text)
    }

    @Test(
        "addresses read as text",
        arguments: [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::ffff:10.1.2.3", "10.1.2.3")])
    func text(host: String, shown: String) throws {
        let address = try #require(InternetAddress.resolve(host: host, port: 8080, numericOnly: true).first)
        #expect(address.hostText == shown)
        #expect(address.port == 8080)
    }
}
