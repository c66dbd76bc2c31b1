import Foundation
import GRDB
import NIOCore
import SQLiteSessionStore
import SessionStore
import SessionStoreContract
import Testing
import UnstickCore

@Suite("SQLite store and its file")
struct SQLiteFileTests {
    @Test("what was acknowledged is there after the file is opened again")
    func durability() async throws {
        try await withStoreFile { file in
            let first = try file.open()
            let record = file.record("a", version: 7, generation: 3)
            _ = try await first.begin(Generation(3), on: loop).get()
            _ = try await first.save(record, when: .newerWins, on: loop).get()
            try await first.shutdown()
            let second = try file.open()
            #expect(try await second.generation(on: loop).get() == Generation(3))
            #expect(try await second.load("a", on: loop).get() == record)
            try await second.shutdown()
        }
    }

    @Test("two stores on one file see each other's writes at once, and compete fairly")
    func sharing() async throws {
        try await withStoreFile { file in
            let one = try file.open()
            let two = try file.open()
            for version in 1...20 as ClosedRange<UInt64> {
                let (from, to) = version % 2 == 0 ? (one, two) : (two, one)
                _ = try await from.save(file.record("a", version: version), when: .newerWins, on: loop).get()
                #expect(try await to.version(of: "a", on: loop).get()?.version.version == version)
            }
            let futures = (0..<400).map { number in
                (number % 2 == 0 ? one : two).save(
                    file.record("cas", version: 1, home: "web-\(number)"), when: .base(nil),
                    on: loops[number % loops.count])
            }
            var winners = 0
            for future in futures { if case .stored = try await future.get() { winners += 1 } }
            #expect(winners == 1)
            try await one.shutdown()
            try await two.shutdown()
        }
    }

    @Test("only the owner may read the file, its log and its index")
    func permissions() async throws {
        try await withStoreFile { file in
            let store = try file.open()
            for suffix in ["", "-wal", "-shm"] { #expect(try file.permissions(suffix) == 0o600, "\(suffix)") }
            #expect(try await store.probe(on: loop).get().problems == [])
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file.path)
            #expect(try await store.probe(on: loop).get().problems.first?.contains("chmod 600") == true)
            try await store.shutdown()
        }
    }

    @Test("the probe names the file and how it is written")
    func probe() async throws {
        try await withStoreFile { file in
            let store = try file.open()
            let probe = try await store.probe(on: loop).get()
            #expect(probe.description == "sqlite \(file.path) (WAL, synchronous=FULL)")
            #expect(probe.isDurable)
            #expect(!probe.mayEvict)
            #expect(probe.roundTrip > .zero)
            try await store.shutdown()
        }
    }

    @Test(
        "a file that is no store is refused and left alone",
        arguments: [
            ("text", "is not a database"), ("foreign", "of another application"), ("newer", "schema version 2"),
        ])
    func foreignFiles(kind: String, expected: String) async throws {
        try await withStoreFile { file in
            switch kind {
            case "text": try Data(repeating: UInt8(ascii: "x"), count: 5000).write(to: URL(fileURLWithPath: file.path))
            case "foreign": try await file.connection().write { try $0.execute(sql: "CREATE TABLE carts (id)") }
            default:
                try await file.open().shutdown()
                try await file.connection().write { try $0.execute(sql: "UPDATE meta SET schema = 2") }
            }
            let before = try Data(contentsOf: URL(fileURLWithPath: file.path))
            let error = #expect(throws: StoreError.self) { try file.open() }
            #expect(error?.code == .corrupt)
            #expect(error?.message.contains(file.path) == true)
            #expect(error?.message.contains(expected) == true, "\(error?.message ?? "")")
            #expect(try Data(contentsOf: URL(fileURLWithPath: file.path)) == before)
        }
    }

    @Test("a path that cannot hold a file is refused with the path")
    func badPaths() async throws {
        try await withStoreFile { file in
            for (path, code) in [
                ("", StoreError.Code.invalid), (":memory:", .invalid),
                (file.directory + "/none/sessions.db", .unavailable),
            ] {
                let error = #expect(throws: StoreError.self) {
                    try SQLiteSessionStore.open(path: path, clock: file.clock.now)
                }
                #expect(error?.code == code)
                #expect(path.isEmpty || error?.message.contains(path) == true)
            }
            #expect(throws: StoreError.self) {
                try SQLiteSessionStore.open(path: file.directory, clock: file.clock.now)
            }
        }
    }

    @Test("many processes may open a new file at the same time")
    func concurrentCreation() async throws {
        try await withStoreFile { file in
            let stores = try await withThrowingTaskGroup(of: SQLiteSessionStore.self) { group in
                for _ in 0..<8 { group.addTask { try file.open() } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            for (number, store) in stores.enumerated() {
                _ = try await store.save(file.record("s\(number)"), when: .base(nil), on: loop).get()
            }
            #expect(try await stores[0].scan(after: nil, limit: 100, on: loop).get().sessions.count == 8)
            for store in stores { try await store.shutdown() }
        }
    }
}
