public import Logging
public import NIOCore
public import SessionStore
import Synchronization
public import UnstickCore

/// The embedded store: one SQLite file, which several processes of one machine may share.
///
/// Every write is durable (write-ahead log, `synchronous=FULL`) before its future succeeds. One worker takes all that
/// waits from all event loops and commits it together, so that many sessions cost one flush of the disk; a second
/// worker with a connection of its own does the same for reads, each batch in a new transaction, so that a read sees
/// every save that completed before it began. Nothing is cached in the process.
///
/// While the file is removed or replaced all operations fail as `unavailable`. The store goes over to a new file only
/// when that holds a higher generation than it has seen, or when ``begin(_:on:)`` is asked for one. Whoever opens a
/// store at a path without a file gets an empty one whose ``generation(on:)`` is `Generation.none`: compare it with the
/// generation that the routing table names before you believe that a session is absent.
public final class SQLiteSessionStore: SessionStore {
    public struct Settings: Sendable {
        /// What does not begin within this time is cancelled. More than zero.
        public var operationTimeout: Duration
        /// Operations that may wait, for writes and for reads each.
        public var waitingLimit: Int
        /// Bytes of states that may wait.
        public var waitingBytesLimit: Int
        /// Operations in one transaction.
        public var batchLimit: Int
        /// Bytes of states in one transaction.
        public var batchBytesLimit: Int

        public init(
            operationTimeout: Duration = .seconds(5), waitingLimit: Int = 16_384, waitingBytesLimit: Int = 256 << 20,
            batchLimit: Int = 512, batchBytesLimit: Int = 32 << 20
        ) {
            self.operationTimeout = operationTimeout
            self.waitingLimit = waitingLimit
            self.waitingBytesLimit = waitingBytesLimit
            self.batchLimit = batchLimit
            self.batchBytesLimit = batchBytesLimit
        }
    }

    /// What was done since the store was opened, and what waits.
    public struct Statistics: Sendable, Equatable {
        public var writeTransactions: Int
        public var writes: Int
        public var readTransactions: Int
        public var reads: Int
        public var waitingWrites: Int
        public var waitingReads: Int
    }

    private let path: StorePath
    private let settings: Settings
    private let writer: StoreWorker
    private let reader: StoreWorker
    private let writes: BatchQueue
    private let reads: BatchQueue

    /// Opens the file, or creates it with permissions 0600. Blocks while it does; not for an event loop.
    /// - Parameters:
    ///   - path: relative to the working directory at this moment, or absolute.
    ///   - clock: decides what has expired. Processes that share the file should agree on the time.
    /// - Throws: `corrupt` if the file is something else than a store or of a newer program, `readOnly`, `full`, or
    ///   `unavailable`, each with the path.
    public static func open(
        path: String, clock: @escaping WallClock, settings: Settings = Settings(),
        logger: Logger = Logger(label: "unstick.store")
    ) throws(StoreError) -> SQLiteSessionStore {
        let path = try StorePath(path)
        let writer = try StoreFile.open(path, as: .writer, mayCreate: true)
        let reader = try StoreFile.open(path, as: .reader, mayCreate: false)
        guard writer.identity == reader.identity else { throw StoreFile.removed(path) }
        return SQLiteSessionStore(path, writer, reader, clock, settings, logger)
    }

    private init(
        _ path: StorePath, _ writerFile: StoreFile, _ readerFile: StoreFile, _ clock: @escaping WallClock,
        _ settings: Settings, _ logger: Logger
    ) {
        self.path = path
        self.settings = settings
        let allegiance = StoreAllegiance(writerFile)
        let writer = StoreWorker(
            writerFile, path: path, role: .writer, clock: clock, allegiance: allegiance, logger: logger)
        let reader = StoreWorker(
            readerFile, path: path, role: .reader, clock: clock, allegiance: allegiance, logger: logger)
        let limits = BatchQueue.Limits(
            waiting: settings.waitingLimit, waitingBytes: settings.waitingBytesLimit, batch: settings.batchLimit,
            batchBytes: settings.batchBytesLimit)
        self.writer = writer
        self.reader = reader
        writes = BatchQueue(name: "write", limits: limits, timeout: settings.operationTimeout) { writer.work($0) }
        reads = BatchQueue(name: "read", limits: limits, timeout: settings.operationTimeout) { reader.work($0) }
    }

    public var statistics: Statistics {
        Statistics(
            writeTransactions: writer.transactions.load(ordering: .relaxed),
            writes: writer.operations.load(ordering: .relaxed),
            readTransactions: reader.transactions.load(ordering: .relaxed),
            reads: reader.operations.load(ordering: .relaxed),
            waitingWrites: writes.waitingCount, waitingReads: reads.waitingCount)
    }

    // MARK: Operations

    public func generation(on eventLoop: any EventLoop) -> EventLoopFuture<Generation> {
        read(on: eventLoop) { table throws(SQLiteFailure) in try table.generation() }
    }

    public func begin(_ generation: Generation, on eventLoop: any EventLoop) -> EventLoopFuture<Bool> {
        if let error = refusal({ () throws(StoreError) in try SessionRecord.check(generation) }) {
            return eventLoop.makeFailedFuture(error)
        }
        return write(on: eventLoop, beginning: generation) { table throws(SQLiteFailure) in try table.begin(generation)
        }
    }

    public func version(of id: String, on eventLoop: any EventLoop) -> EventLoopFuture<StoredVersion?> {
        if let error = refusal({ () throws(StoreError) in try SessionRecord.check(id: id) }) {
            return eventLoop.makeFailedFuture(error)
        }
        return read(on: eventLoop) { table throws(SQLiteFailure) in try table.version(of: id) }
    }

    public func load(_ id: String, on eventLoop: any EventLoop) -> EventLoopFuture<SessionRecord?> {
        if let error = refusal({ () throws(StoreError) in try SessionRecord.check(id: id) }) {
            return eventLoop.makeFailedFuture(error)
        }
        return read(on: eventLoop) { table throws(SQLiteFailure) in try table.load(id) }
    }

    public func save(
        _ record: SessionRecord, when condition: SaveCondition, on eventLoop: any EventLoop
    ) -> EventLoopFuture<SaveOutcome> {
        if let error = refusal({ () throws(StoreError) in try record.check(asTombstone: false) }) {
            return eventLoop.makeFailedFuture(error)
        }
        return write(on: eventLoop, bytes: record.state.readableBytes) { table throws(SQLiteFailure) in
            try table.save(record, when: condition)
        }
    }

    public func destroy(_ tombstone: SessionRecord, on eventLoop: any EventLoop) -> EventLoopFuture<SaveOutcome> {
        if let error = refusal({ () throws(StoreError) in try tombstone.check(asTombstone: true) }) {
            return eventLoop.makeFailedFuture(error)
        }
        return write(on: eventLoop) { table throws(SQLiteFailure) in try table.destroy(tombstone) }
    }

    public func touch(
        _ id: String, generation: Generation, ttlSeconds: Int64, expiresAt: UnixMilliseconds, home: String,
        on eventLoop: any EventLoop
    ) -> EventLoopFuture<Bool> {
        let error = refusal { () throws(StoreError) in
            try SessionRecord.check(id: id)
            try SessionRecord.check(home: home)
        }
        if let error { return eventLoop.makeFailedFuture(error) }
        return write(on: eventLoop) { table throws(SQLiteFailure) in
            try table.touch(id, generation: generation, ttlSeconds: ttlSeconds, expiresAt: expiresAt, home: home)
        }
    }

    public func scan(after cursor: String?, limit: Int, on eventLoop: any EventLoop) -> EventLoopFuture<ScanPage> {
        if let error = refusal({ () throws(StoreError) in try SessionRecord.check(limit: limit) }) {
            return eventLoop.makeFailedFuture(error)
        }
        return read(on: eventLoop) { table throws(SQLiteFailure) in try table.scan(after: cursor, limit: limit) }
    }

    public func sweep(
        olderThan generation: Generation, limit: Int, on eventLoop: any EventLoop
    ) -> EventLoopFuture<Int> {
        let error = refusal { () throws(StoreError) in
            try SessionRecord.check(generation)
            try SessionRecord.check(limit: limit)
        }
        if let error { return eventLoop.makeFailedFuture(error) }
        return write(on: eventLoop) { table throws(SQLiteFailure) in
            try table.sweep(olderThan: generation, limit: limit)
        }
    }

    /// Writes and reads a counter of its own; sessions are not touched.
    public func probe(on eventLoop: any EventLoop) -> EventLoopFuture<StoreProbe> {
        let start = NIODeadline.now()
        return write(on: eventLoop) { table throws(SQLiteFailure) in
            (try table.writeProbe(), try table.settings())
        }.flatMap { written, settings in
            self.read(on: eventLoop) { table throws(SQLiteFailure) in try table.readProbe() }.flatMapThrowing { read in
                let roundTrip = NIODeadline.now() - start
                guard read >= written else {
                    throw StoreError(
                        code: .corrupt,
                        message: "\(self.path.given): probe \(written) was written and \(read) read back")
                }
                return self.probe(settings, roundTrip: .nanoseconds(roundTrip.nanoseconds))
            }
        }
    }

    private func probe(_ settings: SQLiteSettings, roundTrip: Duration) -> StoreProbe {
        let isSafe = settings.isWriteAheadLogged && settings.isFullySynchronous
        var problems = path.problems
        if !isSafe { problems.append("\(path.given): SQLite does not flush each commit (\(settings))") }
        return StoreProbe(
            description: "sqlite \(path.given) (\(settings))", isDurable: isSafe && !path.isInMemory, mayEvict: false,
            roundTrip: roundTrip, problems: problems)
    }

    public func shutdown() async throws {
        await writes.close()
        await reads.close()
        // The writer last: the last connection to close writes the log back into the file.
        try reader.close()
        try writer.close()
    }

    // MARK: Queueing

    private func refusal(_ check: () throws(StoreError) -> Void) -> StoreError? {
        do throws(StoreError) {
            try check()
            return nil
        } catch {
            return error
        }
    }

    private func write<Value: Sendable>(
        on eventLoop: any EventLoop, bytes: Int = 0, beginning: Generation? = nil,
        _ body: @escaping @Sendable (SessionTable) throws(SQLiteFailure) -> Value
    ) -> EventLoopFuture<Value> {
        submit(to: writes, on: eventLoop, bytes: bytes, beginning: beginning, body)
    }

    private func read<Value: Sendable>(
        on eventLoop: any EventLoop, _ body: @escaping @Sendable (SessionTable) throws(SQLiteFailure) -> Value
    ) -> EventLoopFuture<Value> {
        submit(to: reads, on: eventLoop, bytes: 0, beginning: nil, body)
    }

    private func submit<Value: Sendable>(
        to queue: BatchQueue, on eventLoop: any EventLoop, bytes: Int, beginning: Generation?,
        _ body: @escaping @Sendable (SessionTable) throws(SQLiteFailure) -> Value
    ) -> EventLoopFuture<Value> {
        let settlement = Settlement(eventLoop.makePromise(of: Value.self))
        queue.submit(
            BatchEntry(
                bytes: bytes,
                deadline: .now() + TimeAmount(settings.operationTimeout),
                eventLoop: eventLoop,
                run: { table throws(SQLiteFailure) in
                    let value = try body(table)
                    return { settlement.settle(.success(value)) }
                },
                fail: { settlement.settle(.failure($0)) },
                beginning: beginning?.rawValue))
        return settlement.promise.futureResult
    }
}

/// A promise that takes the first of several results: the answer, or the deadline.
private final class Settlement<Value: Sendable>: Sendable {
    let promise: EventLoopPromise<Value>
    private let isSettled = Atomic(false)

    init(_ promise: EventLoopPromise<Value>) { self.promise = promise }

    func settle(_ result: Result<Value, any Error>) {
        guard !isSettled.exchange(true, ordering: .acquiringAndReleasing) else { return }
        promise.completeWith(result)
    }
}
