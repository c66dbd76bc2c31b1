import AsyncHTTPClient
import ControlAPI
import ControlClient
import NIOCore
import NIOHTTP1
import Synchronization
import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Admin address")
struct AdminTests {
    static let routes: [(String, String, AdminRoute?)] = [
        ("GET", "healthz", .health), ("GET", "readyz", .ready), ("GET", "metrics", .metrics),
        ("GET", "v1/status", .status),
        ("HEAD", "v1/status", .status), ("GET", "v1/gates", .gates), ("GET", "v1/instances", .instances),
        ("GET", "v1/proxies", .proxies), ("DELETE", "v1/proxies/p1", .forget(proxy: "p1")),
        ("POST", "v1/proxies/p1/report", .report(proxy: "p1")),
        ("GET", "v1/journal", .journal(after: 0, limit: 100, wait: .zero)), ("POST", "v1/operations", .start),
        ("GET", "v1/operations/current", .currentOperation), ("GET", "v1/operations/7", .operation(7, wait: .zero)),
        ("POST", "v1/sessions/explain", .explain), ("POST", "v1/automation", .automation),
        ("GET", "v1/table", .table(after: nil, wait: .zero)),
        ("POST", "v1/status", nil), ("GET", "v1/operations", nil), ("DELETE", "v1/proxies", nil),
        ("GET", "v1/operations/x", nil), ("GET", "v1/operations/-1", nil), ("GET", "v2/status", nil),
        ("GET", "v1/proxies/p1/report", nil), ("GET", "", nil), ("GET", "v1/status/more", nil),
    ]

    @Test("routes are as documented", arguments: routes)
    func route(method: String, path: String, expected: AdminRoute?) {
        let route = try? AdminRoute(
            method: method, path: path.split(separator: "/").map(String.init), query: [:])
        #expect(route == expected)
    }

    @Test(
        "a parameter out of range is named",
        arguments: [
            ("journal", "limit", "0"), ("journal", "limit", "1001"), ("journal", "after", "-1"),
            ("journal", "wait", "61"),
            ("table", "after", "x"), ("table", "wait", "1e3"),
        ])
    func parameter(path: String, key: String, value: String) {
        #expect {
            try AdminRoute(method: "GET", path: ["v1", path], query: [key: value])
        } throws: { error in
            guard case .parameter(let message)? = error as? AdminRoute.Failure else { return false }
            return message.hasPrefix("\(key)=\(value)")
        }
    }

    struct Access: Sendable {
        var token: String?
        var route: AdminRoute
        var headers: AdminAccess.Headers
        var denial: AdminAccess.Denial?
    }

    static func headers(
        host: String? = "127.0.0.1:9090", authorization: String? = nil, type: String? = nil, client: String? = nil,
        site: String? = nil
    ) -> AdminAccess.Headers {
        AdminAccess.Headers(
            authorization: authorization, host: host, contentType: type, client: client, fetchSite: site)
    }

    static let accesses: [Access] = [
        Access(route: .status, headers: headers()),
        Access(route: .status, headers: headers(host: "localhost")),
        Access(route: .status, headers: headers(host: "[::1]:9090")),
        Access(route: .status, headers: headers(host: "evil.example"), denial: .foreignHost("evil.example")),
        Access(
            route: .status, headers: headers(host: "127.0.0.1.evil.example"),
            denial: .foreignHost("127.0.0.1.evil.example")),
        Access(route: .status, headers: headers(host: nil), denial: .foreignHost("")),
        Access(route: .start, headers: headers(), denial: .crossSite),
        Access(route: .start, headers: headers(type: "text/plain"), denial: .crossSite),
        Access(route: .start, headers: headers(type: "application/json; charset=utf-8")),
        Access(route: .forget(proxy: "p"), headers: headers(client: "1")),
        Access(route: .start, headers: headers(client: "1", site: "cross-site"), denial: .crossSite),
        Access(route: .start, headers: headers(client: "1", site: "same-origin")),
        Access(token: "0123456789abcdef", route: .status, headers: headers(), denial: .unauthorized),
        Access(token: "0123456789abcdef", route: .health, headers: headers()),
        Access(
            token: "0123456789abcdef", route: .status, headers: headers(authorization: "Bearer 0123456789abcdeF"),
            denial: .unauthorized),
        Access(
            token: "0123456789abcdef", route: .status, headers: headers(authorization: "Bearer 0123456789abcde"),
            denial: .unauthorized),
        Access(
            token: "0123456789abcdef", route: .status,
            headers: headers(host: "coordinator.example", authorization: "bearer 0123456789abcdef")),
        Access(
            token: "0123456789abcdef", route: .start, headers: headers(authorization: "Bearer 0123456789abcdef"),
            denial: .crossSite),
    ]

    @Test("token, host and origin are checked", arguments: accesses)
    func access(example: Access) {
        var denial: AdminAccess.Denial?
        do throws(AdminAccess.Denial) {
            try AdminAccess(token: example.token).check(example.route, example.headers)
        } catch {
            denial = error
        }
        #expect(denial == example.denial)
    }

    /// Serves the world's coordinator on a free loopback port.
    static func withServer(
        _ world: World, token: String? = nil, _ body: (ControlClient, String) async throws -> Void
    ) async throws {
        let api = try CoordinatorAPI(coordinator: world.coordinator, host: "127.0.0.1", port: 0, token: token)
        let (ports, feed) = AsyncStream.makeStream(of: Int.self)
        let server = Task { try await api.run { port in feed.yield(port) } }
        defer { server.cancel() }
        var iterator = ports.makeAsyncIterator()
        let port = try #require(await iterator.next())
        let address = "http://127.0.0.1:\(port)"
        try await body(ControlClient(address: address + "/", token: token), address)
    }

    @Test("everything over the wire: report, table, operation, journal, status, metrics")
    func wire() async throws {
        let world = try World(World.table(.sticky))
        try await Self.withServer(world) { (client, address) async throws in
            let reply = try await client.report(world.proxies[0].report(instances: world.table.instances))
            #expect(reply.table == world.table)
            #expect(try await client.table(newerThan: Epoch(10), patience: .zero) == nil)
            #expect(try await client.table(newerThan: nil, patience: .zero) == world.table)
            #expect(try await client.currentOperation() == nil)
            let started = try await client.start(OperationRequest(kind: .mirror, by: "ops@test", reason: "friday"))
            #expect(try await client.currentOperation()?.id == started.id)
            do throws(ControlClientError) {
                _ = try await client.start(OperationRequest(kind: .mirror, by: "other"))
                Issue.record("accepted")
            } catch {
                guard case .problem(let problem, 409) = error else { throw error }
                #expect(problem.code == .locked)
            }
            _ = try await world.drive(started.id)
            #expect(try await client.follow(started.id).outcome?.code == .done)
            #expect(try await client.table(newerThan: Epoch(10), patience: .seconds(1))?.phase == .mirroring)
            let journal = try await client.journal(after: 0, limit: 1000)
            #expect(journal.entries.first?.reason == "friday")
            #expect(journal.entries.first?.from == "127.0.0.1")
            #expect(journal.entries.map(\.sequence) == Array(1...Int64(journal.entries.count)))
            let status = try await client.status()
            #expect(status.phase == .mirroring)
            #expect(status.settled)
            #expect(status.schema == "unstick.status/v1")
            #expect(try await client.gates().transitions.first?.command == "externalize")
            #expect(try await client.instances().instances.count == 2)
            #expect(try await client.proxies().proxies.count == 2)
            #expect(try await client.explain(session: "secret").verdict == "nowhere")
            #expect(try await client.setAutomation(paused: true, by: "ops").paused)
            try await client.forget(proxy: "p2")
            #expect(try await client.proxies().proxies.map(\.report.name) == ["p1"])
            let metrics = try await Self.fetch("\(address)/metrics")
            #expect(metrics.text.contains("\nunstick_phase 1\n"))
            #expect(metrics.text.contains("unstick_proxy_alive{proxy=\"p1\"} 1\n"))
            #expect(try await Self.fetch("\(address)/healthz").text == "ok\n")
        }
    }

    static func fetch(
        _ url: String, method: HTTPMethod = .GET, headers: HTTPHeaders = [:], body: String? = nil
    ) async throws -> (status: Int, text: String) {
        var request = HTTPClientRequest(url: url)
        request.method = method
        request.headers = headers
        if let body { request.body = .bytes(ByteBuffer(string: body)) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        return (Int(response.status.code), String(buffer: try await response.body.collect(upTo: 1 << 20)))
    }

    @Test("what is wrong is answered with a status, a code and a sentence")
    func problems() async throws {
        let world = try World(World.table(.sticky))
        try await Self.withServer(world) { (client, address) async throws in
            let json: HTTPHeaders = ["Content-Type": "application/json"]
            #expect(try await Self.fetch("\(address)/nothing").status == 404)
            #expect(try await Self.fetch("\(address)/v1/status", method: .POST, headers: json).status == 405)
            #expect(try await Self.fetch("\(address)/v1/operations", method: .POST, body: "{}").status == 403)
            #expect(try await Self.fetch("\(address)/v1/status", headers: ["Host": "evil.example"]).status == 403)
            let incomplete = try await Self.fetch(
                "\(address)/v1/operations", method: .POST, headers: json, body: "{\"kind\":{\"mirror\":{}}}")
            #expect(incomplete.status == 400)
            #expect(incomplete.text.contains("by: is missing"))
            let huge = try await Self.fetch(
                "\(address)/v1/operations", method: .POST, headers: json,
                body: String(repeating: " ", count: CoordinatorAPI.bodyBytesLimit + 1))
            #expect(huge.status == 413)
            await #expect(throws: ControlClientError.self) { try await client.operation(99) }
            await #expect(throws: ControlClientError.self) { try await client.forget(proxy: "nobody") }
        }
        let nowhere = ControlClient(address: "http://127.0.0.1:1", deadline: .seconds(2))
        do throws(ControlClientError) {
            _ = try await nowhere.status()
            Issue.record("answered")
        } catch {
            guard case .unreachable = error else { throw error }
        }
    }

    @Test("a token is demanded from everybody, and an address that others reach demands a token")
    func token() async throws {
        let world = try World(World.table(.sticky))
        try await Self.withServer(world, token: "0123456789abcdef") { (client, address) async throws in
            #expect(try await client.status().phase == .sticky)
            #expect(try await Self.fetch("\(address)/v1/status").status == 401)
            #expect(try await Self.fetch("\(address)/healthz").status == 200)
        }
        #expect(throws: APIProblem.self) {
            try CoordinatorAPI(coordinator: world.coordinator, host: "0.0.0.0", port: 0, token: nil)
        }
        #expect(throws: APIProblem.self) {
            try CoordinatorAPI(coordinator: world.coordinator, host: "127.0.0.1", port: 0, token: "short")
        }
    }

    @Test("an overflow of dirty sessions is cleared by a whole verification that began after it")
    func overflow() async throws {
        let world = try World(World.table(.mirroring))
        var report = world.proxies[0].report(instances: world.table.instances)
        report.dirtyOverflow = true
        #expect(try !world.coordinator.accept(report).clearDirtyOverflow)
        // This one began long before.
        await world.coordinator.verifyInBackground()
        #expect(try !world.coordinator.accept(report).clearDirtyOverflow)
        world.coordinator.state.withLock { $0.verification?.startedAt = UnixMilliseconds(.max) }
        #expect(try world.coordinator.accept(report).clearDirtyOverflow)
    }
}
