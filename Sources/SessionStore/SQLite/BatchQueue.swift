import Dispatch
import NIOCore
import SessionStore
import Synchronization

/// One operation on its way into a transaction.
struct BatchEntry: Sendable {
    /// Bytes of state that wait with it.
    let bytes: Int
    let deadline: NIODeadline
    let eventLoop: any EventLoop
    /// Does the work inside the transaction. What it returns is called on the event loop once the transaction is over.
    let run: @Sendable (SessionTable) throws(SQLiteFailure) -> @Sendable () -> Void
    /// Settles the operation as failed, unless it is settled. Any thread.
    let fail: @Sendable (StoreError) -> Void
    /// The generation that this entry begins: it may move the store to a new file.
    var beginning: UInt64?
}

/// Operations of all event loops that wait for one worker. First come, first served, and every operation's deadline is
/// equally far away, so the first in line is also the first to run out.
///
/// An operation whose deadline passes while it waits is taken out and never runs. One whose deadline passes inside a
/// transaction (a disk that hangs) fails too, since its caller must not hang with it; whether it happened is unknown.
final class BatchQueue: Sendable {
    struct Limits: Sendable {
        var waiting: Int
        var waitingBytes: Int
        var batch: Int
        var batchBytes: Int
    }

    private struct State {
        var waiting = CircularBuffer<BatchEntry>()
        var waitingBytes = 0
        var running: [BatchEntry] = []
        var runningBytes = 0
        var isWorkerActive = false
        var isTimerSet = false
        var isClosed = false
        var idle: [CheckedContinuation<Void, Never>] = []
    }

    private let name: String
    private let limits: Limits
    private let timeout: Duration
    private let worker: DispatchQueue
    private let state = Mutex(State())
    /// Runs on the worker while operations wait; it takes them with ``takeBatch()``.
    private let work: @Sendable (BatchQueue) -> Void

    init(name: String, limits: Limits, timeout: Duration, work: @escaping @Sendable (BatchQueue) -> Void) {
        self.name = name
        self.limits = limits
        self.timeout = timeout
        self.work = work
        worker = DispatchQueue(label: "unstick.store.\(name)")
    }

    /// Number of operations that wait.
    var waitingCount: Int { state.withLock { $0.waiting.count } }

    func submit(_ entry: BatchEntry) {
        enum Admission { case refused(StoreError), accepted(startWorker: Bool, setTimer: Bool) }
        let admission: Admission = state.withLock { state in
            guard !state.isClosed else {
                return .refused(StoreError(code: .unavailable, message: "the store was shut down"))
            }
            guard state.waiting.count < limits.waiting else {
                return .refused(
                    StoreError(
                        code: .overloaded, message: "\(limits.waiting) \(name) operations wait, which is the limit"))
            }
            // A single big state may always wait alone.
            guard state.waiting.isEmpty || state.waitingBytes + entry.bytes <= limits.waitingBytes else {
                return .refused(
                    StoreError(
                        code: .overloaded,
                        message:
                            "\(state.waitingBytes) bytes wait; \(entry.bytes) more would pass \(limits.waitingBytes)"))
            }
            state.waiting.append(entry)
            state.waitingBytes += entry.bytes
            defer {
                state.isWorkerActive = true
                state.isTimerSet = true
            }
            return .accepted(startWorker: !state.isWorkerActive, setTimer: !state.isTimerSet)
        }
        switch admission {
        case .refused(let error): entry.fail(error)
        case .accepted(let startWorker, let setTimer):
            if startWorker { worker.async { self.runWorker() } }
            if setTimer { setDeadlineTimer(entry.deadline) }
        }
    }

    private func runWorker() {
        while hasWork() { work(self) }
    }

    private func hasWork() -> Bool {
        let idle: [CheckedContinuation<Void, Never>]? = state.withLock { state in
            guard state.waiting.isEmpty else { return nil }
            state.isWorkerActive = false
            defer { state.idle = [] }
            return state.idle
        }
        guard let idle else { return true }
        for continuation in idle { continuation.resume() }
        return false
    }

    /// Whether any operation that waits satisfies the condition.
    func waitingContains(where condition: (BatchEntry) -> Bool) -> Bool {
        state.withLock { $0.waiting.contains(where: condition) }
    }

    /// Takes what waits into the batch: the first call at least one operation if there is any, later calls what came
    /// meanwhile, until the batch is at its limits. Ends with ``endBatch()``.
    func takeBatch() -> [BatchEntry] {
        let now = NIODeadline.now()
        let (taken, late) = state.withLock { state in
            var late: [BatchEntry] = []
            let first = state.running.count
            while state.running.count < limits.batch, let entry = state.waiting.first,
                state.running.isEmpty || state.runningBytes + entry.bytes <= limits.batchBytes
            {
                state.waiting.removeFirst()
                state.waitingBytes -= entry.bytes
                if entry.deadline <= now {
                    late.append(entry)
                } else {
                    state.runningBytes += entry.bytes
                    state.running.append(entry)
                }
            }
            return (Array(state.running[first...]), late)
        }
        failNotBegun(late)
        return taken
    }

    func endBatch() {
        state.withLock { state in
            state.running = []
            state.runningBytes = 0
        }
    }

    /// Fails everything that waits: the reason holds for all of it.
    func failWaiting(_ error: StoreError) {
        let failed = state.withLock { state in
            defer {
                state.waiting.removeAll()
                state.waitingBytes = 0
            }
            return Array(state.waiting)
        }
        for entry in failed { entry.fail(error) }
    }

    private func failNotBegun(_ entries: [BatchEntry]) {
        for entry in entries {
            entry.fail(
                StoreError(code: .timedOut, message: "a \(name) was not begun within \(timeout); it was cancelled"))
        }
    }

    private func setDeadlineTimer(_ deadline: NIODeadline) {
        let nanoseconds = max(0, (deadline - .now()).nanoseconds)
        DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(Int(nanoseconds))) { self.expire() }
    }

    private func expire() {
        let now = NIODeadline.now()
        let (notBegun, begun, next) = state.withLock { state in
            var notBegun: [BatchEntry] = []
            while let entry = state.waiting.first, entry.deadline <= now {
                state.waiting.removeFirst()
                state.waitingBytes -= entry.bytes
                notBegun.append(entry)
            }
            let begun = state.running.filter { $0.deadline <= now }
            let next = state.running.first { $0.deadline > now }?.deadline ?? state.waiting.first?.deadline
            state.isTimerSet = next != nil
            return (notBegun, begun, next)
        }
        failNotBegun(notBegun)
        for entry in begun {
            entry.fail(
                StoreError(
                    code: .timedOut,
                    message: "a \(name) was begun but not done within \(timeout); it may or may not happen"))
        }
        if let next { setDeadlineTimer(next) }
    }

    /// Refuses new operations and returns when the accepted ones are done or have failed.
    func close() async {
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                state.isClosed = true
                guard state.isWorkerActive else { return true }
                state.idle.append(continuation)
                return false
            }
            if isIdle { continuation.resume() }
        }
    }
}
