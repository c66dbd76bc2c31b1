import AsyncHTTPClient
import BridgeContract
import ControlAPI
import Logging
import MemorySessionStore
import NIOCore
import NIOHTTP1
import NIOPosix
import SessionStore
import Synchronization
import UnstickCore

@testable import UnstickProxy

/// A coordinator that a test plays by hand.
final class HandLink: CoordinatorLink {
    private struct State {
        var table: RoutingTable
        var reports: [ProxyReport] = []
        var waiters: [CheckedContinuation<Void, Never>] = []
        var isReachable = true
    }
    private let state: Mutex<State>

    init(_ table: RoutingTable, isReachable: Bool = true) {
        state = Mutex(State(table: table, isReachable: isReachable))
    }

    var table: RoutingTable { state.withLock { $0.table } }

    func report(_ report: ProxyReport) async throws -> ProxyReportReply {
        let (table, waiters, reachable) = state.withLock { state in
            state.reports.append(report)
            let waiters = state.waiters
            state.waiters = []
            return (state.table, waiters, state.isReachable)
        }
        for waiter in waiters { waiter.resume() }
        guard reachable else { throw APIProblem(code: .failed, message: "unreachable") }
        return ProxyReportReply(table: table)
    }

    func table(newerThan epoch: Epoch?, patience: Duration) async throws -> RoutingTable? {
        guard state.withLock({ $0.isReachable }) else { throw APIProblem(code: .failed, message: "unreachable") }
        // Reports carry tables too; the test's tables travel with the next one.
        try await Task.sleep(for: .milliseconds(5))
        let table = table
        return epoch.map({ $0 < table.epoch }) ?? true ? table : nil
    }

    /// Publishes the next epoch and returns its number.
    @discardableResult
    func publish(_ change: (inout RoutingTable) -> Void) -> Epoch {
        state.withLock { state in
            change(&state.table)
            state.table.epoch = state.table.epoch.next
            return state.table.epoch
        }
    }

    var lastReport: ProxyReport? { state.withLock { $0.reports.last } }

    /// Waits until a report satisfies the condition.
    func waitForReport(_ condition: (ProxyReport) -> Bool) async {
        while true {
            if let report = lastReport, condition(report) { return }
            await withCheckedContinuation { continuation in
                state.withLock { $0.waiters.append(continuation) }
            }
        }
    }

    func waitForAcknowledgement(of epoch: Epoch) async {
        await waitForReport { $0.acknowledged == epoch }
    }
}

/// A running proxy before counter applications, with a store and a coordinator that the test holds.
struct ProxyFixture {
    let group: MultiThreadedEventLoopGroup
    let proxy: Proxy
    let port: Int
    let link: HandLink
    let store: MemorySessionStore
    let applications: [CounterApplication]
    let upstreams: [TestUpstream]
    let client: HTTPClient
    /// Between the proxy and `store`.
    let faults: FaultyStore

    var url: String { "http://127.0.0.1:\(port)" }

    static let secret = BridgeSecret(fileBytes: Array(repeating: 0x6b, count: 32))!

    static func with(
        phase: Phase, applications count: Int = 2, ramp: Int = 100, rehoming: Bool = true, threads: Int = 1,
        limits: ProxyOptions.Limits = ProxyOptions.Limits(), timeouts: ProxyOptions.Timeouts = ProxyOptions.Timeouts(),
        coordinatorAnswers: Bool = true, generation: Generation = Generation(1),
        hydrates: Bool = true, storeErrors: RoutingTable.StoreErrorPolicy = .serve,
        configure: (inout ProxyOptions) -> Void = { _ in },
        _ body: (ProxyFixture) async throws -> Void
    ) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let clock: WallClock = { UnixMilliseconds(1_700_000_000_000) }
        let memory = MemorySessionStore(clock: clock)
        let faults = FaultyStore(memory)
        _ = try await memory.begin(generation, on: group.next()).get()
        var applications: [CounterApplication] = []
        var upstreams: [TestUpstream] = []
        for index in 0..<count {
            let application = CounterApplication(incarnation: "i\(index + 1)")
            applications.append(application)
            upstreams.append(try await TestUpstream(group: group) { application.answer($0) })
        }
        let table = RoutingTable(
            epoch: Epoch(1), phase: phase, generation: Generation(1), rampPercent: ramp,
            storeErrors: storeErrors, hydrates: hydrates, rehoming: rehoming,
            instances: upstreams.enumerated().map {
                RoutingTable.Instance(name: "web-\($0.offset + 1)", url: $0.element.url)
            })
        let link = HandLink(table, isReachable: coordinatorAnswers)
        var options = ProxyOptions(
            name: "proxy-1", listenHost: "127.0.0.1", listenPort: 0, threads: threads, secret: secret,
            instances: table.instances)
        options.health.path = nil
        options.limits = limits
        options.timeouts = timeouts
        if !coordinatorAnswers { options.timeouts.firstTable = .zero }
        configure(&options)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let proxy = try await Proxy(
            options: options, store: faults, link: link, logger: logger, clock: clock)
        let (ready, signal) = AsyncStream<Int>.makeStream()
        let running = Task { try await proxy.run { signal.yield($0) } }
        var iterator = ready.makeAsyncIterator()
        let port = await iterator.next()!
        let client = HTTPClient(eventLoopGroupProvider: .shared(group))
        let fixture = ProxyFixture(
            group: group, proxy: proxy, port: port, link: link, store: memory, applications: applications,
            upstreams: upstreams, client: client, faults: faults)
        let result: Result<Void, any Error>
        do {
            try await body(fixture)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        proxy.stop()
        _ = try? await running.value
        try? await client.shutdown()
        for upstream in upstreams { await upstream.close() }
        try? await group.shutdownGracefully()
        try result.get()
    }
}

/// A client with a cookie jar.
final class Browser: Sendable {
    let fixture: ProxyFixture
    private let jar = Mutex<[String: String]>([:])

    init(_ fixture: ProxyFixture) { self.fixture = fixture }

    var cookies: [String: String] {
        get { jar.withLock { $0 } }
        set { jar.withLock { $0 = newValue } }
    }

    struct Answer {
        var status: Int
        var text: String
        var headers: HTTPHeaders
        var count: Int? { Int(text) }
    }

    @discardableResult
    func request(_ method: HTTPMethod, _ path: String, body: HTTPClientRequest.Body? = nil) async throws -> Answer {
        var request = HTTPClientRequest(url: fixture.url + path)
        request.method = method
        request.body = body
        let header = cookies.map { "\($0.key)=\($0.value)" }.sorted().joined(separator: "; ")
        if !header.isEmpty { request.headers.add(name: "Cookie", value: header) }
        let response = try await fixture.client.execute(request, timeout: .seconds(10))
        for line in response.headers["Set-Cookie"] {
            let pair = line.split(separator: ";")[0].split(separator: "=", maxSplits: 1)
            let expires = line.contains("Max-Age=0")
            let name = String(pair[0])
            let value = pair.count > 1 ? String(pair[1]) : ""
            jar.withLock { $0[name] = expires ? nil : value }
        }
        let body = try await response.body.collect(upTo: 1 << 24)
        return Answer(
            status: Int(response.status.code), text: String(buffer: body), headers: response.headers)
    }

    @discardableResult
    func increment() async throws -> Answer { try await request(.POST, "/increment") }
    @discardableResult
    func value() async throws -> Answer { try await request(.GET, "/value") }
    @discardableResult
    func logout() async throws -> Answer { try await request(.POST, "/logout") }
}
