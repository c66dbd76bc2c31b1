import GRDB
import GRDBSQLite
import NIOCore

/// A prepared statement, bound and read without a detour through `Data` or rows of boxed values.
struct SQLiteStatement {
    private let pointer: OpaquePointer
    private let connection: SQLiteConnection?

    /// - Parameter sql: one of a fixed set of texts: it stays prepared for the life of the connection.
    init(_ database: Database, _ sql: String) throws(SQLiteFailure) {
        do {
            pointer = try database.cachedStatement(sql: sql).sqliteStatement
        } catch {
            throw SQLiteFailure(error, of: database.sqliteConnection)
        }
        connection = database.sqliteConnection
    }

    private func check(_ code: CInt) throws(SQLiteFailure) {
        guard code == SQLITE_OK else { throw SQLiteFailure(of: connection, code: code) }
    }

    func bind(_ index: CInt, _ value: Int64) throws(SQLiteFailure) {
        try check(sqlite3_bind_int64(pointer, index, value))
    }

    /// Binds with its length, because an id may contain NUL.
    func bind(_ index: CInt, _ value: String) throws(SQLiteFailure) {
        var value = value
        let code = value.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { bytes in
                // An empty buffer may have no address, and that would bind NULL.
                bytes.baseAddress.map { sqlite3_bind_text(pointer, index, $0, CInt(bytes.count), Self.copied) }
                    ?? sqlite3_bind_text(pointer, index, "", 0, Self.copied)
            }
        }
        try check(code)
    }

    /// Binds without copying: the bytes must stay until ``finish()``.
    func bind(_ index: CInt, unowned bytes: UnsafeRawBufferPointer) throws(SQLiteFailure) {
        guard let address = bytes.baseAddress, bytes.count > 0 else {
            return try check(sqlite3_bind_zeroblob(pointer, index, 0))
        }
        try check(sqlite3_bind_blob(pointer, index, address, CInt(bytes.count), nil))
    }

    /// Whether there is a (further) row.
    func step() throws(SQLiteFailure) -> Bool {
        switch sqlite3_step(pointer) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        case let code: throw SQLiteFailure(of: connection, code: code)
        }
    }

    /// Ends the execution and lets go of what was bound. Must follow every use, also a failed one: a statement left
    /// open keeps its transaction open.
    func finish() {
        // Its result repeats the failure that `step` has already thrown.
        _ = sqlite3_reset(pointer)
        _ = sqlite3_clear_bindings(pointer)
    }

    func int(_ column: CInt) -> Int64 { sqlite3_column_int64(pointer, column) }

    func text(_ column: CInt) -> String {
        guard let bytes = sqlite3_column_text(pointer, column) else { return "" }
        let count = Int(sqlite3_column_bytes(pointer, column))
        return String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
    }

    func bytes(_ column: CInt) -> ByteBuffer {
        let address = sqlite3_column_blob(pointer, column)
        let count = Int(sqlite3_column_bytes(pointer, column))
        var buffer = ByteBufferAllocator().buffer(capacity: count)
        buffer.writeBytes(UnsafeRawBufferPointer(start: address, count: count))
        return buffer
    }

    // SQLITE_TRANSIENT, a cast that Swift does not import.
    private static var copied: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }
}
