import Foundation
import GRDB
import NIOCore
import SQLiteSessionStore
import SessionStore
import SessionStoreContract
import Testing
import UnstickCore

/// A directory on a disk with the path of a store's file in it.
struct StoreFileFixture {
    let directory: String
    let clock = AdjustableClock()
    var path: String { directory + "/sessions.db" }

    func open(_ settings: SQLiteSessionStore.Settings = .init()) throws -> SQLiteSessionStore {
        try SQLiteSessionStore.open(path: path, clock: clock.now, settings: settings)
    }

    func subject(_ store: any SessionStore) -> ContractSubject {
        ContractSubject(store: store, clock: clock, eventLoops: loops)
    }

    func record(_ id: String, version: UInt64 = 1, generation: UInt64 = 1, home: String = "web-1") -> SessionRecord {
        SessionRecord(
            id: id, generation: Generation(generation), version: VersionTag(version: version, tag: 1), codec: "json",
            state: ByteBuffer(string: "{}"), ttlSeconds: 60, expiresAt: clock.time.adding(seconds: 60), home: home,
            writer: "inc-a")
    }

    /// A plain connection beside the store, as another process would have one.
    func connection() throws -> DatabaseQueue { try DatabaseQueue(path: path) }

    func permissions(_ suffix: String = "") throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path + suffix)
        return (attributes[.posixPermissions] as? NSNumber)?.intValue ?? -1
    }

    func remove(_ suffixes: String...) throws {
        for suffix in suffixes { try FileManager.default.removeItem(atPath: path + suffix) }
    }

    func move(to other: String) throws {
        try FileManager.default.moveItem(atPath: path, toPath: directory + "/" + other)
    }
    func moveBack(_ other: String) throws {
        try FileManager.default.moveItem(atPath: directory + "/" + other, toPath: path)
    }
}

/// Runs the body with a new directory. Not under /tmp, which is in memory on many machines.
func withStoreFile<Result>(_ body: (StoreFileFixture) async throws -> Result) async throws -> Result {
    var template = Array("/var/tmp/unstick-store-XXXXXX".utf8CString)
    let directory = try #require(mkdtemp(&template).map { String(cString: $0) })
    defer { try? FileManager.default.removeItem(atPath: directory) }
    return try await body(StoreFileFixture(directory: directory))
}

/// Runs the body with a file system of 1 MiB of its own. Fails, rather than skips, where mounting is not allowed: a
/// full disk that nobody tried is not a store that survives it.
func withSmallDisk<Result>(_ body: (StoreFileFixture) async throws -> Result) async throws -> Result {
    try await withStoreFile { outer in
        let directory = outer.directory + "/disk"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        try run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory)
        defer { try? run("umount", "-l", directory) }
        return try await body(StoreFileFixture(directory: directory))
    }
}

func run(_ command: String...) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
        throw CommandFailure(description: "\(command.joined(separator: " ")): exit code \(process.terminationStatus)")
    }
}

struct CommandFailure: Error, CustomStringConvertible {
    let description: String
}

/// The error of a future that must fail.
func failure<Value: Sendable>(_ future: EventLoopFuture<Value>) async -> StoreError? {
    do {
        let value = try await future.get()
        Issue.record("succeeded with \(value), should have failed")
        return nil
    } catch {
        return error as? StoreError
    }
}
