import Foundation
import Logging
import NIOCore
import Synchronization
import UnixSignals
import UnstickProxy

/// Runs the parts of a serving process until a signal or the first failure, then stops them in order.
///
/// The first SIGTERM or SIGINT stops gracefully: parts that have a `stop` are asked one after the other in the order
/// given, each when the one before has ended (within its own limit); then the others are cancelled. A second signal ends
/// the process at once.
struct Serving: Sendable {
    struct Part: Sendable {
        /// What it does, for messages: `listen`.
        var name: String
        /// Its address, for messages.
        var address: String?
        /// Serves until it is stopped or cancelled; calls `ready` once.
        var run: @Sendable (_ ready: @escaping @Sendable () -> Void) async throws -> Void
        /// Asks it to end; nil: it is cancelled, after those that are asked have ended.
        var stop: (@Sendable () -> Void)?
    }

    private enum Event: Sendable {
        /// Nil: everything has ended without one.
        case signal(UnixSignal?)
        case ended(part: Int, failure: CommandFailure?)
    }

    /// Which parts are not ready yet.
    private final class Readiness: Sendable {
        private let waiting: Mutex<Set<Int>>

        init(_ count: Int) { waiting = Mutex(Set(0..<count)) }

        /// Whether this part was the last.
        func isCompleted(by part: Int) -> Bool {
            waiting.withLock { $0.remove(part) != nil && $0.isEmpty }
        }
    }

    var parts: [Part]
    var logger: Logger

    /// - Parameter onReady: called once, when every part is ready.
    /// - Throws: ``CommandFailure`` of the part that failed first.
    func run(onReady: @escaping @Sendable () -> Void) async throws {
        let readiness = Readiness(parts.count)
        let result: Result<Void, CommandFailure> = await withTaskGroup(of: Event.self) { tasks in
            for (index, part) in parts.enumerated() {
                tasks.addTask {
                    do {
                        try await part.run {
                            if readiness.isCompleted(by: index) { onReady() }
                        }
                        return .ended(part: index, failure: nil)
                    } catch {
                        return .ended(part: index, failure: Self.failure(error, of: part))
                    }
                }
            }
            tasks.addTask { await Self.firstSignal(logger) }
            return await supervise(&tasks)
        }
        try result.get()
    }

    private func supervise(_ tasks: inout TaskGroup<Event>) async -> Result<Void, CommandFailure> {
        var running = Set(parts.indices)
        var asked: Set<Int> = []
        var result: Result<Void, CommandFailure>?
        while !running.isEmpty, let event = await tasks.next() {
            switch event {
            case .signal(nil): continue
            case .signal(let signal?):
                logger.notice("stopping", metadata: ["signal": "\(signal)"])
                if result == nil { result = .success(()) }
            case .ended(let index, let failure):
                running.remove(index)
                // What ends while everything is being stopped ends as it should.
                if result == nil {
                    result = .failure(failure ?? CommandFailure(.failed, "\(parts[index].name) has ended by itself"))
                }
            }
            if let next = running.filter({ parts[$0].stop != nil }).min() {
                if asked.insert(next).inserted { parts[next].stop?() }
            } else {
                tasks.cancelAll()
            }
        }
        tasks.cancelAll()
        return result ?? .success(())
    }

    /// Stays to end the process at the second signal.
    private static func firstSignal(_ logger: Logger) async -> Event {
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        var iterator = signals.makeAsyncIterator()
        guard let first = await iterator.next() else { return .signal(nil) }
        let later = iterator
        // Not a child task: it must not hold up the graceful end, which it is there to cut short.
        Task.detached {
            var iterator = later
            guard let second = await iterator.next() else { return }
            logger.warning("ended at once", metadata: ["signal": "\(second)"])
            _exit(128 + second.rawValue)
        }
        return .signal(first)
    }

    /// One sentence with the value and where it is configured.
    static func failure(_ error: any Error, of part: Part) -> CommandFailure {
        if let failure = error as? CommandFailure { return failure }
        if let error = error as? ListenFailure {
            return failure(code: error.code, place: "\(error.key): cannot listen on \(error.address)")
        }
        let place = part.address.map { "\(part.name): cannot listen on \($0)" } ?? part.name
        guard let error = error as? IOError else { return CommandFailure(.failed, "\(place): \(error)") }
        return failure(code: error.errnoCode, place: place)
    }

    private static func failure(code: Int32, place: String) -> CommandFailure {
        switch code {
        case 0: return CommandFailure(.failed, "\(place): no address found")
        case EADDRINUSE: return CommandFailure(.failed, "\(place): the port is in use by another process")
        case EACCES: return CommandFailure(.failed, "\(place): not permitted; ports below 1024 need a privilege")
        case EADDRNOTAVAIL: return CommandFailure(.failed, "\(place): this machine does not have that address")
        default: return CommandFailure(.failed, "\(place): \(String(cString: strerror(code)))")
        }
    }
}
