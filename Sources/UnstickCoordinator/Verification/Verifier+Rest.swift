public import ControlAPI
public import UnstickCore
extension Verifier {
    public func repatriate(
        table: RoutingTable, passes: Int, progress: @escaping @Sendable (Coverage) -> Void
    ) async -> RepatriationReport { fatalError() }
    public func evict(instance: RoutingTable.Instance, scope: EvictionScope, table: RoutingTable) async -> EvictionReport { fatalError() }
    public func explain(id: String, table: RoutingTable) async -> SessionExplanation { fatalError() }
}
