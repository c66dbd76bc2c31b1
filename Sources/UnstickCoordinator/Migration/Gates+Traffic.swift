import ControlAPI
import UnstickCore

extension Gates {
    /// Share of answers with a status of 500 and up in the last window, over all proxies.
    static func errorRate(_ evidence: GateEvidence) -> GateResult {
        let demanded = "at most \(percent(evidence.options.errorRateMax)) answers of 500 and up"
        let answers = evidence.proxies.reduce(0) { $0 + $1.answers }
        let failures = evidence.proxies.reduce(0) { $0 + $1.failures }
        guard answers > 0 else {
            return GateResult(name: "error-rate", verdict: .pass, found: "no traffic", demanded: demanded)
        }
        let rate = Double(failures) / Double(answers)
        let isLow = rate <= evidence.options.errorRateMax
        return GateResult(
            name: "error-rate", verdict: isLow ? .pass : .refuse,
            found: "\(percent(rate)) of \(answers) answers", demanded: demanded,
            remedy: isLow ? nil : "find what fails first")
    }

    /// Empty when no limit is configured.
    static func latency(_ evidence: GateEvidence) -> [GateResult] {
        guard let limit = evidence.options.responseP99Max else { return [] }
        let worst = evidence.proxies.compactMap(\.report).map(\.counters.responseP99Microseconds).max()
        guard let worst else {
            return [
                GateResult(
                    name: "latency", verdict: .inconclusive, found: "no proxy has reported",
                    demanded: "p99 at most \(limit.words)")
            ]
        }
        let isFast = Duration.microseconds(worst) <= limit
        return [
            GateResult(
                name: "latency", verdict: isFast ? .pass : .refuse, found: "p99 \(Duration.microseconds(worst).words)",
                demanded: "p99 at most \(limit.words)")
        ]
    }

    // MARK: Completion

    static func confirmed(_ confirm: String, _ evidence: GateEvidence) -> GateResult {
        let isRight = confirm == evidence.options.migration
        return GateResult(
            name: "confirmed", verdict: isRight ? .pass : .refuse, found: confirm.isEmpty ? "nothing" : "'\(confirm)'",
            demanded: "the migration's name, '\(evidence.options.migration)'",
            remedy: isRight ? nil : "`unstick complete --confirm \(evidence.options.migration)`")
    }

    static func rampComplete(_ evidence: GateEvidence) -> GateResult {
        let isComplete = evidence.table.phase == .stateless && evidence.table.rampPercent == 100
        return GateResult(
            name: "ramp-complete", verdict: isComplete ? .pass : .refuse, found: "\(evidence.table.rampPercent) %",
            demanded: "100 %", remedy: isComplete ? nil : "`unstick switch --percent 100`")
    }

    static func soakOver(_ evidence: GateEvidence) -> GateResult {
        let demanded = "\(evidence.options.soak.words) at 100 %"
        guard let soak = evidence.soak else {
            return GateResult(
                name: "soak-over", verdict: .inconclusive, found: "not begun", demanded: demanded,
                remedy: "it begins when every proxy has acknowledged 100 %")
        }
        let soaked = Duration.milliseconds(evidence.now.rawValue - soak.since.rawValue)
        let isOver = soaked >= evidence.options.soak
        return GateResult(
            name: "soak-over", verdict: isOver ? .pass : .refuse, found: soaked.words, demanded: demanded,
            remedy: isOver ? nil : "wait \((evidence.options.soak - soaked).words)")
    }

    /// Requests since the soak began that were answered from memory although the store had no copy.
    static func fallbackReadsZero(_ evidence: GateEvidence) -> GateResult {
        let demanded = "0 since the soak began"
        guard let soak = evidence.soak, evidence.proxies.allSatisfy({ $0.report != nil }) else {
            return GateResult(
                name: "fallback-reads-zero", verdict: .inconclusive, found: "not known", demanded: demanded)
        }
        var reads: UInt64 = 0
        for report in evidence.proxies.compactMap(\.report) {
            let mark = soak.fallbackReads[report.name]
            let before = mark?.incarnation == report.incarnation ? mark?.count ?? 0 : 0
            reads += report.counters.fallbackReads - min(before, report.counters.fallbackReads)
        }
        return GateResult(
            name: "fallback-reads-zero", verdict: reads == 0 ? .pass : .refuse, found: "\(reads)", demanded: demanded,
            remedy: reads == 0 ? nil : "find the cause; `unstick switch --percent 100` begins a new soak")
    }

    // MARK: Instances

    static func notLastActive(_ name: String, _ evidence: GateEvidence) -> GateResult {
        let others = evidence.table.instances.filter { $0.state == .active && $0.name != name }.map(\.name)
        return GateResult(
            name: "another-active-instance", verdict: others.isEmpty ? .refuse : .pass,
            found: others.isEmpty ? "\(name) is the last one" : others.joined(separator: ", "),
            demanded: "at least one other", remedy: others.isEmpty ? "add or undrain another instance first" : nil)
    }

    private static func percent(_ share: Double) -> String {
        "\((share * 1000).rounded() / 10) %"
    }
}

extension Duration {
    /// For people: `1.5 s`, `340 ms`, `12 min`.
    var words: String {
        let milliseconds = Double(components.seconds) * 1000 + Double(components.attoseconds) / 1e15
        if milliseconds < 1 { return "\((milliseconds * 100).rounded() / 100) ms" }
        if milliseconds < 1000 { return "\(Int(milliseconds.rounded())) ms" }
        if milliseconds < 120_000 { return "\((milliseconds / 100).rounded() / 10) s" }
        return "\(Int((milliseconds / 60_000).rounded())) min"
    }
}
