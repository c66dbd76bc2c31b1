import ControlAPI
import SessionStore
import UnstickCore

/// Gates: pure functions from evidence to a verdict. Missing evidence is inconclusive, and inconclusive refuses.
enum Gates {
    static func evaluate(_ set: PlanStep.GateSet, _ evidence: GateEvidence) -> [GateResult] {
        switch set {
        case .mirror:
            proxies(evidence) + [proxiesProtocol(evidence)] + store(evidence) + [bridgesAnswer(evidence)]
        case .externalize:
            proxies(evidence) + store(evidence) + [bridgesAnswer(evidence)]
        case .switchTo:
            proxies(evidence) + [storeReachable(evidence), bridgesAnswer(evidence), errorRate(evidence)]
                + latency(evidence)
        case .complete(let confirm):
            [confirmed(confirm, evidence)] + proxies(evidence)
                + [
                    storeReachable(evidence), rampComplete(evidence), soakOver(evidence), fallbackReadsZero(evidence),
                    errorRate(evidence),
                ]
        case .rollbackToMirroring, .rollbackToSticky:
            proxies(evidence) + [storeReachable(evidence), bridgesAnswer(evidence)]
        // Nothing depends on the store yet, and nothing is taken from a memory: an instance that is gone is gone as in
        // `sticky`.
        case .abandonMirroring: proxies(evidence)
        case .drain(let instance):
            proxies(evidence) + [notLastActive(instance, evidence)]
                + (evidence.table.phase.mirrors ? [storeReachable(evidence)] : [])
        case .addInstance: proxies(evidence) + nobodyOutOfService(evidence) + addressesKeepHomes(evidence)
        case .removeInstance(let name, let force):
            proxies(evidence) + [notLastActive(name, evidence)]
                + (force && !evidence.table.phase.mirrors
                    ? [] : [holdsNothing(name, evidence)] + addressesKeepHomes(evidence))
        case .setWeight(let name, let weight):
            proxies(evidence) + (weight == 0 ? [anotherTakesNewSessions(name, evidence)] : [])
        case .undrain:
            proxies(evidence) + (evidence.table.phase.mirrors ? [storeReachable(evidence)] : [])
        }
    }

    /// Gates of a finished verification.
    static func verified(_ demand: PlanStep.VerificationDemand, _ evidence: GateEvidence) -> [GateResult] {
        switch demand {
        case .everything, .final:
            [everySessionExternalized(evidence), mirrorQueuesEmpty(evidence), noDirtySessions(evidence)]
        case .compare, .instance: [everySessionExternalized(evidence)]
        }
    }

    static func passes(_ gates: [GateResult]) -> Bool { gates.allSatisfy { $0.verdict == .pass } }

    /// Whether the next report of a proxy may turn the gate by itself.
    static func mendsItself(_ gate: GateResult) -> Bool {
        switch gate.name {
        case "proxies-alive", "proxies-acknowledged", "proxies-protocol", "mirror-queues-empty", "no-dirty-sessions":
            true
        // The soak begins with the next look after the last report; a coordinator that has just started has none yet.
        case "soak-over", "fallback-reads-zero": gate.verdict == .inconclusive
        default: false
        }
    }

    /// The gates that refuse, in one sentence.
    static func refusal(_ gates: [GateResult]) -> String {
        gates.filter { $0.verdict != .pass }.map { gate in
            "\(gate.name): \(gate.found) (demanded: \(gate.demanded))" + (gate.remedy.map { "; \($0)" } ?? "")
        }.joined(separator: " · ")
    }

    // MARK: Proxies

    static func proxies(_ evidence: GateEvidence) -> [GateResult] {
        [proxiesAlive(evidence), proxiesAcknowledged(evidence)]
    }

    static func proxiesAlive(_ evidence: GateEvidence) -> GateResult {
        let demanded = "every registered proxy has reported within \(evidence.options.silenceLimit.words)"
        guard !evidence.proxies.isEmpty else {
            return GateResult(
                name: "proxies-alive", verdict: .inconclusive, found: "no proxy is registered", demanded: demanded,
                remedy: "start a proxy")
        }
        let silent = evidence.proxies.filter { !evidence.isAlive($0) }
        guard let first = silent.first else {
            return GateResult(
                name: "proxies-alive", verdict: .pass, found: "\(evidence.proxies.count) alive", demanded: demanded)
        }
        let found = silent.map { proxy in
            "\(proxy.name) " + (proxy.silence.map { "silent for \($0.words)" } ?? "not heard of since the start")
        }
        return GateResult(
            name: "proxies-alive", verdict: .inconclusive, found: found.joined(separator: ", "), demanded: demanded,
            remedy: "restart it, or `unstick proxies forget \(first.name)` if it is gone")
    }

    static func proxiesAcknowledged(_ evidence: GateEvidence) -> GateResult {
        let waiting = evidence.ledger.unsettled
        return GateResult(
            name: "proxies-acknowledged", verdict: waiting.isEmpty ? .pass : .refuse,
            found: waiting.isEmpty
                ? "all at epoch \(evidence.table.epoch)" : "not yet \(waiting.joined(separator: ", "))",
            demanded: "every registered proxy has acknowledged epoch \(evidence.table.epoch)",
            remedy: waiting.first.map { "wait, or `unstick proxies forget \($0)` if it is gone" })
    }

    static func proxiesProtocol(_ evidence: GateEvidence) -> GateResult {
        let unknown = evidence.proxies.filter { $0.report == nil }.map(\.name)
        let others = evidence.proxies.filter {
            $0.report.map { $0.protocolVersion != proxyProtocolVersion } ?? false
        }
        let found =
            others.isEmpty
            ? (unknown.isEmpty ? "all speak \(proxyProtocolVersion)" : "unknown: \(unknown.joined(separator: ", "))")
            : others.map { "\($0.name) speaks \($0.report?.protocolVersion ?? 0)" }.joined(separator: ", ")
        return GateResult(
            name: "proxies-protocol",
            verdict: others.isEmpty ? (unknown.isEmpty ? .pass : .inconclusive) : .refuse,
            found: found, demanded: "protocol \(proxyProtocolVersion)",
            remedy: others.isEmpty ? nil : "run the same version of unstick everywhere")
    }

    // MARK: Store and bridges

    static func store(_ evidence: GateEvidence) -> [GateResult] {
        [storeReachable(evidence), storeDurable(evidence), storeKeeps(evidence)]
    }

    static func storeReachable(_ evidence: GateEvidence) -> GateResult {
        switch evidence.store {
        case .answered(let probe):
            GateResult(
                name: "store-reachable", verdict: .pass, found: "\(probe.description), \(probe.roundTrip.words)",
                demanded: "a write and a read")
        case .failed(let reason):
            GateResult(
                name: "store-reachable", verdict: .inconclusive, found: reason, demanded: "a write and a read",
                remedy: "bring the store back")
        case nil:
            GateResult(
                name: "store-reachable", verdict: .inconclusive, found: "not asked yet", demanded: "a write and a read")
        }
    }

    static func storeDurable(_ evidence: GateEvidence) -> GateResult {
        let demanded = "acknowledged writes survive a crash"
        guard case .answered(let probe) = evidence.store else {
            return GateResult(name: "store-durable", verdict: .inconclusive, found: "not known", demanded: demanded)
        }
        if probe.isDurable {
            return GateResult(name: "store-durable", verdict: .pass, found: "durable", demanded: demanded)
        }
        if evidence.options.acceptsVolatileStore {
            return GateResult(
                name: "store-durable", verdict: .pass, found: "volatile, accepted by configuration", demanded: demanded)
        }
        return GateResult(
            name: "store-durable", verdict: .refuse,
            found: probe.problems.isEmpty ? "volatile" : probe.problems.joined(separator: "; "), demanded: demanded,
            remedy: "use a durable store or make this one durable")
    }

    static func storeKeeps(_ evidence: GateEvidence) -> GateResult {
        let demanded = "never drops a live session by itself"
        guard case .answered(let probe) = evidence.store else {
            return GateResult(name: "store-keeps", verdict: .inconclusive, found: "not known", demanded: demanded)
        }
        return GateResult(
            name: "store-keeps", verdict: probe.mayEvict ? .refuse : .pass,
            found: probe.mayEvict
                ? (probe.problems.isEmpty ? "may evict" : probe.problems.joined(separator: "; ")) : "keeps",
            demanded: demanded,
            remedy: probe.mayEvict ? "switch eviction off (Redis: maxmemory-policy noeviction)" : nil)
    }

    /// Instances that are out of service are not asked.
    static func bridgesAnswer(_ evidence: GateEvidence) -> GateResult {
        let expected = evidence.table.instances.filter(\.state.isRoutable).map(\.name)
        var problems: [String] = []
        for name in expected {
            guard let description = evidence.instances.first(where: { $0.name == name }) else {
                problems.append("\(name): not asked yet")
                continue
            }
            if let problem = description.problem {
                problems.append("\(name): \(problem)")
            } else if description.incarnation == nil {
                problems.append("\(name): no answer")
            }
        }
        let warnings = evidence.instances.compactMap { instance in instance.warning.map { "\(instance.name): \($0)" } }
        return GateResult(
            name: "bridges-answer", verdict: problems.isEmpty ? .pass : .inconclusive,
            found: problems.isEmpty
                ? (["\(expected.count) of \(expected.count)"] + warnings).joined(separator: "; ")
                : problems.joined(separator: "; "),
            demanded: "the bridge of every instance in service",
            remedy: problems.isEmpty ? nil : "install the bridge with the same key file, or drain the instance")
    }

    // MARK: Sessions

    static func everySessionExternalized(_ evidence: GateEvidence) -> GateResult {
        let demanded = "every live session, version and digest"
        guard let report = evidence.verification else {
            return GateResult(
                name: "every-session-externalized", verdict: .inconclusive, found: "not verified yet",
                demanded: demanded, remedy: "`unstick verify`")
        }
        let missing = report.problemCount + report.recheck
        if report.isComplete {
            return GateResult(
                name: "every-session-externalized", verdict: .pass,
                found: "\(report.externalized) externalized, 0 are not", demanded: demanded)
        }
        var found = "\(missing) of \(report.sessions) sessions are not in the store as in memory"
        if report.recheck > 0 { found += ", \(report.recheck) of them still moving" }
        if let example = report.problems.first {
            found += "; for example \(example.hash) on \(example.instance): \(example.difference)"
        }
        let unserializable = report.instances.flatMap(\.unserializableAttributes)
        if !unserializable.isEmpty {
            found += "; cannot be serialized: \(unserializable.joined(separator: ", "))"
        }
        if !report.inconclusive.isEmpty { found += "; " + report.inconclusive.joined(separator: "; ") }
        return GateResult(
            name: "every-session-externalized",
            verdict: missing > 0 ? .refuse : .inconclusive, found: found, demanded: demanded,
            remedy: "`unstick sessions explain ID` shows one; `unstick verify` looks again")
    }

    static func everySessionRepatriated(_ report: RepatriationReport) -> GateResult {
        var found = "\(report.atHome) of \(report.sessions) sessions are in their homes' memory"
        if report.recheck > 0 { found += ", \(report.recheck) still moving" }
        // After the barrier a home that still had to be given something was not at home yet.
        if report.imported > 0 { found += ", \(report.imported) had to be brought there" }
        if let example = report.problems.first {
            found += "; for example \(example.hash) on \(example.instance): \(example.difference)"
        }
        if !report.inconclusive.isEmpty { found += "; " + report.inconclusive.joined(separator: "; ") }
        let verdict: GateResult.Verdict =
            report.isComplete && report.imported == 0 ? .pass : report.inconclusive.isEmpty ? .refuse : .inconclusive
        return GateResult(
            name: "every-session-repatriated", verdict: verdict, found: found,
            demanded: "every live session at the store's version in its home's memory",
            remedy: report.isComplete ? nil : "bring the instances named back, then ask again")
    }

    /// Mirror writes that no request waits for would be writes that got stuck. Those that requests wait for come and
    /// go under load; the verification sees what they leave behind.
    static func mirrorQueuesEmpty(_ evidence: GateEvidence) -> GateResult {
        var stuck: [String] = []
        var unknown: [String] = []
        for proxy in evidence.proxies {
            guard let report = proxy.report, evidence.isAlive(proxy) else {
                unknown.append(proxy.name)
                continue
            }
            let inFlight = report.instances.reduce(0) { $0 + $1.inFlight }
            if report.mirrorQueue > inFlight { stuck.append("\(proxy.name): \(report.mirrorQueue)") }
        }
        return ledgerGate(
            "mirror-queues-empty", wrong: stuck, unknown: unknown, right: "empty but for requests in flight",
            demanded: "no write to the store that no request waits for", evidence)
    }

    static func noDirtySessions(_ evidence: GateEvidence) -> GateResult {
        var dirty: [String] = []
        var unknown: [String] = []
        for proxy in evidence.proxies {
            guard let report = proxy.report, evidence.isAlive(proxy) else {
                unknown.append(proxy.name)
                continue
            }
            if report.dirtyOverflow {
                dirty.append("\(proxy.name): more than it can remember")
            } else if report.dirtySessions > 0 {
                dirty.append("\(proxy.name): \(report.dirtySessions)")
            }
        }
        return ledgerGate(
            "no-dirty-sessions", wrong: dirty, unknown: unknown, right: "0",
            demanded: "no session whose last change is not in the store", evidence)
    }

    private static func ledgerGate(
        _ name: String, wrong: [String], unknown: [String], right: String, demanded: String, _ evidence: GateEvidence
    ) -> GateResult {
        if !wrong.isEmpty {
            return GateResult(
                name: name, verdict: .refuse, found: wrong.joined(separator: ", "), demanded: demanded,
                remedy: "wait until the store has caught up")
        }
        if evidence.proxies.isEmpty || !unknown.isEmpty {
            let found = unknown.isEmpty ? "no proxy" : "not known of \(unknown.joined(separator: ", "))"
            return GateResult(name: name, verdict: .inconclusive, found: found, demanded: demanded)
        }
        return GateResult(name: name, verdict: .pass, found: right, demanded: demanded)
    }
}
