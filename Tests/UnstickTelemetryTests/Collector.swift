import Foundation
import Synchronization

/// `collector.py`, running.
final class Collector: Sendable {
    struct Failure: Error, CustomStringConvertible { var description: String }

    let port: Int
    private let process: Process
    private let input: Pipe
    private let lines = Mutex<[String]>([])
    private let arrivals: AsyncStream<String>

    var endpoint: String { "http://127.0.0.1:\(port)/v1/traces" }

    private init() async throws {
        var folder = URL(fileURLWithPath: #filePath)
        folder.deleteLastPathComponent()
        let root = folder.deletingLastPathComponent().deletingLastPathComponent()
        let python =
            ProcessInfo.processInfo.environment["UNSTICK_PYTHON"] ?? root.appending(path: ".build/venv/bin/python").path
        guard FileManager.default.isExecutableFile(atPath: python) else {
            throw Failure(description: "the Python for the collector is missing: '\(python)'; Tests/run.sh makes it")
        }
        process = Process()
        process.executableURL = URL(fileURLWithPath: python)
        process.arguments = [folder.appending(path: "collector.py").path]
        input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        let (stream, continuation) = AsyncStream<String>.makeStream()
        arrivals = stream
        let handle = output.fileHandleForReading
        try process.run()
        // A thread of its own: reading blocks, and tests must not starve.
        Thread.detachNewThread {
            var rest = ""
            while case let data = handle.availableData, !data.isEmpty {
                rest += String(decoding: data, as: UTF8.self)
                while let end = rest.firstIndex(of: "\n") {
                    continuation.yield(String(rest[..<end]))
                    rest = String(rest[rest.index(after: end)...])
                }
            }
            continuation.finish()
        }
        var iterator = stream.makeAsyncIterator()
        guard let first = await iterator.next(), first.hasPrefix("port "), let port = Int(first.dropFirst(5)) else {
            process.terminate()
            throw Failure(description: "the collector did not start; are its requirements.txt installed?")
        }
        self.port = port
    }

    static func with(_ body: (Collector) async throws -> Void) async throws {
        let collector = try await Collector()
        let result: Result<Void, any Error>
        do { result = .success(try await body(collector)) } catch { result = .failure(error) }
        try? collector.input.fileHandleForWriting.close()
        collector.process.waitUntilExit()
        try result.get()
    }

    /// The next `count` lines that it prints, decoded.
    func next(_ count: Int) async throws -> [[String: Any]] {
        var result: [[String: Any]] = []
        var iterator = arrivals.makeAsyncIterator()
        while result.count < count {
            guard let line = await iterator.next(),
                let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            else { throw Failure(description: "the collector has ended") }
            result.append(object)
        }
        return result
    }
}
