import Foundation
import GRDB
import NIOCore
import SQLiteSessionStore
import SessionStore
import SessionStoreContract
import Testing
import UnstickCore

/// The store's file goes away, or its disk does.
@Suite("SQLite store without its file or disk")
struct SQLiteLossTests {
    private func expectLost(_ store: SQLiteSessionStore, _ file: StoreFileFixture) async {
        let save = await failure(store.save(file.record("a", version: 9), when: .newerWins, on: loop))
        #expect(save?.code == .unavailable)
        #expect(save?.message.contains("removed or replaced") == true)
        #expect(save?.message.contains(file.path) == true)
        #expect(await failure(store.load("a", on: loop))?.code == .unavailable)
        #expect(await failure(store.generation(on: loop))?.code == .unavailable)
    }

    @Test("a file that was moved away fails every operation until it is back")
    func movedAway() async throws {
        try await withStoreFile { file in
            let store = try file.open()
            _ = try await store.begin(Generation(1), on: loop).get()
            _ = try await store.save(file.record("a"), when: .newerWins, on: loop).get()
            try file.move(to: "elsewhere")
            await expectLost(store, file)
            #expect(!FileManager.default.fileExists(atPath: file.path), "no empty file takes its place")
            try file.moveBack("elsewhere")
            _ = try await store.save(file.record("a", version: 2), when: .newerWins, on: loop).get()
            #expect(try await store.version(of: "a", on: loop).get()?.version.version == 2)
            try await store.shutdown()
        }
    }

    @Test("a log that was deleted fails every operation: the latest commits are in it")
    func logDeleted() async throws {
        try await withStoreFile { file in
            let store = try file.open()
            _ = try await store.begin(Generation(1), on: loop).get()
            try file.remove("-wal")
            await expectLost(store, file)
            try await store.shutdown()
        }
    }

    @Test("another file of the same generation is not taken for the store")
    func replaced() async throws {
        try await withStoreFile { file in
            let store = try file.open()
            _ = try await store.begin(Generation(4), on: loop).get()
            try file.remove("", "-wal", "-shm")
            await expectLost(store, file)
            let other = try file.open()
            #expect(try await other.generation(on: loop).get() == .none)
            await expectLost(store, file)
            _ = try await other.begin(Generation(4), on: loop).get()
            await expectLost(store, file)
            #expect(await failure(store.begin(Generation(4), on: loop))?.code == .unavailable)
            try await other.shutdown()
            try await store.shutdown()
        }
    }

    @Test("a newer mirroring run may begin in a new file, and every process follows it there")
    func newRun() async throws {
        try await withStoreFile { file in
            let coordinator = try file.open()
            let proxy = try file.open()
            _ = try await coordinator.begin(Generation(4), on: loop).get()
            _ = try await proxy.save(file.record("a", generation: 4), when: .newerWins, on: loop).get()
            try file.remove("", "-wal", "-shm")
            await expectLost(proxy, file)
            #expect(try await coordinator.begin(Generation(5), on: loop).get())
            #expect(try file.permissions() == 0o600)
            #expect(try await proxy.generation(on: loop).get() == Generation(5))
            #expect(try await proxy.load("a", on: loop).get() == nil)
            _ = try await proxy.save(file.record("b", generation: 5), when: .newerWins, on: loop).get()
            #expect(try await coordinator.version(of: "b", on: loop).get() != nil)
            try await proxy.shutdown()
            try await coordinator.shutdown()
        }
    }

    @Test("a full disk fails saves as full, keeps what was saved, and heals when there is room")
    func fullDisk() async throws {
        try await withSmallDisk { file in
            let ballast = file.directory + "/ballast"
            try Data(count: 400 << 10).write(to: URL(fileURLWithPath: ballast))
            let store = try file.open()
            var saved = 0
            var error: StoreError?
            while error == nil, saved < 100 {
                var record = file.record("s\(saved)")
                record.state = ByteBuffer(repeating: 1, count: 64 << 10)
                do {
                    _ = try await store.save(record, when: .newerWins, on: loop).get()
                    saved += 1
                } catch let failure as StoreError {
                    error = failure
                }
            }
            #expect(error?.code == .full)
            #expect(error?.message.contains(file.path) == true)
            #expect(saved > 0)
            for number in 0..<saved {
                #expect(try await store.load("s\(number)", on: loop).get()?.state.readableBytes == 64 << 10)
            }
            #expect(try await store.version(of: "s\(saved)", on: loop).get() == nil)
            try FileManager.default.removeItem(atPath: ballast)
            var record = file.record("s\(saved)")
            record.state = ByteBuffer(repeating: 1, count: 64 << 10)
            _ = try await store.save(record, when: .newerWins, on: loop).get()
            let probe = try await store.probe(on: loop).get()
            #expect(!probe.isDurable, "a file system in memory is not durable")
            #expect(probe.problems.contains { $0.contains("in memory") })
            try await store.shutdown()
        }
    }

    @Test("a read-only file system is refused as read-only")
    func readOnlyDisk() async throws {
        try await withSmallDisk { file in
            try await file.open().shutdown()
            try run("mount", "-o", "remount,ro", file.directory)
            let existing = #expect(throws: StoreError.self) { try file.open() }
            #expect(existing?.code == .readOnly)
            #expect(existing?.message.contains(file.path) == true)
            let missing = #expect(throws: StoreError.self) {
                try SQLiteSessionStore.open(path: file.directory + "/new.db", clock: file.clock.now)
            }
            #expect(missing?.code == .readOnly)
        }
    }

    @Test("a process killed in the middle loses no acknowledged save")
    func kill() async throws {
        try await withStoreFile { file in
            let directory = file.directory
            await #expect(processExitsWith: .signal(SIGKILL)) { [directory = directory as String] in
                let file = StoreFileFixture(directory: directory)
                let store = try file.open()
                let log = open(directory + "/acknowledged", O_CREAT | O_WRONLY | O_APPEND, 0o600)
                await withTaskGroup(of: Void.self) { group in
                    for saver in 0..<32 {
                        group.addTask {
                            for number in 0..<10_000 {
                                let id = "s\(saver)-\(number)"
                                guard (try? await store.save(file.record(id), when: .base(nil), on: loop).get()) != nil
                                else { return }
                                let line = Array((id + "\n").utf8)
                                _ = write(log, line, line.count)
                                if saver == 7, number == 20 { Foundation.kill(getpid(), SIGKILL) }
                            }
                        }
                    }
                }
            }
            let acknowledged = try String(contentsOfFile: directory + "/acknowledged", encoding: .utf8)
                .split(separator: "\n").map(String.init)
            #expect(acknowledged.count > 20)
            let store = try file.open()
            for id in acknowledged { #expect(try await store.load(id, on: loop).get() != nil, "\(id)") }
            let check = try await file.connection().read { try String.fetchOne($0, sql: "PRAGMA integrity_check") }
            #expect(check == "ok")
            try await store.shutdown()
        }
    }
}
