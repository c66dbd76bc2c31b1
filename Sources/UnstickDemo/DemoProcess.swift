import Foundation
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A child process with its output in a file, in a process group of its own: a terminal's Ctrl-C reaches the
/// demonstration only, which then ends its children in order.
final class DemoProcess: Sendable {
    let name: String
    let log: String
    private let process: Process
    private let isEnding = Mutex(false)

    /// - Parameter environment: added to the demonstration's own.
    init(
        name: String, executable: String, arguments: [String], environment: [String: String], folder: String,
        log: String
    ) throws(DemoError) {
        self.name = name
        self.log = log
        process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        do {
            if !FileManager.default.fileExists(atPath: log) {
                try Data().write(to: URL(fileURLWithPath: log))
            }
            let output = try FileHandle(forWritingTo: URL(fileURLWithPath: log))
            try output.seekToEnd()
            process.standardInput = FileHandle.nullDevice
            process.standardOutput = output
            process.standardError = output
            try Self.withoutSignalMask { try process.run() }
        } catch {
            throw .missing("\(name) could not be started with \(executable): \(error.localizedDescription)")
        }
    }

    /// A child inherits the signals that the thread blocks, and the threads that run tasks block SIGTERM: it would have
    /// to be killed.
    private static func withoutSignalMask(_ body: () throws -> Void) rethrows {
        var none = sigset_t()
        var before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try body()
    }

    var isRunning: Bool { process.isRunning }

    /// Whether it ended although nobody asked it to.
    var hasDied: Bool { !isEnding.withLock(\.self) && !process.isRunning }

    /// How it ended: `exit 1`, `signal 9`.
    var statusWords: String {
        guard !process.isRunning else { return "still running" }
        return (process.terminationReason == .uncaughtSignal ? "signal " : "exit ") + "\(process.terminationStatus)"
    }

    func send(_ signal: Int32) {
        isEnding.withLock { $0 = true }
        if process.isRunning { kill(process.processIdentifier, signal) }
    }

    /// SIGTERM, and SIGKILL for one that has not ended after `patience`. Not stopped by a cancelled task.
    func end(patience: Duration) async {
        send(SIGTERM)
        if await hasEnded(within: patience) { return }
        send(SIGKILL)
        _ = await hasEnded(within: .seconds(5))
    }

    func hasEnded(within patience: Duration) async -> Bool {
        let clock = ContinuousClock()
        let deadline = clock.now + patience
        while process.isRunning {
            if clock.now >= deadline { return false }
            try? await clock.sleep(for: .milliseconds(20))
        }
        return true
    }

    /// The last lines that it wrote, at most 16 KiB of them.
    func lastLines(_ count: Int = 15) -> String {
        guard let file = FileHandle(forReadingAtPath: log), let size = try? file.seekToEnd() else { return "" }
        try? file.seek(toOffset: size > 16_384 ? size - 16_384 : 0)
        let text = String(decoding: (try? file.readToEnd()) ?? Data(), as: UTF8.self)
        return text.split(separator: "\n").suffix(count).joined(separator: "\n")
    }

    var death: DemoError { .died(process: name, status: statusWords, log: lastLines()) }
}
