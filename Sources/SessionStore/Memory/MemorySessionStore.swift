public import NIOCore
public import SessionStore
import Synchronization
public import UnstickCore

/// A store in this process's memory, for tests and benchmarks: nothing survives the process, so ``probe(on:)`` says that
/// it is not durable and `mirror` refuses it.
///
/// Every operation is done before it returns, so its future has already succeeded. Wrap it in a ``FaultyStore`` to
/// make it fail or wait. Memory is not limited; expired records stay until they are swept or replaced.
public final class MemorySessionStore: SessionStore {
    private let clock: WallClock
    private let run = Mutex(Run())
    private let shards: [Shard]

    private struct Run {
        var generation = Generation.none
        var isShutDown = false
    }

    /// Ids are compared by their bytes: Swift's own comparison of strings takes canonically equivalent ones for the same.
    struct Key: Hashable, Comparable {
        let id: String
        static func == (lhs: Key, rhs: Key) -> Bool {
            let bytes = lhs.id.utf8.withContiguousStorageIfAvailable { one in
                rhs.id.utf8.withContiguousStorageIfAvailable { one.count == $0.count && one.elementsEqual($0) }
            }
            return bytes.flatMap { $0 } ?? lhs.id.utf8.elementsEqual(rhs.id.utf8)
        }
        static func < (lhs: Key, rhs: Key) -> Bool { lhs.id.utf8.lexicographicallyPrecedes(rhs.id.utf8) }
        func hash(into hasher: inout Hasher) {
            var id = id
            id.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        }
    }

    // A class because a Mutex cannot be an element of an array.
    private final class Shard: Sendable {
        let records = Mutex<[Key: SessionRecord]>([:])
    }

    /// - Parameter clock: decides what has expired.
    public init(clock: @escaping WallClock) {
        self.clock = clock
        shards = (0..<16).map { _ in Shard() }
    }

    private func answer<Value: Sendable>(
        on eventLoop: any EventLoop, _ body: () throws(StoreError) -> Value
    ) -> EventLoopFuture<Value> {
        do throws(StoreError) {
            guard !run.withLock({ $0.isShutDown }) else {
                throw StoreError(code: .unavailable, message: "the memory store was shut down")
            }
            return eventLoop.makeSucceededFuture(try body())
        } catch {
            return eventLoop.makeFailedFuture(error)
        }
    }

    private func shard(_ key: Key) -> Shard { shards[Int(truncatingIfNeeded: StableHash.hash(key.id) % 16)] }

    private func live(_ record: SessionRecord?) -> SessionRecord? {
        record.flatMap { $0.expiresAt > clock() ? $0 : nil }
    }

    public func generation(on eventLoop: any EventLoop) -> EventLoopFuture<Generation> {
        answer(on: eventLoop) { run.withLock { $0.generation } }
    }

    public func begin(_ generation: Generation, on eventLoop: any EventLoop) -> EventLoopFuture<Bool> {
        answer(on: eventLoop) { () throws(StoreError) in
            try SessionRecord.check(generation)
            return run.withLock { run in
                guard generation >= run.generation else { return false }
                run.generation = generation
                return true
            }
        }
    }

    public func version(of id: String, on eventLoop: any EventLoop) -> EventLoopFuture<StoredVersion?> {
        answer(on: eventLoop) { () throws(StoreError) in
            try SessionRecord.check(id: id)
            let key = Key(id: id)
            return live(shard(key).records.withLock { $0[key] })?.stored
        }
    }

    public func load(_ id: String, on eventLoop: any EventLoop) -> EventLoopFuture<SessionRecord?> {
        answer(on: eventLoop) { () throws(StoreError) in
            try SessionRecord.check(id: id)
            let key = Key(id: id)
            return live(shard(key).records.withLock { $0[key] })
        }
    }

    public func save(
        _ record: SessionRecord, when condition: SaveCondition, on eventLoop: any EventLoop
    ) -> EventLoopFuture<SaveOutcome> {
        answer(on: eventLoop) { () throws(StoreError) in
            try record.check(asTombstone: false)
            return replace(by: record) { SaveDecision.decide(record, when: condition, current: $0) }
        }
    }

    public func destroy(_ tombstone: SessionRecord, on eventLoop: any EventLoop) -> EventLoopFuture<SaveOutcome> {
        answer(on: eventLoop) { () throws(StoreError) in
            try tombstone.check(asTombstone: true)
            return replace(by: tombstone) { SaveDecision.decide(destroying: tombstone, current: $0) }
        }
    }

    private func replace(by record: SessionRecord, decide: (StoredVersion?) -> SaveDecision) -> SaveOutcome {
        let key = Key(id: record.id)
        return shard(key).records.withLock { records in
            switch decide(live(records[key])?.stored) {
            case .keep(let outcome): return outcome
            case .store(let version):
                var record = record
                record.version = version
                records[key] = record
                return .stored(version)
            }
        }
    }

    public func touch(
        _ id: String, generation: Generation, ttlSeconds: Int64, expiresAt: UnixMilliseconds, home: String,
        on eventLoop: any EventLoop
    ) -> EventLoopFuture<Bool> {
        answer(on: eventLoop) { () throws(StoreError) in
            try SessionRecord.check(id: id)
            try SessionRecord.check(home: home)
            let key = Key(id: id)
            return shard(key).records.withLock { records in
                guard var record = live(records[key]), !record.isTombstone, record.generation == generation else {
                    return false
                }
                record.ttlSeconds = ttlSeconds
                record.expiresAt = max(record.expiresAt, expiresAt)
                record.home = home
                records[key] = record
                return true
            }
        }
    }

    public func scan(after cursor: String?, limit: Int, on eventLoop: any EventLoop) -> EventLoopFuture<ScanPage> {
        answer(on: eventLoop) { () throws(StoreError) in
            try SessionRecord.check(limit: limit)
            let now = clock()
            let first = cursor.map(Key.init(id:))
            var found: [(key: Key, stored: StoredVersion)] = []
            for shard in shards {
                shard.records.withLock { records in
                    for (key, record) in records where record.expiresAt > now && first.map({ $0 < key }) ?? true {
                        found.append((key, record.stored))
                    }
                }
            }
            found.sort { $0.key < $1.key }
            let page = found.prefix(limit).map { ScannedSession(id: $0.key.id, stored: $0.stored) }
            return ScanPage(sessions: page, next: found.count > limit ? page.last?.id : nil)
        }
    }

    public func sweep(
        olderThan generation: Generation, limit: Int, on eventLoop: any EventLoop
    ) -> EventLoopFuture<Int> {
        answer(on: eventLoop) { () throws(StoreError) in
            try SessionRecord.check(limit: limit)
            let now = clock()
            var left = limit
            for shard in shards where left > 0 {
                shard.records.withLock { records in
                    let doomed = records.lazy.filter { $0.value.expiresAt <= now || $0.value.generation < generation }
                        .map(\.key).prefix(left)
                    for key in Array(doomed) {
                        records[key] = nil
                        left -= 1
                    }
                }
            }
            return limit - left
        }
    }

    public func probe(on eventLoop: any EventLoop) -> EventLoopFuture<StoreProbe> {
        answer(on: eventLoop) {
            StoreProbe(
                description: "memory", isDurable: false, mayEvict: false, roundTrip: .zero,
                problems: ["sessions live in this process's memory only; set store.url to a durable store"])
        }
    }

    public func shutdown() async throws {
        run.withLock { $0.isShutDown = true }
        for shard in shards { shard.records.withLock { $0.removeAll() } }
    }
}
