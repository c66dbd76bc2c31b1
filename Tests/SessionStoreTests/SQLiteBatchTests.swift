import GRDB
import NIOCore
import SQLiteSessionStore
import SessionStore
import SessionStoreContract
import Testing
import UnstickCore

/// Group commits, deadlines and limits. A plain connection that holds SQLite's write lock makes operations wait.
@Suite("SQLite store's batches")
struct SQLiteBatchTests {
    /// Runs the body while another connection holds the write lock, then releases it.
    private func whileLocked<Value>(_ file: StoreFileFixture, _ body: () async throws -> Value) async throws -> Value {
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        let other = try DatabaseQueue(path: file.path, configuration: configuration)
        try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        let value = try await body()
        try await other.writeWithoutTransaction { try $0.execute(sql: "COMMIT") }
        return value
    }

    @Test("saves of many event loops share transactions")
    func groupCommit() async throws {
        try await withStoreFile { file in
            let store = try file.open()
            let futures = (0..<1000).map { number in
                store.save(file.record("s\(number)"), when: .newerWins, on: loops[number % loops.count])
            }
            for future in futures { _ = try await future.get() }
            let statistics = store.statistics
            #expect(statistics.writes == 1000)
            #expect(statistics.writeTransactions <= 100, "\(statistics.writeTransactions) transactions")
            #expect(statistics.waitingWrites == 0)
            try await store.shutdown()
        }
    }

    @Test("a transaction takes no more operations than its limit")
    func batchLimit() async throws {
        try await withStoreFile { file in
            let store = try file.open(.init(batchLimit: 10))
            let futures = try await whileLocked(file) {
                (0..<100).map { store.save(file.record("s\($0)"), when: .newerWins, on: loop) }
            }
            for future in futures { _ = try await future.get() }
            #expect(store.statistics.writeTransactions == 10)
            try await store.shutdown()
        }
    }

    @Test("what waited for another process's lock is done in one transaction")
    func waitingForLock() async throws {
        try await withStoreFile { file in
            let store = try file.open()
            let futures = try await whileLocked(file) { () async throws in
                let futures = (0..<100).map { store.save(file.record("s\($0)"), when: .newerWins, on: loop) }
                #expect(try await store.version(of: "s1", on: loop).get() == nil, "readers do not wait for writers")
                return futures
            }
            for future in futures { _ = try await future.get() }
            #expect(store.statistics.writeTransactions == 1)
            try await store.shutdown()
        }
    }

    @Test("one operation that fails leaves the others of its transaction alone")
    func isolation() async throws {
        try await withStoreFile { file in
            let store = try file.open()
            try await file.connection().write {
                try $0.execute(
                    sql: """
                        CREATE TRIGGER refuse BEFORE INSERT ON sessions WHEN NEW.home = 'bad'
                        BEGIN SELECT RAISE(ABORT, 'refused by the test'); END
                        """)
            }
            let futures = try await whileLocked(file) {
                (0..<9).map {
                    store.save(file.record("s\($0)", home: $0 == 4 ? "bad" : "web-1"), when: .newerWins, on: loop)
                }
            }
            for (number, future) in futures.enumerated() {
                if number == 4 {
                    #expect(await failure(future)?.message.contains("refused by the test") == true)
                } else {
                    #expect(try await future.get() == .stored(VersionTag(version: 1, tag: 1)))
                }
            }
            #expect(store.statistics.writeTransactions == 1)
            #expect(try await store.scan(after: nil, limit: 100, on: loop).get().sessions.count == 8)
            try await store.shutdown()
        }
    }

    @Test("a transaction that is rolled back acknowledges none of its operations")
    func rollback() async throws {
        try await withStoreFile { file in
            let store = try file.open()
            try await file.connection().write {
                try $0.execute(
                    sql: """
                        CREATE TRIGGER refuse BEFORE INSERT ON sessions WHEN NEW.home = 'bad'
                        BEGIN SELECT RAISE(ROLLBACK, 'rolled back by the test'); END
                        """)
            }
            let futures = try await whileLocked(file) {
                (0..<9).map {
                    store.save(file.record("s\($0)", home: $0 == 4 ? "bad" : "web-1"), when: .newerWins, on: loop)
                }
            }
            for future in futures { #expect(await failure(future) != nil) }
            #expect(try await store.scan(after: nil, limit: 100, on: loop).get().sessions.isEmpty)
            _ = try await store.save(file.record("after"), when: .newerWins, on: loop).get()
            try await store.shutdown()
        }
    }

    @Test("a write that is not begun in time is cancelled and says so")
    func deadline() async throws {
        try await withStoreFile { file in
            let store = try file.open(.init(operationTimeout: .milliseconds(50)))
            try await whileLocked(file) {
                let error = await failure(store.save(file.record("late"), when: .newerWins, on: loop))
                #expect(error?.code == .timedOut)
                #expect(error?.message.contains("not begun within 0.05 seconds") == true, "\(error?.message ?? "")")
                #expect(error?.message.contains("cancelled") == true)
            }
            #expect(try await store.begin(Generation(1), on: loop).get())
            #expect(try await store.version(of: "late", on: loop).get() == nil)
            try await store.shutdown()
        }
    }

    @Test("a write waits for another process's lock up to its own deadline, however often SQLite gives up")
    func longLock() async throws {
        try await withStoreFile { file in
            let store = try file.open()
            // SQLite gives up after about 0.3 seconds; the second store's deadline measures a longer time than that.
            let impatient = try file.open(.init(operationTimeout: .milliseconds(700)))
            let future = try await whileLocked(file) { () async throws in
                let future = store.save(file.record("patient"), when: .newerWins, on: loop)
                let error = await failure(impatient.save(file.record("late"), when: .newerWins, on: loop))
                #expect(error?.code == .timedOut)
                return future
            }
            #expect(try await future.get() == .stored(VersionTag(version: 1, tag: 1)))
            try await impatient.shutdown()
            try await store.shutdown()
        }
    }

    @Test("operations over the queue's limit are refused as overloaded")
    func overload() async throws {
        try await withStoreFile { file in
            let store = try file.open(.init(waitingLimit: 10, waitingBytesLimit: 1000))
            let futures = try await whileLocked(file) { () async throws in
                let futures = (0..<10).map { store.save(file.record("s\($0)"), when: .newerWins, on: loop) }
                let error = await failure(store.save(file.record("over"), when: .newerWins, on: loop))
                #expect(error?.code == .overloaded)
                #expect(error?.message.contains("10") == true)
                return futures
            }
            for future in futures { _ = try await future.get() }
            try await store.shutdown()
        }
    }

    @Test("states over the queue's bytes are refused as overloaded, one alone is not")
    func overloadBytes() async throws {
        try await withStoreFile { file in
            let store = try file.open(.init(waitingBytesLimit: 1000))
            var big = file.record("big")
            big.state = ByteBuffer(repeating: 0, count: 2000)
            let accepted = try await whileLocked(file) {
                let accepted = store.save(big, when: .newerWins, on: loop)
                #expect(
                    await failure(store.save(file.record("small"), when: .newerWins, on: loop))?.code == .overloaded)
                return accepted
            }
            #expect(try await accepted.get() == .stored(big.version))
            try await store.shutdown()
        }
    }

    @Test("a shutdown completes what was accepted")
    func shutdown() async throws {
        try await withStoreFile { file in
            let store = try file.open()
            let futures = (0..<500).map { store.save(file.record("s\($0)"), when: .newerWins, on: loop) }
            try await store.shutdown()
            for future in futures { #expect(try await future.get() == .stored(VersionTag(version: 1, tag: 1))) }
            let again = try file.open()
            #expect(try await again.scan(after: nil, limit: 1000, on: loop).get().sessions.count == 500)
            try await again.shutdown()
        }
    }
}
