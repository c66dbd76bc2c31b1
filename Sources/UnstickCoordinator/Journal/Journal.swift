public import ControlAPI
import Foundation
import GRDB
import Synchronization
import UnstickCore

/// Why the journal cannot be used. Nothing was written.
public struct JournalError: Error, Sendable, CustomStringConvertible {
    public var message: String
    public var description: String { "journal: \(message)" }
}

/// The append-only record of everything that the coordinator did and why, and its state, in one SQLite file (WAL,
/// `synchronous=FULL`). One process at a time: a second one is refused by a lock on `PATH.lock`.
public final class Journal: Sendable {
    private struct Handles {
        var database: DatabaseQueue?
        var lock: Int32
    }

    private let handles: Mutex<Handles>
    let path: String

    /// Opens or creates the file. The file is readable by its owner only: it says who did what.
    public init(path: String) throws(JournalError) {
        self.path = path
        let lock = open("\(path).lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else {
            throw JournalError(message: "cannot create \(path).lock: \(String(cString: strerror(errno)))")
        }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            Foundation.close(lock)
            throw JournalError(message: "\(path) is in use by another coordinator")
        }
        do {
            var configuration = Configuration()
            configuration.journalMode = .wal
            configuration.busyMode = .timeout(5)
            configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = FULL") }
            let database = try DatabaseQueue(path: path, configuration: configuration)
            try database.write { try $0.execute(sql: Self.schema) }
            chmod(path, 0o600)
            handles = Mutex(Handles(database: database, lock: lock))
        } catch {
            Foundation.close(lock)
            throw JournalError(message: "cannot open \(path): \(error)")
        }
    }

    /// Releases file and lock. Everything after it fails.
    public func close() {
        handles.withLock { handles in
            try? handles.database?.close()
            handles.database = nil
            if handles.lock >= 0 { Foundation.close(handles.lock) }
            handles.lock = -1
        }
    }

    deinit { close() }

    private static let schema = """
        CREATE TABLE IF NOT EXISTS entries (
          sequence INTEGER PRIMARY KEY AUTOINCREMENT,
          time INTEGER NOT NULL, kind TEXT NOT NULL, operation INTEGER, epoch INTEGER NOT NULL,
          by TEXT, origin TEXT, reason TEXT, message TEXT NOT NULL, detail TEXT
        );
        CREATE TRIGGER IF NOT EXISTS entries_are_not_changed BEFORE UPDATE ON entries
          BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
        CREATE TRIGGER IF NOT EXISTS entries_are_not_deleted BEFORE DELETE ON entries
          BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
        CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS operations (id INTEGER PRIMARY KEY, json TEXT NOT NULL);
        """

    private func access<Value>(_ body: (DatabaseQueue) throws -> Value) throws(JournalError) -> Value {
        do {
            return try handles.withLock { handles in
                guard let database = handles.database else { throw JournalError(message: "\(path) is closed") }
                return try body(database)
            }
        } catch let error as JournalError {
            throw error
        } catch {
            throw JournalError(message: "\(path): \(error)")
        }
    }

    /// For tests of what the file itself refuses.
    func execute(_ sql: String) throws(JournalError) {
        try access { database in try database.write { try $0.execute(sql: sql) } }
    }

    // MARK: State

    func load() throws(JournalError) -> ControlState? {
        try access { database in
            guard
                let json = try database.read({ try String.fetchOne($0, sql: "SELECT json FROM state WHERE id = 1") })
            else { return nil }
            return try ControlJSON.decode(ControlState.self, from: json)
        }
    }

    /// Appends the entries and replaces the state, durably, or does neither.
    /// - Parameter finished: an operation that has just ended, so that its outcome is found under its id.
    func commit(
        _ entries: [JournalEntry], state: ControlState, finished: OperationStatus? = nil
    ) throws(JournalError) {
        try access { database in
            let json = try ControlJSON.text(state)
            try database.write { db in
                for entry in entries {
                    try db.execute(
                        sql: """
                            INSERT INTO entries (time, kind, operation, epoch, by, origin, reason, message, detail)
                            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                            """,
                        arguments: [
                            entry.time.rawValue, entry.kind.rawValue, entry.operation, Int64(entry.epoch.rawValue),
                            entry.by, entry.from, entry.reason, entry.message, entry.detail,
                        ])
                }
                try db.execute(
                    sql:
                        "INSERT INTO state (id, json) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET json = excluded.json",
                    arguments: [json])
                if let finished {
                    try db.execute(
                        sql: "INSERT OR REPLACE INTO operations (id, json) VALUES (?, ?)",
                        arguments: [finished.id, try ControlJSON.text(finished)])
                }
            }
        }
    }

    // MARK: Reading

    /// Sequence of the newest entry, 0 when there is none.
    func lastSequence() throws(JournalError) -> Int64 {
        try access { database in
            try database.read { try Int64.fetchOne($0, sql: "SELECT max(sequence) FROM entries") } ?? 0
        }
    }

    /// Entries with a sequence above `after`, oldest first.
    public func entries(after: Int64, limit: Int) throws(JournalError) -> [JournalEntry] {
        try access { database in
            try database.read { db in
                try Row.fetchAll(
                    db, sql: "SELECT * FROM entries WHERE sequence > ? ORDER BY sequence LIMIT ?",
                    arguments: [after, limit]
                ).map { row in
                    let epoch: Int64 = row["epoch"]
                    return JournalEntry(
                        sequence: row["sequence"], time: UnixMilliseconds(row["time"]),
                        kind: JournalEntry.Kind(rawValue: row["kind"]) ?? .event, operation: row["operation"],
                        epoch: Epoch(UInt64(epoch)), by: row["by"], from: row["origin"],
                        reason: row["reason"], message: row["message"], detail: row["detail"])
                }
            }
        }
    }

    /// An operation that has ended; nil when there is none of that id.
    func operation(_ id: Int64) throws(JournalError) -> OperationStatus? {
        try access { database in
            let json = try database.read {
                try String.fetchOne($0, sql: "SELECT json FROM operations WHERE id = ?", arguments: [id])
            }
            return try json.map { try ControlJSON.decode(OperationStatus.self, from: $0) }
        }
    }
}
