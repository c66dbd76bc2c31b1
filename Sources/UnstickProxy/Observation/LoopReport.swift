import ControlAPI
import UnstickCore

extension ProxyLoop {
    /// One event loop's share of a ``ProxyReport``.
    struct Part: Sendable {
        var counters: ProxyReport.Counters
        var dirty: Int
        var overflowed: Bool
        var mirrorQueue: Int
        var store: ProxyReport.StoreHealth
        var instances: [InstanceReport]
        var mirrorLatency: LatencyHistogram
        var responseLatency: LatencyHistogram

        /// Sums the loops' shares. Health is the worst that any loop sees, since each routes by its own view.
        static func merge(
            _ parts: [Part], name: String, incarnation: String, listen: String, acknowledged: Epoch?, applied: Epoch?
        ) -> ProxyReport {
            var report = ProxyReport(
                name: name, incarnation: incarnation, listen: listen, acknowledged: acknowledged, applied: applied)
            var mirror = LatencyHistogram()
            var response = LatencyHistogram()
            for part in parts {
                report.dirtySessions += part.dirty
                report.dirtyOverflow = report.dirtyOverflow || part.overflowed
                report.mirrorQueue += part.mirrorQueue
                if part.store == .down || report.store == .unknown { report.store = part.store }
                report.counters.add(part.counters)
                mirror.merge(part.mirrorLatency)
                response.merge(part.responseLatency)
                for instance in part.instances {
                    if let index = report.instances.firstIndex(where: { $0.name == instance.name }) {
                        report.instances[index].inFlight += instance.inFlight
                        report.instances[index].requests += instance.requests
                        if instance.health == .unhealthy {
                            report.instances[index].health = .unhealthy
                            report.instances[index].reason = instance.reason
                        }
                    } else {
                        report.instances.append(instance)
                    }
                }
            }
            report.counters.mirrorP50Microseconds = mirror.quantile(0.5)
            report.counters.mirrorP99Microseconds = mirror.quantile(0.99)
            report.counters.responseP50Microseconds = response.quantile(0.5)
            report.counters.responseP99Microseconds = response.quantile(0.99)
            return report
        }
    }

    /// The loop's share, with the latencies since the last one.
    func takePart() -> Part {
        let part = Part(
            counters: counters, dirty: dirty.dirtyCount, overflowed: dirty.overflowed, mirrorQueue: mirrorsInFlight,
            store: storeHealth, instances: instanceReports(), mirrorLatency: mirrorLatency,
            responseLatency: responseLatency)
        mirrorLatency.reset()
        responseLatency.reset()
        return part
    }
}

extension ProxyReport.Counters {
    fileprivate mutating func add(_ other: ProxyReport.Counters) {
        requests &+= other.requests
        sessionRequests &+= other.sessionRequests
        proxyErrors &+= other.proxyErrors
        upstreamErrors &+= other.upstreamErrors
        mirrored &+= other.mirrored
        mirrorFailures &+= other.mirrorFailures
        hydrated &+= other.hydrated
        fallbackReads &+= other.fallbackReads
        conflicts &+= other.conflicts
        unserializable &+= other.unserializable
        failovers &+= other.failovers
    }
}
