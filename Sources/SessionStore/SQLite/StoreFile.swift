import Dispatch
import GRDB
import GRDBSQLite
import SessionStore
import UnstickCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Where the store's file is, and which file that is at the moment.
struct StorePath: Sendable {
    /// As configured; for messages.
    let given: String
    /// Independent of the working directory.
    let absolute: String

    init(_ path: String) throws(StoreError) {
        guard !path.isEmpty, path != ":memory:", !path.utf8.contains(0), !path.utf8.allSatisfy({ $0 == 0x2F }) else {
            throw StoreError(code: .invalid, message: "'\(path)' is not the path of a database file")
        }
        given = path
        if path.utf8.first == 0x2F {
            absolute = path
        } else {
            guard let directory = getcwd(nil, 0) else {
                throw StoreError(code: .unavailable, message: "\(path): the working directory is gone")
            }
            defer { free(directory) }
            absolute = String(cString: directory) + "/" + path
        }
    }

    /// Which file it is; the write-ahead log counts too, since without it the latest commits are lost.
    struct Identity: Sendable, Equatable {
        var database: Node
        var log: Node?
    }

    struct Node: Sendable, Equatable {
        var device: UInt64
        var number: UInt64
    }

    var identity: Identity? {
        Self.node(absolute).map { Identity(database: $0, log: Self.node(absolute + "-wal")) }
    }

    private static func node(_ path: String) -> Node? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Node(device: UInt64(status.st_dev), number: UInt64(status.st_ino))
    }

    /// Creates an empty file that only its owner may read, unless there is one: sessions are secrets. SQLite gives its
    /// log and index files the same permissions.
    func createIfMissing() throws(StoreError) {
        let descriptor = open(absolute, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            let reason = errno
            switch reason {
            case EEXIST: return
            case EROFS, EACCES, EPERM: throw error(.readOnly, "cannot be created", reason)
            case ENOSPC, EDQUOT: throw error(.full, "cannot be created", reason)
            default: throw error(.unavailable, "cannot be created", reason)
            }
        }
        close(descriptor)
    }

    /// SQLite opens a file that cannot be written as a read-only one, and would tell us at the first save only.
    func checkWritable() throws(StoreError) {
        guard access(absolute, R_OK | W_OK) != 0 else { return }
        let reason = errno
        throw error(reason == ENOENT || reason == ENOTDIR ? .unavailable : .readOnly, "cannot be written", reason)
    }

    private func error(_ code: StoreError.Code, _ what: String, _ reason: CInt) -> StoreError {
        StoreError(code: code, message: "\(given): \(what): \(String(cString: strerror(reason)))")
    }

    /// What is wrong with the place, for the operator, each with its remedy.
    var problems: [String] {
        var problems: [String] = []
        var status = stat()
        if stat(absolute, &status) == 0, status.st_mode & 0o077 != 0 {
            problems.append("\(given) can be read by other users; chmod 600 it")
        }
        if isInMemory { problems.append("\(given) is on a file system in memory; set store.url to a file on a disk") }
        if let fileSystem, ["nfs", "nfs4", "cifs", "smb3", "9p"].contains(fileSystem) {
            problems.append("\(given) is on \(fileSystem), where SQLite's locks do not work; use a local disk")
        }
        return problems
    }

    /// Whether the file dies with the machine's power.
    var isInMemory: Bool { fileSystem == "tmpfs" || fileSystem == "ramfs" }

    /// The type of the file system, as Linux names it in mountinfo (proc(5)); nil where that cannot be told.
    private var fileSystem: String? {
        #if os(Linux)
        guard let device = Self.node(absolute)?.device, let mounts = fopen("/proc/self/mountinfo", "r") else {
            return nil
        }
        defer { fclose(mounts) }
        // makedev(3) packs 12 bits of the major and 8 of the minor number low, the rest above.
        let major = device >> 8 & 0xFFF | device >> 32 & ~0xFFF
        let minor = device & 0xFF | device >> 12 & ~0xFF
        let name = "\(major):\(minor)"
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, mounts) > 0, let line {
            let fields = String(cString: line).split(separator: " ")
            guard fields.count > 3, fields[2] == name, let dash = fields.firstIndex(of: "-"), dash + 1 < fields.count
            else { continue }
            return String(fields[dash + 1])
        }
        #endif
        return nil
    }
}

/// One connection to a store's file.
struct StoreFile: Sendable {
    let queue: DatabaseQueue
    let identity: StorePath.Identity
    /// When it was opened.
    let generation: Generation

    enum Role { case writer, reader }

    /// Tries again for two seconds while other processes open the same new file: the change to WAL needs the file alone,
    /// and SQLite answers that with SQLITE_BUSY at once, without asking its busy handler.
    /// - Parameter mayCreate: whether a missing or empty file may become a store.
    static func open(_ path: StorePath, as role: Role, mayCreate: Bool) throws(StoreError) -> StoreFile {
        var attempts = 1
        while true {
            do throws(OpenFailure) {
                return try tryOpen(path, as: role, mayCreate: mayCreate)
            } catch {
                guard error.isBusy, attempts < 100 else { throw error.error }
                attempts += 1
                usleep(20_000)
            }
        }
    }

    private struct OpenFailure: Error {
        var error: StoreError
        var isBusy = false
    }

    private static func tryOpen(_ path: StorePath, as role: Role, mayCreate: Bool) throws(OpenFailure) -> StoreFile {
        do {
            guard mayCreate || path.identity != nil else { throw removed(path) }
            if mayCreate { try path.createIfMissing() }
            try path.checkWritable()
            let queue = try DatabaseQueue(path: path.absolute, configuration: configuration(role))
            return try queue.writeWithoutTransaction { database in
                try database.execute(sql: "PRAGMA synchronous = FULL")
                try StoreSchema.prepare(database, path: path.given, mayCreate: mayCreate)
                if role == .reader { try database.execute(sql: "PRAGMA query_only = ON") }
                // The read below makes SQLite open its log, which then is part of the file's identity.
                let generation = try SessionTable(database: database, now: UnixMilliseconds(0)).generation()
                var hasMoved: CInt = 0
                let code = sqlite3_file_control(database.sqliteConnection, "main", SQLITE_FCNTL_HAS_MOVED, &hasMoved)
                guard code == SQLITE_OK, hasMoved == 0, let identity = path.identity, identity.log != nil else {
                    throw removed(path)
                }
                return StoreFile(queue: queue, identity: identity, generation: generation)
            }
        } catch let error as StoreError {
            throw OpenFailure(error: error)
        } catch {
            let failure = SQLiteFailure(error)
            throw OpenFailure(error: failure.storeError(path: path.given), isBusy: failure.isBusy)
        }
    }

    static func removed(_ path: StorePath) -> StoreError {
        StoreError(
            code: .unavailable,
            message: "\(path.given): database file was removed or replaced; put it back, or begin a new mirroring run")
    }

    private static func configuration(_ role: Role) -> Configuration {
        var configuration = Configuration()
        configuration.label = "unstick.store.\(role)"
        configuration.foreignKeysEnabled = false
        // Other processes hold the write lock for a commit or two. SQLite's own timeout waits in steps of up to 100 ms,
        // and a process that commits without pause would keep the lock from us; short steps get their turn.
        configuration.busyMode = .callback { tries in
            usleep(250)
            return tries < 1_000
        }
        configuration.prepareDatabase { database in
            try database.execute(
                sql: """
                    PRAGMA trusted_schema = OFF;
                    PRAGMA cell_size_check = ON;
                    PRAGMA temp_store = MEMORY;
                    PRAGMA cache_size = -16384;
                    PRAGMA journal_size_limit = 67108864;
                    """)
        }
        return configuration
    }
}
