/// Which proxies are registered, by which epochs each may be routing, and what may therefore be published next.
///
/// The rule that it keeps: no two proxies are ever two levels (``CoexistenceLevel``) apart. A proxy counts with the level of the epoch it
/// acknowledged last **and** of every epoch published since, because any of those may have reached it; one that has
/// acknowledged nothing since it started behaves as phase `externalized`.
public struct ProxyLedger: Sendable, Equatable, Codable {
    public struct Entry: Sendable, Equatable, Codable {
        /// Random per process start.
        public var incarnation: String
        /// The process that it replaced: if that one reports again, two processes run under one name.
        public var replaced: String?
        /// The newest epoch whose acknowledgement arrived while the epoch was current; nil: none since it started.
        public var acknowledged: Epoch?
        /// The oldest epoch that it may be routing by.
        public var since: Epoch
    }

    /// One published epoch and its level.
    public struct Published: Sendable, Equatable, Codable {
        public var epoch: Epoch
        public var level: CoexistenceLevel
    }

    /// By name.
    public private(set) var entries: [String: Entry] = [:]
    /// Ascending; the last is the current one. Reaches back to the oldest epoch that a proxy may be routing by.
    public private(set) var published: [Published]

    public init(table: RoutingTable) {
        published = [Published(epoch: table.epoch, level: CoexistenceLevel(table))]
    }

    public var current: Epoch { published[published.count - 1].epoch }

    /// What a report changed.
    public enum Change: Sendable, Equatable {
        case joined
        case restarted
        case acknowledged
    }

    public struct DuplicateName: Error, Equatable {}

    /// Registers or renews a proxy. An acknowledgement of anything but the current epoch counts for nothing: it says
    /// that the proxy has seen that epoch, not that it has left all others behind.
    /// - Returns: nil when the ledger is as before.
    public mutating func report(
        name: String, incarnation: String, acknowledged: Epoch?
    ) throws(DuplicateName) -> Change? {
        let isCurrent = acknowledged == current
        guard var entry = entries[name] else {
            entries[name] = Entry(
                incarnation: incarnation, replaced: nil, acknowledged: isCurrent ? current : nil, since: current)
            return .joined
        }
        if entry.incarnation != incarnation {
            if entry.replaced == incarnation { throw DuplicateName() }
            // The process before it may still be answering its last requests by whatever it knew: `since` stays.
            entry = Entry(
                incarnation: incarnation, replaced: entry.incarnation, acknowledged: nil, since: entry.since)
            if isCurrent { entry.acknowledge(current) }
            entries[name] = entry
            prune()
            return .restarted
        }
        guard isCurrent, entry.acknowledged != current else { return nil }
        entry.acknowledge(current)
        entries[name] = entry
        prune()
        return .acknowledged
    }

    /// Removes a proxy; false when there is none of that name.
    public mutating func forget(_ name: String) -> Bool {
        defer { prune() }
        return entries.removeValue(forKey: name) != nil
    }

    /// Proxies that have not acknowledged the current epoch, sorted.
    public var unsettled: [String] {
        entries.filter { $0.value.acknowledged != current }.keys.sorted()
    }

    /// Whether every registered proxy has acknowledged the current epoch.
    public var isSettled: Bool { unsettled.isEmpty }

    /// Every level that a table has told the proxy since the oldest that it may be routing by. Besides, one that has
    /// acknowledged nothing since it started may still behave as `externalized`.
    public func toldLevels(of entry: Entry) -> Set<CoexistenceLevel> {
        Set(published.lazy.filter { $0.epoch >= entry.since }.map(\.level))
    }

    /// How much a publication may presume.
    public enum Urgency: Sendable, Equatable {
        /// Waits until every registered proxy has acknowledged the current epoch.
        case orderly
        /// Rollback from `stateless`, undoing, and the first step of fencing: silent proxies do not hold it up.
        case urgent
    }

    public enum Refusal: Error, Sendable, Equatable {
        case unsettled([String])
        /// The proxy may be at a level that cannot coexist with the new one.
        case tooFarApart(proxy: String, level: CoexistenceLevel)
    }

    /// Refuses a table that would let levels two apart coexist, and an orderly one before all have acknowledged.
    ///
    /// A proxy that has acknowledged nothing since it started counts as `externalized`, which by contract goes with
    /// every phase but `completed`.
    public func check(publishing table: RoutingTable, _ urgency: Urgency) throws(Refusal) {
        if urgency == .orderly, !isSettled { throw .unsettled(unsettled) }
        let level = CoexistenceLevel(table)
        for (name, entry) in entries.sorted(by: { $0.key < $1.key }) {
            for told in toldLevels(of: entry).sorted() where !told.canCoexist(with: level) {
                throw .tooFarApart(proxy: name, level: told)
            }
            if entry.acknowledged == nil, level == .completed { throw .tooFarApart(proxy: name, level: .externalized) }
        }
    }

    /// Notes a publication. The caller has checked it.
    public mutating func publish(_ table: RoutingTable) {
        guard table.epoch > current else { return }
        published.append(Published(epoch: table.epoch, level: CoexistenceLevel(table)))
        prune()
    }

    private mutating func prune() {
        let oldest = entries.values.map(\.since).min() ?? current
        let newest = current
        published.removeAll { $0.epoch < oldest && $0.epoch != newest }
    }
}

extension ProxyLedger.Entry {
    fileprivate mutating func acknowledge(_ epoch: Epoch) {
        acknowledged = epoch
        since = epoch
    }
}
