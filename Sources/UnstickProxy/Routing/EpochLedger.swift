import UnstickCore

/// Counts the requests in flight by the epoch under which they began, so that a new epoch is acknowledged only after
/// its grace period: when every request that began under an older one has its response head mirrored.
struct EpochLedger {
    private(set) var applied: Epoch?
    private var open: [Epoch?: Int] = [:]

    /// A table is in use from now on.
    mutating func apply(_ epoch: Epoch) {
        if applied.map({ $0 < epoch }) ?? true { applied = epoch }
    }

    mutating func begin(_ epoch: Epoch?) {
        open[epoch, default: 0] += 1
    }

    /// The request's head has been mirrored (or the request failed for good).
    /// - Returns: whether this may have ended a grace period.
    mutating func end(_ epoch: Epoch?) -> Bool {
        guard let count = open[epoch] else { return false }
        if count > 1 {
            open[epoch] = count - 1
            return false
        }
        open[epoch] = nil
        return epoch != applied
    }

    /// The newest epoch whose grace period is over; nil while requests of older epochs are open.
    var acknowledged: Epoch? {
        guard let applied else { return nil }
        return open.keys.contains { $0 == nil || $0! < applied } ? nil : applied
    }
}
