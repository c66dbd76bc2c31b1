import Foundation
import Logging
import NIOCore
import Testing

@testable import UnstickProxy

@Suite("The access log's file")
struct AccessLogWriterTests {
    /// A folder of its own, removed at the end.
    static func withFile(_ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("unstick-log-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try await body(folder.appendingPathComponent("access.log").path)
    }

    static func writer(_ path: String) throws -> AccessLogWriter {
        try AccessLogWriter(target: .file(path), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func batch(_ text: String, of writer: AccessLogWriter) throws -> AccessLogWriter.Batch {
        let batch = try #require(writer.makeBatch())
        fill(batch, text)
        return batch
    }

    private func fill(_ batch: AccessLogWriter.Batch, _ text: String) {
        batch.bytes.copyMemory(from: Array(text.utf8), byteCount: text.utf8.count)
        batch.count = text.utf8.count
        batch.lines = UInt64(text.count { $0 == "\n" })
    }

    private func content(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

    @Test("batches are written in order, and appended to what is there")
    func order() async throws {
        try await Self.withFile { path in
            try "before\n".write(toFile: path, atomically: false, encoding: .utf8)
            let writer = try Self.writer(path)
            var batch = try batch("0\n", of: writer)
            for number in 1..<201 {
                while true {
                    guard let fresh = writer.exchange(batch) else {
                        await writer.flush()
                        continue
                    }
                    batch = fresh
                    break
                }
                fill(batch, "\(number)\n")
            }
            await writer.flush()
            let expected = ["before"] + (0..<200).map { "\($0)" }
            #expect(try content(path).split(separator: "\n").map(String.init) == expected)
            #expect(writer.linesLost == 0)
        }
    }

    @Test("a renamed file keeps what it has, and lines go to a new one after the signal")
    func reopening() async throws {
        try await Self.withFile { path in
            let writer = try Self.writer(path)
            _ = writer.exchange(try batch("one\n", of: writer))
            await writer.flush()
            try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
            _ = writer.exchange(try batch("two\n", of: writer))
            await writer.flush()
            writer.reopen()
            await writer.flush()
            _ = writer.exchange(try batch("three\n", of: writer))
            await writer.flush()
            #expect(try content(path + ".1") == "one\ntwo\n")
            #expect(try content(path) == "three\n")
        }
    }

    @Test("a file that cannot be opened names itself and the reason")
    func unopenable() async throws {
        do throws(AccessLogWriter.Failure) {
            _ = try AccessLogWriter(target: .file("/nowhere/access.log"), logger: Logger(label: "test"))
            Issue.record("opened")
        } catch {
            #expect(error.description.contains("'/nowhere/access.log'"))
            #expect(error.description.contains("No such file"))
        }
    }

    @Test("a full disk loses lines, counts them, and stops nothing")
    func fullDisk() async throws {
        let writer = try Self.writer("/dev/full")
        _ = writer.exchange(try batch("one\ntwo\n", of: writer))
        await writer.flush()
        #expect(writer.linesLost == 2)
    }

    @Test("a reader that does not read costs lines, never time")
    func blockedPipe() async throws {
        try await Self.withFile { path in
            #expect(mkfifo(path, 0o600) == 0)
            // Both ends, so that opening for writing does not wait for a reader.
            let reader = open(path, O_RDWR | O_NONBLOCK)
            defer { close(reader) }
            let writer = try Self.writer(path)
            let options = ObservationOptions.AccessLog(writer: writer)
            let log = LoopAccessLog(options, secretParameters: [])
            var request = RequestObservation()
            request.status = 200
            let subject = AccessLogSubject(
                client: UnsafeRawBufferPointer(start: nil, count: 0), instance: "-", milliseconds: 0)
            // The pipe takes 64 KiB and the queue 4 MiB; this is more.
            for _ in 0..<60_000 { log.append(request, subject) }
            #expect(log.dropped > 0 && log.dropped < 60_000)
            // Let the writer end.
            var sink = [UInt8](repeating: 0, count: 1 << 16)
            let deadline = ContinuousClock.now + .seconds(10)
            var received: UInt64 = 0
            while received + log.dropped < 60_000 - 400, ContinuousClock.now < deadline {
                let count = read(reader, &sink, sink.count)
                if count > 0 { received += UInt64(sink[..<count].count { $0 == 0x0a }) } else { await Task.yield() }
                log.handOver()
            }
            #expect(received + log.dropped >= 60_000 - 400)
        }
    }

    @Test("answers below the least status get no line, those of 500 and up always do")
    func selection() async throws {
        try await Self.withFile { path in
            var options = ObservationOptions.AccessLog(writer: try Self.writer(path))
            options.statusMin = 400
            options.sample = 0
            let log = LoopAccessLog(options, secretParameters: [])
            var random = ObservationRandom(seed: 1, 2)
            var request = RequestObservation()
            for (status, isWanted) in [(0, false), (200, false), (404, false), (500, true), (503, true)] {
                request.status = UInt16(status)
                #expect(log.wants(request, &random) == isWanted, "\(status)")
            }
            options.sample = 1
            let all = LoopAccessLog(options, secretParameters: [])
            request.status = 404
            #expect(all.wants(request, &random))
            request.status = 399
            #expect(!all.wants(request, &random))
        }
    }
}
