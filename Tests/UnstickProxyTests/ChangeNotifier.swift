import NIOCore
import NIOPosix
import Synchronization

/// Wakes tests that wait for something to become true, each at most a minute.
final class ChangeNotifier: Sendable {
    private struct Waiter {
        var condition: @Sendable () -> Bool
        var continuation: CheckedContinuation<Bool, Never>
    }
    private struct State {
        var waiters: [Int: Waiter] = [:]
        var next = 0
    }
    private let state = Mutex(State())

    /// To be called after every change of what conditions look at.
    func changed() {
        let ready = state.withLock { state in
            let ready = state.waiters.filter { $0.value.condition() }
            for id in ready.keys { state.waiters[id] = nil }
            return ready.values.map(\.continuation)
        }
        for continuation in ready { continuation.resume(returning: true) }
    }

    /// False when it did not become true in time.
    func wait(until condition: @escaping @Sendable () -> Bool) async -> Bool {
        await withCheckedContinuation { continuation in
            let id: Int? = state.withLock { state in
                guard !condition() else { return nil }
                state.next += 1
                state.waiters[state.next] = Waiter(condition: condition, continuation: continuation)
                return state.next
            }
            guard let id else { return continuation.resume(returning: true) }
            MultiThreadedEventLoopGroup.singleton.any().scheduleTask(in: .seconds(60)) {
                let late = self.state.withLock { $0.waiters.removeValue(forKey: id)?.continuation }
                late?.resume(returning: false)
            }
        }
    }
}
