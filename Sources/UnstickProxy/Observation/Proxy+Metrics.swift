public import ControlAPI
import NIOCore
import UnstickCore

extension Proxy {
    /// Appends the proxy's metrics. An event loop that does not answer is left out.
    public func writeMetrics(to text: inout PrometheusText) async {
        let loops = await snapshots()
        ProxyMetrics.write(loops, ProxyFacts(name: loops.first?.proxyName ?? "-"), to: &text)
    }

    /// Why it should get no traffic; nil when it should. It listens, does not stop, and has at least one healthy instance.
    public func unreadiness() async -> String? {
        guard port != nil else { return "does not listen yet" }
        let loops = await snapshots()
        if loops.contains(where: \.isStopping) { return "stops" }
        if loops.contains(where: { !$0.upstreams.contains(where: \.isHealthy) }) { return "no instance is healthy" }
        return nil
    }

    private func snapshots() async -> [LoopSnapshot] {
        var snapshots: [LoopSnapshot] = []
        for bound in loopsForTests {
            if let snapshot = try? await bound.eventLoop.submit({ bound.value.snapshot() }).get() {
                snapshots.append(snapshot)
            }
        }
        return snapshots
    }

}

extension ProxyLoop {
    func snapshot() -> LoopSnapshot {
        LoopSnapshot(
            proxyName: options.name, metrics: LoopMetrics(), counters: counters, dirtySessions: dirty.dirtyCount,
            dirtyOverflow: dirty.overflowed, mirrorQueue: mirrorsInFlight, store: storeHealth, phase: table.table.phase,
            applied: table.isProvisional ? nil : table.table.epoch, acknowledged: ledger.acknowledged,
            isStopping: isStopping,
            upstreams: table.pools.map { pool in
                LoopSnapshot.Upstream(name: pool.name, isHealthy: pool.isHealthy, inFlight: pool.inFlight)
            })
    }
}
