import Dispatch
import Glibc
public import Logging
import Synchronization

/// Writes what the event loops hand over in batches, on a queue of its own: a slow disk or a full pipe stops the log, never
/// traffic. At most ``batchesMax`` batches exist; when all of them wait to be written, the loops drop lines and count them.
public final class AccessLogWriter: Sendable {
    /// Lines of one loop. Belongs to exactly one side at a time: a loop while it is filled, the writer afterwards.
    final class Batch: @unchecked Sendable {
        static let capacity = 64 * 1024
        let bytes = UnsafeMutableRawPointer.allocate(byteCount: Batch.capacity, alignment: 16)
        var count = 0
        var lines: UInt64 = 0

        func clear() {
            count = 0
            lines = 0
        }

        deinit { bytes.deallocate() }
    }

    private struct State {
        var full: [Batch] = []
        var free: [Batch] = []
        var made = 0
        var isDraining = false
        var wantsReopening = false
        /// -1: closed.
        var descriptor: Int32
        /// An unfinished line is at the end.
        var isTorn = false
        var lost: UInt64 = 0
        var lastWarning: DispatchTime?
    }

    /// 4 MiB together.
    static let batchesMax = 64

    public enum Target: Sendable, Equatable {
        case standardOutput
        /// Appended to; opened anew by ``reopen()``.
        case file(String)
    }

    private let target: Target
    private let state: Mutex<State>
    private let queue = DispatchQueue(label: "unstick.access-log")
    private let logger: Logger

    /// Why a log cannot be written.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        public var description: String
    }

    /// Opens the file, which is made with mode 0640 when there is none.
    public init(target: Target, logger: Logger) throws(Failure) {
        self.target = target
        self.logger = logger
        state = Mutex(State(descriptor: try Self.open(target)))
    }

    deinit {
        let descriptor = state.withLock { $0.descriptor }
        if case .file = target, descriptor >= 0 { Glibc.close(descriptor) }
    }

    private static func open(_ target: Target) throws(Failure) -> Int32 {
        guard case .file(let path) = target else { return STDOUT_FILENO }
        let descriptor = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else {
            throw Failure(description: "the access log '\(path)' cannot be opened: \(String(cString: strerror(errno)))")
        }
        return descriptor
    }

    /// Lines that were handed over and could not be written.
    public var linesLost: UInt64 { state.withLock { $0.lost } }

    /// Opens the file anew before the next line, for programs that have renamed it (SIGHUP). An old file that cannot be
    /// replaced goes on being used.
    public func reopen() {
        let begins = state.withLock { state in
            state.wantsReopening = true
            return Self.beginDraining(&state)
        }
        if begins { queue.async { self.drain() } }
    }

    func makeBatch() -> Batch? {
        state.withLock { state in
            if let batch = state.free.popLast() { return batch }
            guard state.made < Self.batchesMax else { return nil }
            state.made += 1
            return Batch()
        }
    }

    /// Takes a batch to be written and gives an empty one.
    /// - Returns: nil when every other batch waits to be written; then the caller keeps its own.
    func exchange(_ batch: Batch) -> Batch? {
        let (fresh, begins) = state.withLock { state -> (Batch?, Bool) in
            guard state.descriptor >= 0 else { return (nil, false) }
            let fresh: Batch
            if let free = state.free.popLast() {
                fresh = free
            } else if state.made < Self.batchesMax {
                state.made += 1
                fresh = Batch()
            } else {
                return (nil, false)
            }
            state.full.append(batch)
            return (fresh, Self.beginDraining(&state))
        }
        if begins { queue.async { self.drain() } }
        return fresh
    }

    private static func beginDraining(_ state: inout State) -> Bool {
        guard !state.isDraining else { return false }
        state.isDraining = true
        return true
    }

    /// Waits until everything is written, at most `limit`.
    public func flush(within limit: Duration = .seconds(2)) async {
        let deadline = ContinuousClock.now + limit
        while state.withLock({ $0.isDraining }), ContinuousClock.now < deadline {
            try? await Task.sleep(for: .milliseconds(5))
        }
    }

    // MARK: On the queue

    private func drain() {
        while true {
            let next = state.withLock { state -> (batches: [Batch], reopens: Bool)? in
                if state.full.isEmpty, !state.wantsReopening {
                    state.isDraining = false
                    return nil
                }
                defer {
                    state.full = []
                    state.wantsReopening = false
                }
                return (state.full, state.wantsReopening)
            }
            guard let next else { return }
            // What was logged before the signal belongs to the old file, or to the new one: both are right.
            if next.reopens { replaceFile() }
            for batch in next.batches {
                write(batch)
                batch.clear()
                state.withLock { $0.free.append(batch) }
            }
        }
    }

    private func replaceFile() {
        guard case .file(let path) = target else { return }
        do throws(Failure) {
            let fresh = try Self.open(target)
            let old = state.withLock { state in
                defer {
                    state.descriptor = fresh
                    state.isTorn = false
                }
                return state.descriptor
            }
            if old >= 0 { Glibc.close(old) }
            logger.info("access log opened anew", metadata: ["file": "\(path)"])
        } catch {
            logger.error("\(error); the old one goes on")
        }
    }

    private func write(_ batch: Batch) {
        let (descriptor, isTorn) = state.withLock { ($0.descriptor, $0.isTorn) }
        if isTorn { _ = Self.writeAll(descriptor, [0x0a]) }
        let written = Self.writeAll(descriptor, UnsafeRawBufferPointer(start: batch.bytes, count: batch.count))
        guard written < batch.count else {
            if isTorn { state.withLock { $0.isTorn = false } }
            return
        }
        let reason = String(cString: strerror(errno))
        let rest = UnsafeRawBufferPointer(start: batch.bytes + written, count: batch.count - written)
        let lost = UInt64(rest.count { $0 == 0x0a })
        let warns = state.withLock { state in
            state.lost += lost
            state.isTorn = written > 0 && batch.bytes.load(fromByteOffset: written - 1, as: UInt8.self) != 0x0a
            let now = DispatchTime.now()
            if let last = state.lastWarning, now < last + .seconds(10) { return false }
            state.lastWarning = now
            return true
        }
        if warns { logger.error("the access log cannot be written: \(reason)", metadata: ["lines": "\(lost)"]) }
    }

    private static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Int {
        bytes.withUnsafeBytes { writeAll(descriptor, $0) }
    }

    /// - Returns: bytes written; fewer than given after an error, which `errno` then names.
    private static func writeAll(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        var written = 0
        while written < bytes.count {
            let result = Glibc.write(descriptor, base + written, bytes.count - written)
            if result >= 0 {
                written += result
            } else if errno == EAGAIN {
                // A standard output that somebody made non-blocking. Only this queue waits.
                var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = Glibc.poll(&poll, 1, 1000)
            } else if errno != EINTR {
                return written
            }
        }
        return written
    }
}

/// One event loop's side of the access log.
final class LoopAccessLog {
    private let writer: AccessLogWriter
    private let format: AccessLogFormat
    private let statusMin: UInt16
    private let sample: SampleShare
    private var batch: AccessLogWriter.Batch?
    /// Lines that no batch could take.
    private(set) var dropped: UInt64 = 0

    init(_ options: ObservationOptions.AccessLog, secretParameters: [String]) {
        writer = options.writer
        format = AccessLogFormat(
            format: options.format,
            redaction: LogRedaction(parameters: secretParameters, showsQuery: options.showsQuery))
        statusMin = options.statusMin
        sample = SampleShare(options.sample)
    }

    /// Whether the request gets a line. Answers of 500 and up are never left to chance.
    func wants(_ request: RequestObservation, _ random: inout ObservationRandom) -> Bool {
        request.status >= statusMin && (request.status >= 500 || sample.includes(&random))
    }

    func append(_ request: RequestObservation, _ subject: AccessLogSubject) {
        guard let batch = currentBatch() else {
            dropped &+= 1
            return
        }
        var writer = RawWriter(batch.bytes, capacity: AccessLogWriter.Batch.capacity, count: batch.count)
        format.write(request, subject, to: &writer)
        guard !writer.isOverfull else {
            // By the limits of its parts no line comes here.
            dropped &+= 1
            return
        }
        batch.count = writer.count
        batch.lines &+= 1
    }

    /// A batch with room for any line.
    private func currentBatch() -> AccessLogWriter.Batch? {
        if let batch, batch.count + AccessLogFormat.lineBytesMax <= AccessLogWriter.Batch.capacity { return batch }
        if batch == nil { batch = writer.makeBatch() } else { handOver() }
        return batch
    }

    /// Hands over what has gathered: when a batch is full, twice a second, and at the end.
    func handOver() {
        guard let full = batch, full.lines > 0 else { return }
        if let fresh = writer.exchange(full) {
            batch = fresh
        } else {
            dropped &+= full.lines
            full.clear()
        }
    }
}
