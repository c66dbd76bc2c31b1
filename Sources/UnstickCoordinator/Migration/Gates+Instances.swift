import ControlAPI
import UnstickCore

/// Gates of changing the set of instances and their weights.
extension Gates {
    /// In `mirroring` the sessions of an instance that left are re-homed by a choice among the active ones, and two
    /// requests of one session may be on their way there. One more active instance would send the second elsewhere, and
    /// the first one's memory, which counts in this phase, would miss its change.
    static func nobodyOutOfService(_ evidence: GateEvidence) -> [GateResult] {
        guard evidence.table.phase == .mirroring else { return [] }
        let out = evidence.table.instances.filter { !$0.state.isRoutable }.map(\.name)
        return [
            GateResult(
                name: "nobody-out-of-service", verdict: out.isEmpty ? .pass : .refuse,
                found: out.isEmpty ? "every instance is in service" : "\(out.joined(separator: ", ")) out of service",
                demanded: "in mirroring, no drained or fenced instance while another one joins",
                remedy: out.first.map {
                    "`unstick undrain \($0)`, or `unstick instances remove \($0)`, or add in another phase"
                })
        ]
    }

    /// Whoever is pinned by the address has another home when the set of instances is another. Only from `externalized`
    /// on does a session follow its client.
    static func addressesKeepHomes(_ evidence: GateEvidence) -> [GateResult] {
        guard evidence.options.pinsByAddress, evidence.table.phase < .externalized else { return [] }
        return [
            GateResult(
                name: "addresses-keep-homes", verdict: .refuse,
                found: "affinity.method is ip-hash: some clients would be sent away from their sessions",
                demanded: "phase externalized or later, where sessions follow their clients",
                remedy: "`unstick externalize` first, or use affinity.method: cookie")
        ]
    }

    /// Requests in flight and sessions, both zero; of a dead instance whose sessions the store has, neither is asked.
    static func holdsNothing(_ name: String, _ evidence: GateEvidence) -> GateResult {
        let demanded = "no request in flight and no session there"
        func result(_ verdict: GateResult.Verdict, _ found: String) -> GateResult {
            GateResult(
                name: "holds-nothing", verdict: verdict, found: found, demanded: demanded,
                remedy: verdict == .pass ? nil : "`unstick drain \(name)` waits for it and says what is left")
        }
        if evidence.table.instances.contains(where: { $0.name == name && $0.state == .fenced }),
            CoexistenceLevel(evidence.table).isCovered
        {
            return result(.pass, "\(name) is fenced: its sessions are re-homed from the store")
        }
        let inFlight = evidence.proxies.map { proxy in
            evidence.isAlive(proxy) ? proxy.report?.instances.first { $0.name == name }?.inFlight ?? 0 : nil
        }
        guard let description = evidence.instances.first(where: { $0.name == name }),
            let sessions = description.sessions
        else { return result(.inconclusive, "\(name) does not say how many sessions it holds") }
        let known = inFlight.compactMap(\.self)
        guard known.count == inFlight.count else { return result(.inconclusive, "not every proxy has reported") }
        let requests = known.reduce(0, +)
        return result(
            sessions == 0 && requests == 0 ? .pass : .refuse, "\(requests) requests in flight, \(sessions) sessions")
    }

    /// With weight 0 everywhere nobody new could be served.
    static func anotherTakesNewSessions(_ name: String, _ evidence: GateEvidence) -> GateResult {
        let others = evidence.table.instances.filter { $0.acceptsNewSessions && $0.name != name }.map(\.name)
        return GateResult(
            name: "another-takes-new-sessions", verdict: others.isEmpty ? .refuse : .pass,
            found: others.isEmpty ? "\(name) is the last one" : others.joined(separator: ", "),
            demanded: "at least one other active instance with a weight above 0",
            remedy: others.isEmpty ? "give another instance a weight, or add one" : nil)
    }
}
