public import NIOCore
public import SessionStore
import Synchronization
public import UnstickCore

/// A store around another that fails and waits as a test tells it to. Nothing happens by time: what is held stays
/// held until the test releases it.
public final class FaultyStore: SessionStore {
    public enum Operation: Sendable, Hashable, CaseIterable {
        case generation, begin, version, load, save, touch, destroy, scan, sweep, probe

        public static let all = Set(allCases)
        /// Those that change what the store holds of a session.
        public static let writes: Set = [Operation.save, .touch, .destroy]
    }

    /// Where on its way an operation is hit.
    public enum Stage: Sendable {
        /// The request is lost or delayed: the inner store has not seen it (yet).
        case request
        /// The answer is lost or delayed: the inner store has done it.
        case answer
    }

    private enum Fault {
        case failure(Stage, StoreError)
        case hold(Stage)
    }

    private struct State {
        var faults: [Operation: Fault] = [:]
        var held: [(operation: Operation, resume: @Sendable () -> Void)] = []
        var waiting: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
        var calls: [Operation: Int] = [:]
    }

    private let base: any SessionStore
    private let state = Mutex(State())

    public init(_ base: any SessionStore) {
        self.base = base
    }

    /// Lets the operations fail from now on, until ``heal()``.
    public func fail(
        _ operations: Set<Operation> = Operation.all, with error: StoreError, at stage: Stage = .request
    ) {
        state.withLock { for operation in operations { $0.faults[operation] = .failure(stage, error) } }
    }

    /// Holds the operations that come from now on, until ``release(_:)`` or ``heal()``.
    public func hold(_ operations: Set<Operation> = Operation.all, at stage: Stage = .request) {
        state.withLock { for operation in operations { $0.faults[operation] = .hold(stage) } }
    }

    /// Lets the first `count` held operations go on, all when nil; those that come later are still held.
    public func release(_ count: Int? = nil) {
        let released = state.withLock { state in
            let released = state.held.prefix(count ?? state.held.count)
            state.held.removeFirst(released.count)
            return released
        }
        for held in released { held.resume() }
    }

    /// Ends all faults and releases what is held.
    public func heal() {
        state.withLock { $0.faults = [:] }
        release()
    }

    /// How many operations are held.
    public var heldCount: Int { state.withLock { $0.held.count } }

    /// How often the operation was called, failures included.
    public func calls(of operation: Operation) -> Int { state.withLock { $0.calls[operation] ?? 0 } }

    /// Returns when at least `count` operations are held. Without a deadline of its own: give the test one.
    public func untilHeld(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isReached = state.withLock { state in
                if state.held.count >= count { return true }
                state.waiting.append((count, continuation))
                return false
            }
            if isReached { continuation.resume() }
        }
    }

    private func pass<Value: Sendable>(
        _ operation: Operation, on eventLoop: any EventLoop, _ body: @escaping @Sendable () -> EventLoopFuture<Value>
    ) -> EventLoopFuture<Value> {
        let fault = state.withLock { state in
            state.calls[operation, default: 0] += 1
            return state.faults[operation]
        }
        switch fault {
        case nil: return body()
        case .failure(.request, let error): return eventLoop.makeFailedFuture(error)
        case .failure(.answer, let error): return body().flatMapThrowing { _ in throw error }
        case .hold(.request):
            let promise = eventLoop.makePromise(of: Value.self)
            keep(operation) { body().cascade(to: promise) }
            return promise.futureResult
        case .hold(.answer):
            let promise = eventLoop.makePromise(of: Value.self)
            body().whenComplete { result in self.keep(operation) { promise.completeWith(result) } }
            return promise.futureResult
        }
    }

    private func keep(_ operation: Operation, resume: @escaping @Sendable () -> Void) {
        let reached = state.withLock { state in
            state.held.append((operation, resume))
            let count = state.held.count
            let reached = state.waiting.filter { $0.count <= count }
            state.waiting.removeAll { $0.count <= count }
            return reached
        }
        for waiting in reached { waiting.continuation.resume() }
    }

    public func generation(on eventLoop: any EventLoop) -> EventLoopFuture<Generation> {
        pass(.generation, on: eventLoop) { self.base.generation(on: eventLoop) }
    }

    public func begin(_ generation: Generation, on eventLoop: any EventLoop) -> EventLoopFuture<Bool> {
        pass(.begin, on: eventLoop) { self.base.begin(generation, on: eventLoop) }
    }

    public func version(of id: String, on eventLoop: any EventLoop) -> EventLoopFuture<StoredVersion?> {
        pass(.version, on: eventLoop) { self.base.version(of: id, on: eventLoop) }
    }

    public func load(_ id: String, on eventLoop: any EventLoop) -> EventLoopFuture<SessionRecord?> {
        pass(.load, on: eventLoop) { self.base.load(id, on: eventLoop) }
    }

    public func save(
        _ record: SessionRecord, when condition: SaveCondition, on eventLoop: any EventLoop
    ) -> EventLoopFuture<SaveOutcome> {
        pass(.save, on: eventLoop) { self.base.save(record, when: condition, on: eventLoop) }
    }

    public func touch(
        _ id: String, generation: Generation, ttlSeconds: Int64, expiresAt: UnixMilliseconds, home: String,
        on eventLoop: any EventLoop
    ) -> EventLoopFuture<Bool> {
        pass(.touch, on: eventLoop) {
            self.base.touch(
                id, generation: generation, ttlSeconds: ttlSeconds, expiresAt: expiresAt, home: home, on: eventLoop)
        }
    }

    public func destroy(_ tombstone: SessionRecord, on eventLoop: any EventLoop) -> EventLoopFuture<SaveOutcome> {
        pass(.destroy, on: eventLoop) { self.base.destroy(tombstone, on: eventLoop) }
    }

    public func scan(after cursor: String?, limit: Int, on eventLoop: any EventLoop) -> EventLoopFuture<ScanPage> {
        pass(.scan, on: eventLoop) { self.base.scan(after: cursor, limit: limit, on: eventLoop) }
    }

    public func sweep(
        olderThan generation: Generation, limit: Int, on eventLoop: any EventLoop
    ) -> EventLoopFuture<Int> {
        pass(.sweep, on: eventLoop) { self.base.sweep(olderThan: generation, limit: limit, on: eventLoop) }
    }

    public func probe(on eventLoop: any EventLoop) -> EventLoopFuture<StoreProbe> {
        pass(.probe, on: eventLoop) { self.base.probe(on: eventLoop) }
    }

    public func shutdown() async throws {
        heal()
        try await base.shutdown()
    }
}
