import NIOCore
import UnstickCore

/// A routing table as one event loop uses it: with the loop's pools and the affinity cookies at hand. Requests hold on
/// to the one that they began with.
final class LoopTable {
    let table: RoutingTable
    /// The proxy made this table itself because it does not know the coordinator's yet.
    let isProvisional: Bool
    /// One per instance of the table, same order.
    let pools: [UpstreamPool]
    /// `NAME~SIGNATURE` per instance.
    let affinityValues: [[UInt8]]

    init(table: RoutingTable, isProvisional: Bool, pools: [UpstreamPool], affinityValues: [[UInt8]]) {
        self.table = table
        self.isProvisional = isProvisional
        self.pools = pools
        self.affinityValues = affinityValues
    }

    /// The instance that an affinity cookie names; nil for a value that is not one of ours. Values are fixed per
    /// instance, so comparing them checks the signature too.
    func instance(affinityValue: UnsafeRawBufferPointer) -> Int? {
        affinityValues.firstIndex { value in
            value.count == affinityValue.count && value.withUnsafeBytes { $0.elementsEqual(affinityValue) }
        }
    }

    func index(named name: String) -> Int? {
        table.instances.firstIndex { $0.name == name }
    }
}
