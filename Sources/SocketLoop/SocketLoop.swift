import CEpoll
public import Dispatch
import Glibc
public import NIOCore
import Synchronization

/// An event loop over epoll: one thread, the sockets that it watches, timers, and tasks from anywhere.
///
/// NIO's own loop dispatches a socket's events through a channel and its pipeline; here they go straight from epoll to
/// the connection's ``ByteStreamDelegate``, through memory that all connections of the loop share. That is what makes
/// a plaintext request cheap. As a NIO `EventLoop` it also carries futures, and ``StreamChannel`` carries pipelines.
///
/// Invariants: everything of a socket happens on its loop's thread; a closed socket is never called again, also not for
/// events that were fetched together with the one that closed it.
public final class SocketLoop: EventLoop, @unchecked Sendable {
    /// Bytes that one read fetches at most.
    public static let readBytesMax = 64 * 1024

    private let epoll: Int32
    private let wakeupFD: Int32
    private let thread = Atomic<UInt>(0)
    private let shared = Mutex(Shared())
    /// Whether a wake-up is under way that the loop has not seen yet.
    private let wakeupPending = Atomic<Bool>(false)

    private struct Shared {
        var tasks: [() -> Void] = []
        var isOpen = true
    }

    // MARK: Of the loop's thread

    /// Where reads put their bytes, until the delegate returns.
    let readMemory: UnsafeMutableRawBufferPointer
    private let events: UnsafeMutablePointer<epoll_event>
    private static let eventsMax = 256
    private var localTasks: [() -> Void] = []
    private var timers = TimerHeap()
    private var timerSequence: UInt64 = 0
    private var stopped: [@Sendable () -> Void] = []
    private var isStopping = false
    /// Closed while their events may still be in the batch.
    private var closed: [Unmanaged<AnyObject>] = []
    private var openSockets: [Unmanaged<Socket>] = []
    /// Channels with something to send at the end of the round.
    private var dueFlushes: [StreamChannel] = []

    /// When the loop last came back from waiting: cheap, and at most one round of events old.
    public private(set) var tickTime = NIODeadline.now()

    /// Starts the thread.
    /// - Throws: ``SocketFailure`` when the process has no descriptors left.
    public init(name: String) throws(SocketFailure) {
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epoll >= 0 else { throw SocketFailure(code: errno, operation: "epoll_create1") }
        wakeupFD = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard wakeupFD >= 0 else {
            let code = errno
            _ = Glibc.close(epoll)
            throw SocketFailure(code: code, operation: "eventfd")
        }
        readMemory = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.readBytesMax, alignment: 64)
        events = .allocate(capacity: Self.eventsMax)
        var event = epoll_event(events: Readiness.input, data: epoll_data_t(u64: Self.wakeupMark))
        guard epoll_ctl(epoll, EPOLL_CTL_ADD, wakeupFD, &event) == 0 else {
            throw SocketFailure(code: errno, operation: "epoll_ctl")
        }
        start(name: name)
    }

    deinit {
        readMemory.deallocate()
        events.deallocate()
    }

    private func start(name: String) {
        let box = Unmanaged.passRetained(ThreadStart(loop: self, name: String(name.prefix(15))))
        var id = pthread_t()
        let result = pthread_create(
            &id, nil,
            { context in
                let start = Unmanaged<ThreadStart>.fromOpaque(context!).takeRetainedValue()
                pthread_setname_np(pthread_self(), start.name)
                start.loop.run()
                return nil
            }, box.toOpaque())
        precondition(result == 0, "pthread_create: \(result)")
        pthread_detach(id)
        // Tasks of this loop compare thread ids: the thread must know its own before anybody may ask.
        while thread.load(ordering: .acquiring) == 0 { sched_yield() }
    }

    private final class ThreadStart {
        let loop: SocketLoop
        let name: String
        init(loop: SocketLoop, name: String) {
            self.loop = loop
            self.name = name
        }
    }

    // MARK: The loop

    private static let wakeupMark = UInt64.max
    /// Marks pointers to ``Watched`` objects; pointers to ``Socket``s, by far the most, are as they are.
    private static let watchedBit: UInt64 = 1

    private func run() {
        thread.store(UInt(pthread_self()), ordering: .releasing)
        while !isStopping {
            let count = epoll_wait(epoll, events, Int32(Self.eventsMax), waitMilliseconds())
            tickTime = .now()
            if count > 0 {
                for index in 0..<Int(count) { dispatch(events[index]) }
            }
            runTimers()
            runTasks()
            if !dueFlushes.isEmpty { runFlushes() }
            if !closed.isEmpty { releaseClosed() }
        }
        end()
    }

    private func waitMilliseconds() -> Int32 {
        if !localTasks.isEmpty || !dueFlushes.isEmpty { return 0 }
        guard let first = timers.first else { return -1 }
        let nanoseconds = (first.deadline - .now()).nanoseconds
        if nanoseconds <= 0 { return 0 }
        return Int32(min((nanoseconds + 999_999) / 1_000_000, 60_000))
    }

    @inline(__always)
    private func dispatch(_ event: epoll_event) {
        let mark = event.data.u64
        if mark & Self.watchedBit == 0 {
            let socket = Unmanaged<Socket>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(mark))!)
            socket._withUnsafeGuaranteedRef { $0.ready(event.events) }
        } else if mark == Self.wakeupMark {
            var value: UInt64 = 0
            _ = Glibc.read(wakeupFD, &value, 8)
            wakeupPending.store(false, ordering: .sequentiallyConsistent)
        } else {
            let watched = Unmanaged<Watched>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(mark & ~Self.watchedBit))!)
            watched._withUnsafeGuaranteedRef { if $0.fd >= 0 { $0.ready(event.events) } }
        }
    }

    private func runTimers() {
        guard let first = timers.first, first.deadline <= tickTime else { return }
        // Those that are due now: one that a timer adds waits for the next round, so that sockets get their turn.
        let latest = timerSequence
        while let next = timers.first, next.deadline <= tickTime, next.sequence <= latest {
            timers.removeFirst()?.run()
        }
    }

    private func runTasks() {
        let foreign = shared.withLock { shared in
            guard !shared.tasks.isEmpty else { return [() -> Void]() }
            return swapOut(&shared.tasks)
        }
        let local = localTasks.isEmpty ? [] : swapOut(&localTasks)
        for task in foreign { task() }
        for task in local { task() }
    }

    func flushLater(_ channel: StreamChannel) { dueFlushes.append(channel) }

    /// A flush completes writes, and that may lead to more; after a few rounds sockets get their turn again.
    private func runFlushes() {
        for _ in 0..<4 where !dueFlushes.isEmpty {
            let channels = dueFlushes
            dueFlushes = []
            for channel in channels { channel.flushNow() }
        }
    }

    private func swapOut(_ tasks: inout [() -> Void]) -> [() -> Void] {
        let taken = tasks
        tasks = []
        return taken
    }

    private func releaseClosed() {
        let objects = closed
        closed = []
        for object in objects { object.release() }
    }

    private func end() {
        shared.withLock { $0.isOpen = false }
        for socket in openSockets { socket.takeUnretainedValue().peerClosed() }
        runTasks()
        runTasks()
        dueFlushes = []
        for timer in timers.removeAll() { timer.discard() }
        releaseClosed()
        _ = Glibc.close(epoll)
        _ = Glibc.close(wakeupFD)
        for callback in stopped { callback() }
    }

    // MARK: Watching

    func add(_ socket: Socket, fd: Int32, events: UInt32) {
        let reference = Unmanaged.passRetained(socket)
        socket.index = openSockets.count
        openSockets.append(reference)
        control(EPOLL_CTL_ADD, fd, events, UInt64(UInt(bitPattern: reference.toOpaque())))
    }

    func modify(_ socket: Socket, fd: Int32, events: UInt32) {
        control(EPOLL_CTL_MOD, fd, events, UInt64(UInt(bitPattern: Unmanaged.passUnretained(socket).toOpaque())))
    }

    /// Takes a descriptor out of epoll whose hang-up nobody wants to hear of yet.
    func suspend(_ fd: Int32) { control(EPOLL_CTL_DEL, fd, 0, 0) }

    func resume(_ socket: Socket, fd: Int32, events: UInt32) {
        control(EPOLL_CTL_ADD, fd, events, UInt64(UInt(bitPattern: Unmanaged.passUnretained(socket).toOpaque())))
    }

    /// Closing the descriptor takes it out of epoll; the object lives until the round's events are dealt with.
    func forget(_ socket: Socket) {
        let last = openSockets.removeLast()
        if socket.index < openSockets.count {
            openSockets[socket.index] = last
            last._withUnsafeGuaranteedRef { $0.index = socket.index }
        }
        closed.append(Unmanaged<AnyObject>.fromOpaque(Unmanaged.passUnretained(socket).toOpaque()))
    }

    func add(_ watched: Watched, fd: Int32, events: UInt32) {
        let reference = Unmanaged.passRetained(watched)
        control(EPOLL_CTL_ADD, fd, events, UInt64(UInt(bitPattern: reference.toOpaque())) | Self.watchedBit)
    }

    func modify(_ watched: Watched, fd: Int32, events: UInt32) {
        let reference = Unmanaged.passUnretained(watched)
        control(EPOLL_CTL_MOD, fd, events, UInt64(UInt(bitPattern: reference.toOpaque())) | Self.watchedBit)
    }

    func remove(_ watched: Watched, fd: Int32) {
        control(EPOLL_CTL_DEL, fd, 0, 0)
        closed.append(Unmanaged<AnyObject>.fromOpaque(Unmanaged.passUnretained(watched).toOpaque()))
    }

    private func control(_ operation: Int32, _ fd: Int32, _ events: UInt32, _ mark: UInt64) {
        assert(inEventLoop)
        var event = epoll_event(events: events, data: epoll_data_t(u64: mark))
        let result = epoll_ctl(epoll, operation, fd, &event)
        // Adding can fail for want of memory only (epoll_ctl(2)); then nothing here would ever hear of the socket.
        precondition(result == 0 || operation == EPOLL_CTL_DEL, "epoll_ctl: errno \(errno)")
    }

    // MARK: EventLoop

    public var inEventLoop: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

    public func execute(_ task: @escaping @Sendable () -> Void) {
        if inEventLoop {
            localTasks.append(task)
            return
        }
        let accepted = shared.withLock { shared in
            guard shared.isOpen else { return false }
            shared.tasks.append(task)
            return true
        }
        if accepted { wakeUp() }
    }

    private func wakeUp() {
        guard !wakeupPending.exchange(true, ordering: .sequentiallyConsistent) else { return }
        var one: UInt64 = 1
        _ = Glibc.write(wakeupFD, &one, 8)
    }

    @discardableResult
    public func scheduleTask<T>(deadline: NIODeadline, _ task: @escaping @Sendable () throws -> T) -> Scheduled<T> {
        let promise = makePromise(of: T.self)
        let timer = TimerBox()
        let scheduled = Scheduled(promise: promise) { [self] in
            if inEventLoop { cancel(timer) } else { execute { self.cancel(timer) } }
        }
        let insert: @Sendable () -> Void = { [self] in
            guard !timer.isCancelled else { return }
            timerSequence += 1
            let each = Timer(deadline: deadline, sequence: timerSequence) {
                do {
                    promise.assumeIsolatedUnsafeUnchecked().succeed(try task())
                } catch {
                    promise.fail(error)
                }
            } discarded: {
                promise.fail(EventLoopError.cancelled)
            }
            timer.timer = each
            timers.insert(each)
        }
        if inEventLoop {
            insert()
        } else if shared.withLock({ $0.isOpen }) {
            execute(insert)
        } else {
            promise.fail(EventLoopError.cancelled)
        }
        return scheduled
    }

    /// Touched on the loop only.
    private final class TimerBox: @unchecked Sendable {
        var timer: Timer?
        var isCancelled = false
    }

    private func cancel(_ box: TimerBox) {
        box.isCancelled = true
        guard let timer = box.timer, timer.task != nil else { return }
        timer.cancel()
        timers.noteCancellation()
    }

    @discardableResult
    public func scheduleTask<T>(in amount: TimeAmount, _ task: @escaping @Sendable () throws -> T) -> Scheduled<T> {
        scheduleTask(deadline: .now() + amount, task)
    }

    public func preconditionInEventLoop(file: StaticString, line: UInt) {
        precondition(inEventLoop, file: file, line: line)
    }

    public func preconditionNotInEventLoop(file: StaticString, line: UInt) {
        precondition(!inEventLoop, file: file, line: line)
    }

    /// Ends the thread after the tasks at hand. Sockets that are still open are closed and their delegates told.
    public func shutdownGracefully(queue: DispatchQueue, _ callback: @escaping @Sendable ((any Error)?) -> Void) {
        let accepted = shared.withLock { shared in
            guard shared.isOpen else { return false }
            shared.tasks.append { [self] in
                stopped.append { queue.async { callback(nil) } }
                isStopping = true
            }
            return true
        }
        if accepted { wakeUp() } else { queue.async { callback(nil) } }
    }
}
