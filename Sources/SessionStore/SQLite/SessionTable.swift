import GRDB
import GRDBSQLite
import NIOCore
import SessionStore
import UnstickCore

/// The rows of one open transaction. Every operation is a read followed by at most one change of one row, so that a
/// failed statement undoes itself and leaves the transaction's other operations alone.
struct SessionTable {
    let database: Database
    /// Taken once a transaction: what one operation of a group commit finds expired, all find expired.
    let now: UnixMilliseconds

    private func perform<Value>(
        _ sql: String, _ body: (SQLiteStatement) throws(SQLiteFailure) -> Value
    ) throws(SQLiteFailure) -> Value {
        let statement = try SQLiteStatement(database, sql)
        defer { statement.finish() }
        return try body(statement)
    }

    // MARK: Generation and probe

    func generation() throws(SQLiteFailure) -> Generation {
        try perform("SELECT generation FROM meta") { statement throws(SQLiteFailure) in
            guard try statement.step() else {
                throw SQLiteFailure(code: SQLITE_CORRUPT, message: "table meta has no row")
            }
            return Generation(UInt64(bitPattern: statement.int(0)))
        }
    }

    func begin(_ generation: Generation) throws(SQLiteFailure) -> Bool {
        let current = try self.generation()
        guard generation >= current else { return false }
        if generation == current { return true }
        try perform("UPDATE meta SET generation = ?") { statement throws(SQLiteFailure) in
            try statement.bind(1, Int64(bitPattern: generation.rawValue))
            _ = try statement.step()
        }
        return true
    }

    func writeProbe() throws(SQLiteFailure) -> Int64 {
        try perform("UPDATE meta SET probe = probe + 1") { statement throws(SQLiteFailure) in _ = try statement.step() }
        return try readProbe()
    }

    func readProbe() throws(SQLiteFailure) -> Int64 {
        try perform("SELECT probe FROM meta") { statement throws(SQLiteFailure) in
            try statement.step() ? statement.int(0) : 0
        }
    }

    func settings() throws(SQLiteFailure) -> SQLiteSettings {
        SQLiteSettings(
            journalMode: try perform("PRAGMA journal_mode") { statement throws(SQLiteFailure) in
                try statement.step() ? statement.text(0) : ""
            },
            synchronous: try perform("PRAGMA synchronous") { statement throws(SQLiteFailure) in
                try statement.step() ? statement.int(0) : 0
            })
    }

    // MARK: One session

    private static let versionColumns =
        "generation, version, tag, ttl, expires_at, tombstone, home, writer, length(state)"

    private func stored(_ statement: SQLiteStatement, from first: CInt) -> StoredVersion {
        StoredVersion(
            generation: Generation(UInt64(bitPattern: statement.int(first))),
            version: VersionTag(
                version: UInt64(bitPattern: statement.int(first + 1)),
                tag: UInt32(truncatingIfNeeded: statement.int(first + 2))),
            expiresAt: UnixMilliseconds(statement.int(first + 4)),
            ttlSeconds: statement.int(first + 3),
            home: statement.text(first + 6),
            writer: statement.text(first + 7),
            size: Int(statement.int(first + 8)),
            isTombstone: statement.int(first + 5) != 0)
    }

    /// The row of the id, expired or not.
    private func row(of id: String) throws(SQLiteFailure) -> (rowID: Int64, stored: StoredVersion)? {
        try perform("SELECT rowid, \(Self.versionColumns) FROM sessions WHERE id = ?") {
            statement throws(SQLiteFailure) in
            try statement.bind(1, id)
            guard try statement.step() else { return nil }
            return (statement.int(0), stored(statement, from: 1))
        }
    }

    private func live(_ stored: StoredVersion?) -> StoredVersion? {
        stored.flatMap { $0.expiresAt > now ? $0 : nil }
    }

    func version(of id: String) throws(SQLiteFailure) -> StoredVersion? { live(try row(of: id)?.stored) }

    func load(_ id: String) throws(SQLiteFailure) -> SessionRecord? {
        try perform("SELECT \(Self.versionColumns), codec, state FROM sessions WHERE id = ?") {
            statement throws(SQLiteFailure) in
            try statement.bind(1, id)
            guard try statement.step(), let stored = live(stored(statement, from: 0)) else { return nil }
            return SessionRecord(
                id: id, generation: stored.generation, version: stored.version, codec: statement.text(9),
                state: statement.bytes(10), ttlSeconds: stored.ttlSeconds, expiresAt: stored.expiresAt,
                home: stored.home, writer: stored.writer, isTombstone: stored.isTombstone)
        }
    }

    func save(_ record: SessionRecord, when condition: SaveCondition) throws(SQLiteFailure) -> SaveOutcome {
        try replace(by: record) { SaveDecision.decide(record, when: condition, current: $0) }
    }

    func destroy(_ tombstone: SessionRecord) throws(SQLiteFailure) -> SaveOutcome {
        try replace(by: tombstone) { SaveDecision.decide(destroying: tombstone, current: $0) }
    }

    private func replace(
        by record: SessionRecord, decide: (StoredVersion?) -> SaveDecision
    ) throws(SQLiteFailure) -> SaveOutcome {
        let row = try row(of: record.id)
        switch decide(live(row?.stored)) {
        case .keep(let outcome): return outcome
        case .store(let version):
            try write(record, as: version, over: row?.rowID)
            return .stored(version)
        }
    }

    private func write(
        _ record: SessionRecord, as version: VersionTag, over rowID: Int64?
    ) throws(SQLiteFailure) {
        let sql =
            rowID == nil
            ? """
            INSERT INTO sessions (generation, version, tag, ttl, expires_at, tombstone, codec, home, writer, state, id)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """
            : """
            UPDATE sessions SET generation = ?, version = ?, tag = ?, ttl = ?, expires_at = ?, tombstone = ?, codec = ?,
              home = ?, writer = ?, state = ? WHERE rowid = ?
            """
        try perform(sql) { statement throws(SQLiteFailure) in
            try statement.bind(1, Int64(bitPattern: record.generation.rawValue))
            try statement.bind(2, Int64(bitPattern: version.version))
            try statement.bind(3, Int64(version.tag))
            try statement.bind(4, record.ttlSeconds)
            try statement.bind(5, record.expiresAt.rawValue)
            try statement.bind(6, record.isTombstone ? 1 : 0)
            try statement.bind(7, record.codec)
            try statement.bind(8, record.home)
            try statement.bind(9, record.writer)
            if let rowID { try statement.bind(11, rowID) } else { try statement.bind(11, record.id) }
            let result = record.state.withUnsafeReadableBytes { bytes -> Result<Void, SQLiteFailure> in
                Result { () throws(SQLiteFailure) in
                    try statement.bind(10, unowned: bytes)
                    _ = try statement.step()
                    statement.finish()
                }
            }
            try result.get()
        }
    }

    func touch(
        _ id: String, generation: Generation, ttlSeconds: Int64, expiresAt: UnixMilliseconds, home: String
    ) throws(SQLiteFailure) -> Bool {
        guard let row = try row(of: id), let current = live(row.stored), !current.isTombstone,
            current.generation == generation
        else { return false }
        try perform("UPDATE sessions SET ttl = ?, expires_at = ?, home = ? WHERE rowid = ?") {
            statement throws(SQLiteFailure) in
            try statement.bind(1, ttlSeconds)
            try statement.bind(2, max(current.expiresAt, expiresAt).rawValue)
            try statement.bind(3, home)
            try statement.bind(4, row.rowID)
            _ = try statement.step()
        }
        return true
    }

    // MARK: Many sessions

    func scan(after cursor: String?, limit: Int) throws(SQLiteFailure) -> ScanPage {
        // Ids are not empty, so that the empty string comes before all of them.
        let sql = """
            SELECT id, \(Self.versionColumns) FROM sessions WHERE id > ? AND expires_at > ? ORDER BY id LIMIT ?
            """
        return try perform(sql) { statement throws(SQLiteFailure) in
            try statement.bind(1, cursor ?? "")
            try statement.bind(2, now.rawValue)
            try statement.bind(3, Int64(limit) + 1)
            var page = ScanPage(sessions: [], next: nil)
            while try statement.step() {
                guard page.sessions.count < limit else {
                    page.next = page.sessions.last?.id
                    break
                }
                page.sessions.append(ScannedSession(id: statement.text(0), stored: stored(statement, from: 1)))
            }
            return page
        }
    }

    func sweep(olderThan generation: Generation, limit: Int) throws(SQLiteFailure) -> Int {
        var deleted = try delete(
            "SELECT rowid FROM sessions WHERE generation < ? LIMIT ?",
            [Int64(bitPattern: generation.rawValue), Int64(limit)])
        // The index finds the expired rows of one generation; generations are few, and each is one step away.
        var next = try firstGeneration(from: generation)
        while deleted < limit, let current = next {
            deleted += try delete(
                "SELECT rowid FROM sessions WHERE generation = ? AND expires_at <= ? LIMIT ?",
                [Int64(bitPattern: current.rawValue), now.rawValue, Int64(limit - deleted)])
            next = try firstGeneration(from: current.next)
        }
        return deleted
    }

    private func delete(_ selection: String, _ arguments: [Int64]) throws(SQLiteFailure) -> Int {
        try perform("DELETE FROM sessions WHERE rowid IN (\(selection))") { statement throws(SQLiteFailure) in
            for (index, argument) in arguments.enumerated() { try statement.bind(CInt(index + 1), argument) }
            _ = try statement.step()
            return Int(sqlite3_changes(database.sqliteConnection))
        }
    }

    private func firstGeneration(from generation: Generation) throws(SQLiteFailure) -> Generation? {
        try perform("SELECT generation FROM sessions WHERE generation >= ? ORDER BY generation LIMIT 1") {
            statement throws(SQLiteFailure) in
            try statement.bind(1, Int64(bitPattern: generation.rawValue))
            return try statement.step() ? Generation(UInt64(bitPattern: statement.int(0))) : nil
        }
    }
}

/// What SQLite really does, as it says itself.
struct SQLiteSettings: Sendable, CustomStringConvertible {
    var journalMode: String
    /// 0 off, 1 normal, 2 full, 3 extra.
    var synchronous: Int64

    var isWriteAheadLogged: Bool { journalMode == "wal" }
    var isFullySynchronous: Bool { synchronous >= 2 }

    var description: String {
        let levels = ["OFF", "NORMAL", "FULL", "EXTRA"]
        let level = levels.indices.contains(Int(synchronous)) ? levels[Int(synchronous)] : String(synchronous)
        return "\(journalMode.uppercased()), synchronous=\(level)"
    }
}
