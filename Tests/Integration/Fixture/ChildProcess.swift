import Foundation
import Synchronization

/// A process that a test started; known by its pid, and reaped here and nowhere else, so that a signal can't reach another
/// process that got the same pid.
///
/// It stays in the process group of the tests: whoever stops the group stops it too.
final class ChildProcess: Sendable {
    enum End: Sendable, Equatable {
        case exited(Int32)
        case signaled(Int32)
    }

    let name: String
    let pid: pid_t
    /// Where standard output goes.
    let outputPath: String
    /// Where standard error goes.
    let errorPath: String
    private let end: Mutex<End?>

    /// - Parameters:
    ///   - output: file that standard output is appended to.
    ///   - errors: the same for standard error; nil: to `output` as well.
    /// - Throws: ``IntegrationFailure`` when the program cannot be started.
    init(
        name: String, _ program: String, _ arguments: [String], environment: [String: String], output: String,
        errors: String? = nil
    ) throws {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        let append = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, append, 0o600)
        if let errors {
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors, append, 0o600)
        } else {
            posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        }
        // What the test process ignores or blocks is its own affair.
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var pid = pid_t()
        let error = posix_spawn(&pid, program, &actions, &attributes, &argv, &envp)
        guard error == 0 else {
            throw IntegrationFailure("\(name): \(program) cannot be started: \(String(cString: strerror(error)))")
        }
        self.name = name
        self.pid = pid
        outputPath = output
        errorPath = errors ?? output
        end = Mutex(nil)
    }

    /// How it ended; nil while it runs.
    var ended: End? { end.withLock { reap(&$0) } }

    private func reap(_ end: inout End?) -> End? {
        if let end { return end }
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
        let signal = status & 0x7f
        end = signal == 0 ? .exited(status >> 8 & 0xff) : .signaled(signal)
        return end
    }

    /// No effect when it has ended.
    func send(_ signal: Int32) {
        end.withLock { end in
            if reap(&end) == nil { kill(pid, signal) }
        }
    }

    func awaitEnd(within patience: Duration) async throws -> End {
        try await eventually("the end of \(name)", within: patience, every: .milliseconds(10)) { ended }
    }

    /// SIGTERM, then after `patience` SIGKILL; also when it stands still.
    func stop(patience: Duration = .seconds(5)) async {
        send(SIGCONT)
        send(SIGTERM)
        if (try? await awaitEnd(within: patience)) != nil { return }
        send(SIGKILL)
        _ = try? await awaitEnd(within: .seconds(10))
    }

    /// The last lines that it wrote.
    func lastLines(_ count: Int = 15) -> String {
        var paths = [outputPath]
        if errorPath != outputPath { paths.append(errorPath) }
        let lines = paths.flatMap { path in
            String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
                .split(separator: "\n").suffix(count)
        }
        let state = ended.map { "\($0)" } ?? "runs"
        return "-- \(name) (\(state)):\n" + lines.map { "   \($0)" }.joined(separator: "\n")
    }
}
