import ControlAPI
import UnstickCore

/// Everything that must survive the coordinator; written in the same transaction as the journal entry that announces
/// its change.
struct ControlState: Sendable, Codable {
    var table: RoutingTable
    var ledger: ProxyLedger
    var operation: RunningOperation?
    /// Goes next: a rollback that has pre-empted `operation`, which is being undone.
    var queued: RunningOperation?
    var lastOperation: Int64 = 0
    var soak: Soak?
    var isPaused = false
    /// What configuration and discovery want; nil in the state of an older version.
    var roster: InstanceRoster?

    /// Since when the ramp is at 100 % everywhere.
    struct Soak: Sendable, Codable, Equatable {
        var since: UnixMilliseconds
        var fallbackReads: [String: FallbackMark]
    }

    /// A proxy's fallback counter as the soak began.
    struct FallbackMark: Sendable, Codable, Equatable {
        var incarnation: String
        var count: UInt64
    }

    init(table: RoutingTable) {
        self.table = table
        ledger = ProxyLedger(table: table)
    }
}
