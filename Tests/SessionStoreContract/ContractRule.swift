public import NIOCore
public import SessionStore
import Synchronization
public import Testing
public import UnstickCore

/// One rule that every ``SessionStore`` keeps, as a check that can be run against any driver.
///
/// A driver's test target runs them all:
///
///     @Test("the driver keeps the contract", arguments: ContractRule.all)
///     func contract(rule: ContractRule) async throws {
///         let clock = AdjustableClock()
///         let store = try MyStore(clock: clock.now)
///         try await rule.check(ContractSubject(store: store, clock: clock, eventLoops: loops))
///         try await store.shutdown()
///     }
///
/// Each rule expects a store that is empty and in generation `none`.
public struct ContractRule: Sendable, CustomTestStringConvertible {
    /// A sentence.
    public let name: String
    /// Records a Swift Testing issue for each breach.
    public let check: @Sendable (ContractSubject) async throws -> Void

    init(_ name: String, _ check: @escaping @Sendable (ContractSubject) async throws -> Void) {
        self.name = name
        self.check = check
    }

    public var testDescription: String { name }

    public static let all = saving + destroying + touching + scanning + sweeping + generations + contents + concurrency
}

/// A time of day that stands still until the test moves it.
public final class AdjustableClock: Sendable {
    private let milliseconds: Mutex<Int64>

    /// - Parameter start: milliseconds since 1970.
    public init(start: Int64 = 1_800_000_000_000) { milliseconds = Mutex(start) }

    public var time: UnixMilliseconds { UnixMilliseconds(milliseconds.withLock { $0 }) }
    /// For the store's initializer.
    public var now: WallClock { { self.time } }
    public func advance(seconds: Int64) { milliseconds.withLock { $0 += seconds * 1000 } }
    public func advance(milliseconds step: Int64) { milliseconds.withLock { $0 += step } }
}

/// The store under test.
public struct ContractSubject: Sendable {
    public let store: any SessionStore
    /// The store's own clock.
    public let clock: AdjustableClock
    /// At least one; several make the concurrency rules meaningful.
    public let eventLoops: [any EventLoop]

    public init(store: any SessionStore, clock: AdjustableClock, eventLoops: [any EventLoop]) {
        self.store = store
        self.clock = clock
        self.eventLoops = eventLoops
    }

    var eventLoop: any EventLoop { eventLoops[0] }

    /// A record that lives for `ttl` seconds from now.
    public func record(
        _ id: String, version: UInt64, tag: UInt32 = 0x9f86_d081, generation: UInt64 = 1, writer: String = "inc-a",
        home: String = "web-1", ttl: Int64 = 1800, state: ByteBuffer = ByteBuffer(string: "{\"n\":1}")
    ) -> SessionRecord {
        SessionRecord(
            id: id, generation: Generation(generation), version: VersionTag(version: version, tag: tag), codec: "json",
            state: state, ttlSeconds: ttl, expiresAt: clock.time.adding(seconds: ttl), home: home, writer: writer)
    }

    func tombstone(
        _ id: String, version: UInt64, generation: UInt64 = 1, ttl: Int64 = 1800
    ) -> SessionRecord {
        var record = record(id, version: version, tag: 0, generation: generation, ttl: ttl, state: ByteBuffer())
        record.isTombstone = true
        return record
    }

    func save(_ record: SessionRecord, _ condition: SaveCondition = .newerWins) async throws -> SaveOutcome {
        try await store.save(record, when: condition, on: eventLoop).get()
    }

    func destroy(_ tombstone: SessionRecord) async throws -> SaveOutcome {
        try await store.destroy(tombstone, on: eventLoop).get()
    }

    func load(_ id: String) async throws -> SessionRecord? { try await store.load(id, on: eventLoop).get() }
    func version(_ id: String) async throws -> StoredVersion? { try await store.version(of: id, on: eventLoop).get() }

    func touch(
        _ id: String, generation: UInt64 = 1, ttl: Int64, home: String = "web-1"
    ) async throws -> Bool {
        try await store.touch(
            id, generation: Generation(generation), ttlSeconds: ttl, expiresAt: clock.time.adding(seconds: ttl),
            home: home, on: eventLoop
        ).get()
    }

    func sweep(olderThan generation: UInt64 = 1, limit: Int = 10_000) async throws -> Int {
        try await store.sweep(olderThan: Generation(generation), limit: limit, on: eventLoop).get()
    }

    /// All pages of a scan; `between` runs after each page.
    func scan(
        limit: Int, between: () async throws -> Void = {}
    ) async throws -> [ScannedSession] {
        var found: [ScannedSession] = []
        var cursor: String?
        repeat {
            let page = try await store.scan(after: cursor, limit: limit, on: eventLoop).get()
            #expect(page.sessions.count <= limit)
            found += page.sessions
            cursor = page.next
            try await between()
        } while cursor != nil
        return found
    }

    /// The code of a future that must fail.
    func failure<Value: Sendable>(_ future: EventLoopFuture<Value>) async -> StoreError? {
        do {
            _ = try await future.get()
            Issue.record("the operation succeeded, it should have failed")
            return nil
        } catch {
            guard let error = error as? StoreError else {
                Issue.record("\(error) is not a StoreError")
                return nil
            }
            return error
        }
    }
}

func tag(_ version: UInt64, _ tag: UInt32 = 0x9f86_d081) -> VersionTag { VersionTag(version: version, tag: tag) }
