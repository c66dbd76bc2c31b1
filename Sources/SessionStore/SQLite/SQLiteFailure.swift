import GRDB
import GRDBSQLite
import SessionStore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// What SQLite answered instead of doing its work. SQLite's messages name tables and settings, never bound values, so
/// they are safe to show.
struct SQLiteFailure: Error {
    /// Extended result code (sqlite.org/rescode.html).
    var code: CInt
    /// `errno` of the system call that failed, 0 when none did.
    var systemError: CInt = 0
    var message: String

    var primaryCode: CInt { code & 0xFF }
    var isBusy: Bool { primaryCode == SQLITE_BUSY }

    init(code: CInt, systemError: CInt = 0, message: String) {
        self.code = code
        self.systemError = systemError
        self.message = message
    }

    /// The connection's last failure.
    init(of connection: SQLiteConnection?, code: CInt) {
        self.code = code
        systemError = connection.map { sqlite3_system_errno($0) } ?? 0
        message = connection.flatMap { sqlite3_errmsg($0) }.map { String(cString: $0) } ?? "result code \(code)"
    }

    init(_ error: any Error, of connection: SQLiteConnection? = nil) {
        if let failure = error as? SQLiteFailure {
            self = failure
        } else if let error = error as? DatabaseError {
            self.init(
                code: error.extendedResultCode.rawValue,
                systemError: connection.map { sqlite3_system_errno($0) } ?? 0,
                message: error.message ?? "result code \(error.extendedResultCode.rawValue)")
        } else {
            self.init(code: SQLITE_ERROR, message: "\(error)")
        }
    }

    /// Whether the disk, not the statement, is at fault: then nothing else of the transaction can succeed either.
    var endsTransaction: Bool {
        switch primaryCode {
        case SQLITE_FULL, SQLITE_IOERR, SQLITE_NOMEM, SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_CORRUPT, SQLITE_NOTADB,
            SQLITE_BUSY, SQLITE_INTERRUPT, SQLITE_PROTOCOL:
            true
        default: false
        }
    }

    /// - Parameters:
    ///   - path: the database file, for the message.
    ///   - isCommit: a disk that fails while committing leaves it open whether the frames reached it.
    func storeError(path: String, isCommit: Bool = false) -> StoreError {
        let code: StoreError.Code
        switch (primaryCode, systemError) {
        case (SQLITE_FULL, _), (SQLITE_IOERR, ENOSPC), (SQLITE_IOERR, EDQUOT), (SQLITE_CANTOPEN, ENOSPC): code = .full
        case (SQLITE_READONLY, _) where self.code == CInt(SQLITE_READONLY | (4 << 8)):  // SQLITE_READONLY_DBMOVED
            code = .unavailable
        case (SQLITE_READONLY, _), (SQLITE_IOERR, EROFS), (SQLITE_CANTOPEN, EROFS), (SQLITE_CANTOPEN, EACCES):
            code = .readOnly
        case (SQLITE_CORRUPT, _), (SQLITE_NOTADB, _), (SQLITE_MISMATCH, _): code = .corrupt
        case (SQLITE_TOOBIG, _): code = .invalid
        case (SQLITE_IOERR, _) where isCommit:
            return StoreError(
                code: .timedOut,
                message: "\(path): the disk failed during the commit, which may or may not have happened: \(detail)")
        default: code = .unavailable
        }
        return StoreError(code: code, message: "\(path): \(detail)")
    }

    private var detail: String {
        systemError == 0
            ? "\(message) (SQLite \(code))" : "\(message) (SQLite \(code), errno \(systemError))"
    }
}
