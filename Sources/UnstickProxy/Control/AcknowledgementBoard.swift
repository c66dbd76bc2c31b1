import Synchronization
import UnstickCore

/// What each event loop has acknowledged, and what that makes the whole proxy acknowledge.
final class AcknowledgementBoard: Sendable {
    private struct State {
        var byLoop: [Epoch?]
        var told: Epoch?
    }

    private let state: Mutex<State>

    init(loops: Int) {
        state = Mutex(State(byLoop: Array(repeating: nil, count: loops), told: nil))
    }

    /// - Returns: whether the proxy's acknowledgement moved, so that the coordinator should hear of it at once.
    func update(loop: Int, acknowledged: Epoch?) -> Bool {
        state.withLock { state in
            state.byLoop[loop] = acknowledged
            let whole = Self.minimum(state.byLoop)
            guard let whole, whole != state.told else { return false }
            state.told = whole
            return true
        }
    }

    /// The epoch that every loop has acknowledged. A loop whose grace period for a newer one still runs gives nil, and
    /// so does the proxy: it has applied the newer and cannot claim the older any more.
    var acknowledged: Epoch? { state.withLock { Self.minimum($0.byLoop) } }

    private static func minimum(_ byLoop: [Epoch?]) -> Epoch? {
        var least: Epoch?
        for epoch in byLoop {
            guard let epoch else { return nil }
            least = least.map { min($0, epoch) } ?? epoch
        }
        return least
    }
}
