import BridgeContract
public import ControlAPI
import SessionStore
public import UnstickCore

extension Verifier {
    public func explain(id: String, table: RoutingTable) async -> SessionExplanation {
        let hash = StableHash.hash(id)
        var explanation = SessionExplanation(
            hash: secret.sessionHash(id), rampBucket: Int(hash % RoutingTable.buckets),
            inRamp: table.rampIncludes(hash),
            store: nil, memory: [], effectiveHome: nil, verdict: "")
        guard (1...SessionListing.idBytesMax).contains(id.utf8.count) else {
            explanation.verdict =
                "no session can have this id: it has \(id.utf8.count) bytes, and 1 to \(SessionListing.idBytesMax) are possible"
            return explanation
        }
        let stored: StoredVersion?
        do {
            stored = try await storeAccess().version(of: id)
        } catch {
            explanation.verdict = "unknown: the store did not answer (\(error))"
            return explanation
        }
        explanation.store = stored.map {
            SessionExplanation.StoreCopy(
                version: $0.version, generation: $0.generation, isTombstone: $0.isTombstone, home: $0.home,
                size: $0.size,
                expiresAt: $0.expiresAt)
        }
        let current = stored.flatMap { $0.generation == table.generation ? $0 : nil }
        explanation.memory = await copies(of: id, table: table)
        let home = table.effectiveHome(recorded: current?.home, sessionHash: hash).map { table.instances[$0].name }
        explanation.effectiveHome = home
        explanation.verdict = Self.verdict(current, stored, explanation.memory, home: home, table: table)
        return explanation
    }

    /// In the table's order.
    private func copies(of id: String, table: RoutingTable) async -> [SessionExplanation.MemoryCopy] {
        await withTaskGroup(of: (Int, SessionExplanation.MemoryCopy).self) { group in
            for (index, instance) in table.instances.enumerated() {
                group.addTask { (index, await copy(of: id, in: instance)) }
            }
            var copies: [(Int, SessionExplanation.MemoryCopy)] = []
            for await copy in group { copies.append(copy) }
            return copies.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private func copy(of id: String, in instance: RoutingTable.Instance) async -> SessionExplanation.MemoryCopy {
        var copy = SessionExplanation.MemoryCopy(instance: instance.name, version: nil, problem: nil)
        do throws(BridgeClientError) {
            switch try await bridge.export(id, from: instance) {
            case .missing: break
            case .unserializable(let count, _): copy.problem = VerificationRun.unserializable(count)
            case .session(let change, _, _): copy.version = change.version
            }
        } catch {
            copy.problem = error.message
        }
        return copy
    }

    static func verdict(
        _ current: StoredVersion?, _ stored: StoredVersion?, _ memory: [SessionExplanation.MemoryCopy], home: String?,
        table: RoutingTable
    ) -> String {
        let holders = memory.filter { $0.version != nil }
        let unasked = memory.filter { $0.problem != nil }.map(\.instance)
        let but = unasked.isEmpty ? "" : "; \(unasked.joined(separator: ", ")) could not tell"
        guard let current else {
            let old = stored.map { "; the store's copy is of generation \($0.generation)" } ?? ""
            if holders.isEmpty { return "neither the store nor any instance's memory holds it\(old)\(but)" }
            let names = holders.map { "\($0.instance) (version \($0.version!.version))" }.joined(separator: ", ")
            return "only in memory: \(names); not in the store\(old)\(but)"
        }
        let version = current.version.version
        if current.isTombstone {
            let left =
                holders.isEmpty ? "" : "; left over in the memory of \(holders.map(\.instance).joined(separator: ", "))"
            return "ended: the store keeps a tombstone at version \(version)\(left)\(but)"
        }
        guard let home, let copy = memory.first(where: { $0.instance == home }), let held = copy.version else {
            return
                "in the store at version \(version); its home \(home ?? "is no active instance")\(home == nil ? "" : "'s memory does not hold it")\(but)"
        }
        if held == current.version { return "in the store at version \(version), same as \(home)'s memory\(but)" }
        if held.version > version {
            return "\(home)'s memory is at version \(held.version), the store still at \(version)\(but)"
        }
        let decides = SessionComparison.storeDecides(home: current.home, table: table)
        let difference =
            held.version == version
            ? "the store and \(home)'s memory hold different contents at version \(version)"
            : "the store is at version \(version), \(home)'s memory at \(held.version)"
        return difference
            + (decides ? "; the store's is what counts" : "; memory is what counts in this phase: needs a look")
            + but
    }
}
