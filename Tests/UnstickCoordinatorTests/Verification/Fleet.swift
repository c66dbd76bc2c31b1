import AsyncHTTPClient
import BridgeContract
import ControlAPI
import MemorySessionStore
import NIOCore
import NIOPosix
import SessionStore
import Synchronization
import UnstickCore

@testable import UnstickCoordinator

/// Instances with bridges, a store and a verifier over them.
struct Fleet: Sendable {
    static let generation = Generation(7)
    static let now = UnixMilliseconds(1_800_000_000_000)

    let bridges: [TestBridge]
    let records: MemorySessionStore
    let store: FaultyStore
    let secret: BridgeSecret
    var table: RoutingTable
    let verifier: Verifier
    private let loop: any EventLoop

    static func with(
        _ count: Int = 2, phase: Phase = .mirroring, limits: Verifier.Limits = Verifier.Limits(),
        bridgeLimits: BridgeClient.Limits = BridgeClient.Limits(), coordinatorSecret: String? = nil,
        coordinatorClock: @escaping WallClock = { Fleet.now },
        pause: @escaping @Sendable (Duration) async throws -> Void = { _ in },
        _ body: (Fleet) async throws -> Void
    ) async throws {
        let clock: WallClock = { Fleet.now }
        let text = "a secret of the test that is long enough"
        let secret = BridgeSecret(fileBytes: Array(text.utf8))!
        let group = MultiThreadedEventLoopGroup.singleton
        let http = HTTPClient(eventLoopGroupProvider: .shared(group), configuration: Verifier.httpConfiguration)
        let bridges = (1...count).map { TestBridge(name: "web-\($0)", secret: secret, clock: clock) }
        var instances: [RoutingTable.Instance] = []
        for bridge in bridges {
            let port = try await bridge.start(on: group)
            instances.append(RoutingTable.Instance(name: bridge.name, url: "http://127.0.0.1:\(port)"))
        }
        let records = MemorySessionStore(clock: clock)
        let store = FaultyStore(records)
        let used = coordinatorSecret.map { BridgeSecret(fileBytes: Array($0.utf8))! } ?? secret
        let loop = group.next()
        _ = try await records.begin(generation, on: loop).get()
        let fleet = Fleet(
            bridges: bridges, records: records, store: store, secret: secret,
            table: RoutingTable(epoch: Epoch(3), phase: phase, generation: generation, instances: instances),
            verifier: Verifier(
                store: store,
                bridge: BridgeClient(http: http, secret: used, clock: coordinatorClock, limits: bridgeLimits),
                secret: used, eventLoopGroup: group, clock: clock, limits: limits, pause: pause),
            loop: loop)
        let result: Result<Void, any Error>
        do { result = .success(try await body(fleet)) } catch { result = .failure(error) }
        for bridge in bridges { await bridge.stop() }
        try await http.shutdown()
        try result.get()
    }

    // MARK: The store

    func record(
        _ id: String, _ version: UInt64, _ state: String, home: String = "web-1", writer: String = "inst-a",
        generation: Generation = Fleet.generation
    ) -> SessionRecord {
        SessionRecord(
            id: id, generation: generation, version: VersionTag(version: version, tag: tag(state)), codec: "json",
            state: ByteBuffer(string: state), ttlSeconds: 1800, expiresAt: Fleet.now.adding(seconds: 1800), home: home,
            writer: writer)
    }

    func keep(
        _ id: String, _ version: UInt64, _ state: String, home: String = "web-1", writer: String = "inst-a",
        generation: Generation = Fleet.generation
    ) async throws {
        let record = record(id, version, state, home: home, writer: writer, generation: generation)
        _ = try await records.save(record, when: .newerWins, on: loop).get()
    }

    func entomb(_ id: String, _ version: UInt64, generation: Generation = Fleet.generation) async throws {
        var tombstone = record(id, version, "", generation: generation)
        tombstone.isTombstone = true
        _ = try await records.destroy(tombstone, on: loop).get()
    }

    func stored(_ id: String) async -> SessionRecord? { try? await records.load(id, on: loop).get() }

    // MARK: The verifier

    func verify(
        _ names: [String]? = nil, backfill: Bool = true, passes: Int = 3, table: RoutingTable? = nil
    ) async -> VerificationReport {
        await verifier.verify(
            table: table ?? self.table, instances: names, backfill: backfill, passes: passes, progress: { _ in })
    }

    func repatriate(passes: Int = 3, table: RoutingTable? = nil) async -> RepatriationReport {
        await verifier.repatriate(table: table ?? self.table, passes: passes, progress: { _ in })
    }
}

/// A value that closures of a test share.
final class Shared<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>
    init(_ value: Value) { mutex = Mutex(value) }
    var value: Value {
        get { mutex.withLock { $0 } }
        set { mutex.withLock { $0 = newValue } }
    }
    func update<Result: Sendable>(_ body: @Sendable (inout Value) -> Result) -> Result { mutex.withLock { body(&$0) } }
}
