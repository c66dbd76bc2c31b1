import GRDB
import GRDBSQLite
import Logging
import NIOCore
import SessionStore
import Synchronization
import UnstickCore

/// What the store's two connections must agree on: which file it is, and the highest generation seen in it.
final class StoreAllegiance: Sendable {
    struct Value {
        var file: StorePath.Identity
        var generation: Generation
    }

    private let value: Mutex<Value>

    init(_ file: StoreFile) { value = Mutex(Value(file: file.identity, generation: file.generation)) }

    var current: Value { value.withLock { $0 } }

    func raise(to generation: Generation) { value.withLock { $0.generation = max($0.generation, generation) } }

    /// Goes over to the file if the other connection already has, or if it holds a newer run.
    /// - Parameter isBeginning: whether the operation that waits begins a newer run in it.
    func move(to file: StoreFile, isBeginning: Bool) -> Bool {
        value.withLock { value in
            if file.identity == value.file { return true }
            guard isBeginning || file.generation > value.generation else { return false }
            value.file = file.identity
            value.generation = max(value.generation, file.generation)
            return true
        }
    }
}

/// Runs batches on one connection: all that waits in one transaction, which is durable before anything is answered.
///
/// **A file that is removed or replaced.** SQLite would go on with the file it has open: saves would be acknowledged
/// into the void. So the path is compared with the open file before each transaction and again after each commit, and
/// while they differ every operation fails. Going over to the new file would be as bad: its sessions would read as
/// absent, and clients would be logged out. It is safe only when a newer mirroring run has begun in it, because copies
/// of older runs are never hydrated; so a file is adopted when its generation is higher than any seen before, or when
/// the operation that waits begins one that is.
final class StoreWorker: Sendable {
    private let path: StorePath
    private let role: StoreFile.Role
    private let clock: WallClock
    private let allegiance: StoreAllegiance
    private let logger: Logger
    private let file: Mutex<StoreFile?>
    private let isLost = Atomic(false)
    let transactions = Atomic(0)
    let operations = Atomic(0)

    init(
        _ file: StoreFile, path: StorePath, role: StoreFile.Role, clock: @escaping WallClock,
        allegiance: StoreAllegiance,
        logger: Logger
    ) {
        self.file = Mutex(file)
        self.path = path
        self.role = role
        self.clock = clock
        self.allegiance = allegiance
        self.logger = logger
    }

    /// Runs one batch of the queue, or fails what waits.
    func work(_ queue: BatchQueue) {
        do throws(StoreError) {
            let file = try currentFile(queue)
            let result = file.queue.writeWithoutTransaction { database in
                Result { () throws(StoreError) in try runBatch(queue, database, file) }
            }
            try result.get()
        } catch {
            queue.failWaiting(error)
        }
    }

    private func currentFile(_ queue: BatchQueue) throws(StoreError) -> StoreFile {
        let identity = path.identity
        if let file = file.withLock({ $0 }), file.identity == identity {
            if isLost.exchange(false, ordering: .relaxed) { logger.notice("the database file is back") }
            return file
        }
        do throws(StoreError) {
            let current = allegiance.current
            // With the same file and another log there is nothing to go over to, and opening it would make it worse.
            guard identity?.database != file.withLock({ $0?.identity.database }) else { throw StoreFile.removed(path) }
            let isBeginning =
                role == .writer
                && queue.waitingContains { $0.beginning.map { $0 > current.generation.rawValue } ?? false }
            let found = try StoreFile.open(path, as: role, mayCreate: isBeginning)
            guard allegiance.move(to: found, isBeginning: isBeginning) else { throw StoreFile.removed(path) }
            logger.warning(
                "a newer mirroring run has begun in a new database file; the old file is given up",
                metadata: ["path": "\(path.given)", "role": "\(role)", "generation": "\(found.generation)"])
            file.withLock { $0 = found }
            isLost.store(false, ordering: .relaxed)
            return found
        } catch {
            if !isLost.exchange(true, ordering: .relaxed) { logger.error("\(error)", metadata: ["role": "\(role)"]) }
            throw error
        }
    }

    private func runBatch(_ queue: BatchQueue, _ database: Database, _ file: StoreFile) throws(StoreError) {
        do {
            try database.beginTransaction(role == .writer ? .immediate : .deferred)
        } catch {
            let failure = SQLiteFailure(error, of: database.sqliteConnection)
            // Another process writes. What waits keeps its place, and its deadline; the worker comes again at once.
            if failure.isBusy { return }
            throw failure.storeError(path: path.given)
        }
        // Taken only now: what came while we waited for the lock is in, and what ran out meanwhile was never begun.
        var batch = queue.takeBatch()
        var more = batch
        defer { queue.endBatch() }
        var answers: [(entry: BatchEntry, answer: @Sendable () -> Void)] = []
        answers.reserveCapacity(batch.count)
        do throws(StoreError) {
            let table = SessionTable(database: database, now: clock())
            allegiance.raise(to: try step { () throws(SQLiteFailure) in try table.generation() })
            repeat {
                for entry in more { answers.append((entry, try perform(entry, in: table))) }
                // The flush costs more than a few operations: those that came meanwhile are done along with these. Not
                // reads: what was saved after this transaction began is not in what it sees.
                more = role == .writer ? queue.takeBatch() : []
                batch += more
            } while !more.isEmpty
            try commit(database)
            if role == .writer {
                // A commit into a file that was removed meanwhile is none.
                guard path.identity == file.identity else { throw StoreFile.removed(path) }
                for case let generation? in batch.map(\.beginning) { allegiance.raise(to: Generation(generation)) }
            }
        } catch {
            if database.isInsideTransaction { try? database.rollback() }
            for entry in batch { entry.fail(error) }
            return
        }
        transactions.wrappingAdd(1, ordering: .relaxed)
        operations.wrappingAdd(batch.count, ordering: .relaxed)
        deliver(answers)
    }

    /// - Throws: when the transaction cannot go on, not when the operation alone has failed.
    private func perform(_ entry: BatchEntry, in table: SessionTable) throws(StoreError) -> @Sendable () -> Void {
        do throws(SQLiteFailure) {
            return try entry.run(table)
        } catch {
            let failure = error.storeError(path: path.given)
            let isOver = sqlite3_get_autocommit(table.database.sqliteConnection) != 0
            if isOver || error.endsTransaction { throw failure }
            // The statement has undone itself; the others go on.
            return { entry.fail(failure) }
        }
    }

    private func step<Value>(_ body: () throws(SQLiteFailure) -> Value) throws(StoreError) -> Value {
        do throws(SQLiteFailure) { return try body() } catch { throw error.storeError(path: path.given) }
    }

    private func commit(_ database: Database) throws(StoreError) {
        do {
            try database.commit()
        } catch {
            throw SQLiteFailure(error, of: database.sqliteConnection).storeError(
                path: path.given, isCommit: role == .writer)
        }
    }

    /// One wake-up for each event loop, however many of its operations were in the batch.
    private func deliver(_ answers: [(entry: BatchEntry, answer: @Sendable () -> Void)]) {
        var groups: [(eventLoop: any EventLoop, answers: [@Sendable () -> Void])] = []
        for (entry, answer) in answers {
            if let index = groups.firstIndex(where: { $0.eventLoop === entry.eventLoop }) {
                groups[index].answers.append(answer)
            } else {
                groups.append((entry.eventLoop, [answer]))
            }
        }
        for (eventLoop, answers) in groups {
            eventLoop.execute { for answer in answers { answer() } }
        }
    }

    func close() throws(StoreError) {
        guard
            let file = file.withLock({ file in
                defer { file = nil }; return file
            })
        else { return }
        do { try file.queue.close() } catch { throw SQLiteFailure(error).storeError(path: path.given) }
    }
}
