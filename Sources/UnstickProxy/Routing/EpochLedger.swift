import UnstickCore

/// Counts the requests in flight by the epoch under which they began, so that a new epoch is acknowledged only after
/// its grace period: when every request that began under an older one has its response head mirrored.
struct EpochLedger {
    private(set) var applied: Epoch?
    /// Requests that began under `applied`; the usual ones, counted without a look-up.
    private var current = 0
    private var older: [Epoch?: Int] = [:]

    /// A table is in use from now on.
    mutating func apply(_ epoch: Epoch) {
        guard applied.map({ $0 < epoch }) ?? true else { return }
        if current > 0 { older[applied, default: 0] += current }
        current = 0
        applied = epoch
    }

    mutating func begin(_ epoch: Epoch?) {
        if epoch == applied { current += 1 } else { older[epoch, default: 0] += 1 }
    }

    /// The request's head has been mirrored (or the request failed for good).
    /// - Returns: whether this has ended the grace period of `applied`.
    mutating func end(_ epoch: Epoch?) -> Bool {
        if epoch == applied {
            current -= 1
            return false
        }
        guard let count = older[epoch] else { return false }
        older[epoch] = count > 1 ? count - 1 : nil
        return older.isEmpty
    }

    /// The newest epoch whose grace period is over; nil while requests of older epochs are open.
    var acknowledged: Epoch? { older.isEmpty ? applied : nil }
}
