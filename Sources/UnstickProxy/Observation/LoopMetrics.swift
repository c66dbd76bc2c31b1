import HTTPWire
import UnstickCore

/// One event loop's counters: plain numbers that only their loop touches, summed over the loops when somebody asks.
///
/// Labels come from closed sets (methods, code classes, reasons) and from the configured instances, so that no client can
/// make them grow.
struct LoopMetrics: Sendable {
    /// Per instance, and one for requests that no instance was asked for.
    struct Instance: Sendable {
        static let methods = 10
        static let classes = 6

        var name: String
        /// By method and code class; class 0 is "no status sent".
        var requests = InlineArray<60, UInt64>(repeating: 0)
        /// Head complete to last byte.
        var duration = DurationHistogram()
        /// Request sent to response head.
        var response = DurationHistogram()
        var connect = DurationHistogram()
        var connectFailures: UInt64 = 0

        init(name: String) { self.name = name }

        @inline(__always)
        mutating func count(method: RequestMethod, status: UInt16) {
            let digit = Int(status / 100)
            requests[Int(method.rawValue) &* Self.classes &+ (digit < Self.classes ? digit : 0)] &+= 1
        }

        mutating func add(_ other: Instance) {
            for index in requests.indices { requests[index] &+= other.requests[index] }
            duration.add(other.duration)
            response.add(other.response)
            connect.add(other.connect)
            connectFailures &+= other.connectFailures
        }
    }

    /// The slot of requests without an instance. No instance can be called `-`: names begin with a letter or digit.
    static let noInstance: UInt16 = 0
    /// Slots that are kept for instances, present and former; what comes later shares the first.
    static let instancesMax = 1024

    private(set) var instances = [Instance(name: "-")]

    var storeReads = DurationHistogram()
    var hydrations = DurationHistogram()
    /// Session changes: sent to the store until durable.
    var mirrorLag = DurationHistogram()

    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0

    var connectionsAccepted: UInt64 = 0
    var connectionsClosed: UInt64 = 0
    /// By ``ConnectionRefusal``.
    var connectionsRefused = InlineArray<5, UInt64>(repeating: 0)
    var tlsHandshakes: UInt64 = 0
    var tlsFailures: UInt64 = 0

    var requestsBegun: UInt64 = 0
    var requestsEnded: UInt64 = 0
    var upgrades: UInt64 = 0
    var clientsGone: UInt64 = 0
    /// By ``RetryReason``.
    var retries = InlineArray<6, UInt64>(repeating: 0)
    /// Retries that the budget did not allow.
    var retriesDenied: UInt64 = 0
    /// By ``OwnAnswer``.
    var ownAnswers = InlineArray<17, UInt64>(repeating: 0)
    var rateLimited: UInt64 = 0
    /// Failed store operations of any kind.
    var storeErrors: UInt64 = 0
    var upstreamConnectionsOpened: UInt64 = 0
    var ejections: UInt64 = 0
    var breakerOpenings: UInt64 = 0
    /// Access log lines that did not fit.
    var accessLogDropped: UInt64 = 0

    init() {}

    /// The slot that counts for the instance; the same for the same name as long as the process lives. Called when a
    /// routing table is applied.
    mutating func slot(of name: String) -> UInt16 {
        if let index = instances.firstIndex(where: { $0.name == name }) { return UInt16(index) }
        guard instances.count <= Self.instancesMax else { return Self.noInstance }
        instances.append(Instance(name: name))
        return UInt16(instances.count - 1)
    }

    func name(ofSlot slot: UInt16) -> String { Int(slot) < instances.count ? instances[Int(slot)].name : "-" }

    @inline(__always)
    mutating func refused(_ reason: ConnectionRefusal) { connectionsRefused[Int(reason.rawValue)] &+= 1 }

    @inline(__always)
    mutating func retried(_ reason: RetryReason) { retries[Int(reason.rawValue)] &+= 1 }

    @inline(__always)
    mutating func connectFailed(slot: UInt16) { instances[Int(slot)].connectFailures &+= 1 }

    /// Counts a request that has ended.
    @inline(__always)
    mutating func record(_ request: borrowing RequestObservation, method: RequestMethod) {
        requestsEnded &+= 1
        bytesIn &+= request.bytesIn
        bytesOut &+= request.bytesOut
        // An index out of range would be a slot of another loop; better counted apart than a crash.
        let slot = Int(request.instance) < instances.count ? Int(request.instance) : 0
        instances[slot].count(method: method, status: request.status)
        instances[slot].duration.record(.init(began: request.started, ended: request.ended))
        if slot != 0 {
            instances[slot].response.record(request.answered)
            // A kept connection costs nothing, and would hide what new ones cost.
            if request.connected.ended > request.connected.began { instances[slot].connect.record(request.connected) }
        }
        if request.storeRead.began != 0 { storeReads.record(request.storeRead) }
        if request.hydrated.began != 0 { hydrations.record(request.hydrated) }
        if request.mirrored.began != 0 { mirrorLag.record(request.mirrored) }
        if request.ownAnswer != .none { ownAnswers[Int(request.ownAnswer.rawValue)] &+= 1 }
        if !request.flags.isDisjoint(with: [.clientGone, .upgraded]) {
            if request.flags.contains(.clientGone) { clientsGone &+= 1 }
            if request.flags.contains(.upgraded) { upgrades &+= 1 }
        }
    }

    /// Adds another loop's numbers; instances are matched by name.
    mutating func add(_ other: LoopMetrics) {
        for instance in other.instances { instances[Int(slot(of: instance.name))].add(instance) }
        storeReads.add(other.storeReads)
        hydrations.add(other.hydrations)
        mirrorLag.add(other.mirrorLag)
        for index in connectionsRefused.indices { connectionsRefused[index] &+= other.connectionsRefused[index] }
        for index in retries.indices { retries[index] &+= other.retries[index] }
        for index in ownAnswers.indices { ownAnswers[index] &+= other.ownAnswers[index] }
        for path in Self.plainCounters { self[keyPath: path] &+= other[keyPath: path] }
    }

    private static var plainCounters: [WritableKeyPath<LoopMetrics, UInt64>] {
        [
            \.bytesIn, \.bytesOut, \.connectionsAccepted, \.connectionsClosed, \.tlsHandshakes,
            \.tlsFailures, \.requestsBegun, \.requestsEnded, \.upgrades, \.clientsGone, \.retriesDenied,
            \.rateLimited, \.storeErrors, \.upstreamConnectionsOpened, \.ejections, \.breakerOpenings,
            \.accessLogDropped,
        ]
    }
}
