import UnstickCore

/// A routing table as one event loop uses it: with the loop's pools and the affinity at hand. Requests hold on to the
/// one that they began with.
final class LoopTable {
    let table: RoutingTable
    /// What of the table decides routes.
    let routes: RouteMap
    /// The proxy made this table itself because it does not know the coordinator's yet.
    let isProvisional: Bool
    /// One per instance of the table, same order.
    let pools: [UpstreamPool]
    /// `NAME~SIGNATURE` per instance.
    let affinityValues: [[UInt8]]
    let affinity: AffinityTable

    /// - Parameter affinityValues: as many as the table has instances.
    init(
        table: RoutingTable, isProvisional: Bool, pools: [UpstreamPool], affinityValues: [[UInt8]],
        affinity: ProxyOptions.Affinity
    ) {
        self.table = table
        routes = RouteMap(table)
        self.isProvisional = isProvisional
        self.pools = pools
        self.affinityValues = affinityValues
        self.affinity = AffinityTable(affinity, values: affinityValues, instances: table.instances)
    }

    func index(named name: String) -> Int? {
        table.instances.firstIndex { $0.name == name }
    }
}

extension LoopTable: BalancedInstances {
    var count: Int { pools.count }
    func acceptsNewSessions(_ index: Int) -> Bool { routes.acceptsNewSessions(index) }
    func isHealthy(_ index: Int) -> Bool { pools[index].isHealthy }
    func load(_ index: Int) -> Int { pools[index].inFlight }
    func weight(_ index: Int) -> Int { routes.weight(index) }
    func nameHash(_ index: Int) -> UInt64 { routes.nameHash(index) }
}
