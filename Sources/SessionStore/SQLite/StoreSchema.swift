import GRDB
import SessionStore

/// The tables of a store's file.
///
/// `sessions` has a rowid although ids are unique: in a WITHOUT ROWID table a row of more than about a quarter of a
/// page spills into overflow pages, and a session of 1 KiB is just that. `state` is the last column, so that versions
/// are read without a big state's overflow pages. One index serves both halves of a sweep: older generations are a
/// range of it, and so are the expired rows of one generation.
enum StoreSchema {
    /// "Ustk" in ASCII, so that `file` and we know the file for what it is.
    static let applicationID: Int64 = 0x5573_746B
    static let version: Int64 = 1

    /// Creates the tables in an empty database and refuses one that is not ours or too new.
    /// - Parameter mayCreate: whether an empty database may become a store.
    static func prepare(_ database: Database, path: String, mayCreate: Bool) throws {
        // Not before this: a stranger's file must not be changed, and the journal mode is a property of the file.
        if try isReady(database, path: path) {
            try database.execute(sql: "PRAGMA journal_mode = WAL")
            return
        }
        guard mayCreate else {
            throw StoreError(code: .unavailable, message: "\(path): the file holds no sessions table")
        }
        try database.execute(sql: "PRAGMA journal_mode = WAL")
        // Several processes may open a new file at the same time: only one of them creates the tables.
        try database.inTransaction(.immediate) {
            if try isReady(database, path: path) { return .rollback }
            try database.execute(
                sql: """
                    CREATE TABLE meta (
                      only INTEGER PRIMARY KEY CHECK (only = 1),
                      schema INTEGER NOT NULL,
                      generation INTEGER NOT NULL,
                      probe INTEGER NOT NULL
                    ) STRICT;
                    INSERT INTO meta VALUES (1, \(version), 0, 0);
                    CREATE TABLE sessions (
                      id TEXT NOT NULL UNIQUE,
                      generation INTEGER NOT NULL,
                      version INTEGER NOT NULL,
                      tag INTEGER NOT NULL,
                      ttl INTEGER NOT NULL,
                      expires_at INTEGER NOT NULL,
                      tombstone INTEGER NOT NULL,
                      codec TEXT NOT NULL,
                      home TEXT NOT NULL,
                      writer TEXT NOT NULL,
                      state BLOB NOT NULL
                    ) STRICT;
                    CREATE INDEX sessions_by_end ON sessions (generation, expires_at);
                    PRAGMA application_id = \(applicationID);
                    """)
            return .commit
        }
    }

    private static func isReady(_ database: Database, path: String) throws -> Bool {
        // The tables first: another process may create them between two reads, with the application's number in the same
        // commit, and a file with tables but without the number would pass for a stranger's.
        let tables = try Int64.fetchOne(database, sql: "SELECT count(*) FROM sqlite_schema") ?? 0
        let application = try Int64.fetchOne(database, sql: "PRAGMA application_id") ?? 0
        guard application == applicationID || (application == 0 && tables == 0) else {
            throw StoreError(
                code: .corrupt, message: "\(path): is an SQLite database of another application; name another file")
        }
        if tables == 0 { return false }
        let schema = try Int64.fetchOne(database, sql: "SELECT schema FROM meta") ?? 0
        guard schema == version else {
            throw StoreError(
                code: .corrupt,
                message: "\(path): has schema version \(schema), this program knows \(version); use the newer program")
        }
        return true
    }
}
