public import ControlAPI
import Synchronization
public import UnstickCore

/// What a proxy last said.
struct ProxyObservation: Sendable {
    var report: ProxyReport
    var heardAt: Duration
    /// Since when it cannot remember all dirty sessions; a whole verification begun later clears that.
    var overflowSince: UnixMilliseconds?
    /// Counters at the beginning of the current and of the previous window.
    var windowStart: (at: Duration, counters: ProxyReport.Counters)
    var previousStart: ProxyReport.Counters

    static let window = Duration.seconds(10)

    init(_ report: ProxyReport, at now: Duration, wall: UnixMilliseconds) {
        self.report = report
        heardAt = now
        overflowSince = report.dirtyOverflow ? wall : nil
        windowStart = (now, report.counters)
        previousStart = report.counters
    }

    mutating func update(_ report: ProxyReport, at now: Duration, wall: UnixMilliseconds) {
        guard report.incarnation == self.report.incarnation else {
            self = ProxyObservation(report, at: now, wall: wall)
            return
        }
        overflowSince = report.dirtyOverflow ? overflowSince ?? wall : nil
        self.report = report
        heardAt = now
        if now - windowStart.at >= Self.window {
            previousStart = windowStart.counters
            windowStart = (now, report.counters)
        }
    }

    /// Answers and failures since the beginning of the previous window: the last 10 to 20 seconds.
    var recent: (answers: UInt64, failures: UInt64) {
        let now = report.counters
        let answers = now.requests &- min(now.requests, previousStart.requests)
        let failed = now.proxyErrors + now.upstreamErrors
        return (answers, failed &- min(failed, previousStart.proxyErrors + previousStart.upstreamErrors))
    }
}

extension Coordinator: CoordinatorLink {
    /// Most proxies that may register; a wrong name in a loop must not fill the journal.
    static let proxiesMax = 1000

    public func report(_ report: ProxyReport) async throws -> ProxyReportReply {
        try accept(report)
    }

    /// - Throws: ``APIProblem`` for a name that two processes use.
    func accept(_ report: ProxyReport) throws -> ProxyReportReply {
        guard !report.name.isEmpty, report.name.utf8.count <= 128 else {
            throw APIProblem(code: .invalid, message: "a proxy's name has 1 to 128 bytes")
        }
        // Most reports change nothing that must survive: they do not touch the disk.
        let isNews = try state.withLock { state in
            if state.isHalted { throw Halted() }
            var ledger = state.control.ledger
            if ledger.entries[report.name] == nil, ledger.entries.count >= Self.proxiesMax {
                throw APIProblem(code: .invalid, message: "more than \(Self.proxiesMax) proxies")
            }
            do {
                return try ledger.report(
                    name: report.name, incarnation: report.incarnation, acknowledged: report.acknowledged) != nil
            } catch {
                throw APIProblem(code: .invalid, message: "two proxies are called '\(report.name)'; names are unique")
            }
        }
        if isNews {
            try commit { next, drafts in
                let change = try next.ledger.report(
                    name: report.name, incarnation: report.incarnation, acknowledged: report.acknowledged)
                switch change {
                case .joined: drafts.append(Draft(.event, "proxy \(report.name) joined, \(report.listen)"))
                case .restarted: drafts.append(Draft(.event, "proxy \(report.name) restarted"))
                case .acknowledged where next.ledger.isSettled:
                    drafts.append(Draft(.event, "every proxy has acknowledged epoch \(next.table.epoch)"))
                default: break
                }
            }
        }
        let now = clock.monotonic()
        let wall = clock.wall()
        defer { signal.notify() }
        return state.withLock { state in
            if state.proxies[report.name] == nil {
                state.proxies[report.name] = ProxyObservation(report, at: now, wall: wall)
            } else {
                state.proxies[report.name]!.update(report, at: now, wall: wall)
            }
            if state.control.ledger.isSettled {
                state.settledRamp = state.control.table.effectiveRamp
            }
            var clears = false
            if let since = state.proxies[report.name]!.overflowSince, let verification = state.verification,
                verification.isComplete, verification.startedAt > since
            {
                clears = true
            }
            return ProxyReportReply(table: state.control.table, clearDirtyOverflow: clears)
        }
    }

    public func table(newerThan epoch: Epoch?, patience: Duration) async throws -> RoutingTable? {
        try await wait(until: clock.monotonic() + min(patience, .seconds(60))) { state in
            guard let epoch else { return state.control.table }
            return state.control.table.epoch > epoch ? state.control.table : nil
        }
    }

    /// The present table.
    public var currentTable: RoutingTable { state.withLock { $0.control.table } }

    /// Removes a proxy that is gone, so that it holds up nothing any more. If it is not gone it registers again.
    /// - Throws: ``APIProblem`` when there is none of that name.
    public func forget(proxy name: String, by: String?, from: String?) throws {
        try commit { next, drafts in
            guard next.ledger.forget(name) else {
                let known = next.ledger.entries.keys.sorted().joined(separator: ", ")
                throw APIProblem(code: .invalid, message: "there is no proxy '\(name)'; registered are: \(known)")
            }
            drafts.append(Draft(.event, "proxy \(name) was forgotten", from: from, by: by))
        }
        state.withLock { _ = $0.proxies.removeValue(forKey: name) }
    }
}

extension RoutingTable {
    /// Share of sessions routed statelessly once every proxy has acknowledged this table, percent.
    var effectiveRamp: Int {
        switch phase {
        case .stateless: rampPercent
        case .completed: 100
        default: 0
        }
    }
}
