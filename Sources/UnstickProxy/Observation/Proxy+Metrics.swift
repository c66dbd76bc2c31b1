public import ControlAPI
import NIOCore
import UnstickCore

extension Proxy {
    /// Appends the proxy's metrics. An event loop that does not answer is left out.
    public func writeMetrics(to text: inout PrometheusText) async {
        let facts = await ask { $0.facts() }
        // Without loops there is nothing to tell; there always is one.
        guard var facts = facts.first else { return }
        facts.certificates = certificates.map { (name: $0.file, expiry: $0.expiry) }
        ProxyMetrics.write(await ask { $0.snapshot() }, facts, to: &text)
    }

    /// Why it should get no traffic; nil when it should. It listens, does not stop, and has at least one healthy instance.
    public func unreadiness() async -> String? {
        guard port != nil else { return "does not listen yet" }
        let loops = await ask { $0.snapshot() }
        if loops.contains(where: \.isStopping) { return "stops" }
        if loops.contains(where: { !$0.upstreams.contains(where: \.isHealthy) }) { return "no instance is healthy" }
        return nil
    }

    /// Asks the event loops in turn, each on its own thread.
    private func ask<Answer: Sendable>(_ question: @escaping @Sendable (ProxyLoop) -> Answer) async -> [Answer] {
        var answers: [Answer] = []
        for bound in loops {
            if let answer = try? await bound.eventLoop.submit({ question(bound.value) }).get() {
                answers.append(answer)
            }
        }
        return answers
    }
}

extension ProxyLoop {
    /// What all loops of the proxy have in common.
    func facts() -> ProxyFacts {
        ProxyFacts(
            name: options.name, spans: options.observation.tracing?.sink.tally,
            accessLogLost: options.observation.accessLog?.writer.linesLost ?? 0)
    }

    func snapshot() -> LoopSnapshot {
        var metrics = observer.metrics
        metrics.upstreamConnectionsOpened &+= table.pools.reduce(0) { $0 + $1.connectionsOpened }
        return snapshot(metrics)
    }

    private func snapshot(_ metrics: LoopMetrics) -> LoopSnapshot {
        LoopSnapshot(
            metrics: metrics, counters: counters, dirtySessions: dirty.dirtyCount,
            dirtyOverflow: dirty.overflowed, mirrorQueue: mirrorsInFlight, store: storeHealth, phase: table.table.phase,
            applied: table.isProvisional ? nil : table.table.epoch, acknowledged: ledger.acknowledged,
            isStopping: isStopping,
            upstreams: table.pools.map { pool in
                LoopSnapshot.Upstream(
                    name: pool.name, isHealthy: pool.condition.mayTakeNewWork, isEjected: pool.condition.isEjected,
                    breaker: LoopSnapshot.Breaker(pool.condition.breaker.state), inFlight: pool.inFlight,
                    waiting: pool.waitingCount, connectionsOpen: pool.open, connectionsIdle: pool.idleCount)
            })
    }
}

extension LoopSnapshot.Breaker {
    init(_ state: CircuitBreaker.State) {
        switch state {
        case .closed: self = .closed
        case .open: self = .open
        case .halfOpen: self = .halfOpen
        }
    }
}
