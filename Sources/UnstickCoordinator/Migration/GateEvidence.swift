import ControlAPI
import SessionStore
import UnstickCore

/// What gates judge. Nil means not known, and what is not known is inconclusive.
struct GateEvidence: Sendable {
    struct Proxy: Sendable {
        var name: String
        /// Its last report since the coordinator started.
        var report: ProxyReport?
        /// Since its last report.
        var silence: Duration?
        /// Answers and failures in the last window.
        var answers: UInt64 = 0
        var failures: UInt64 = 0
    }

    enum Store: Sendable {
        case answered(StoreProbe)
        case failed(String)
    }

    var table: RoutingTable
    var ledger: ProxyLedger
    /// All that are registered, by name.
    var proxies: [Proxy]
    var store: Store?
    var instances: [InstanceDescription]
    var verification: VerificationReport?
    var soak: ControlState.Soak?
    var now: UnixMilliseconds
    var options: CoordinatorOptions

    func isAlive(_ proxy: Proxy) -> Bool { proxy.silence.map { $0 <= options.silenceLimit } ?? false }
}
