package import ControlAPI

/// Gates as lines.
package enum GateLines {
    /// A line a gate; under one that does not pass what is demanded and what can be done.
    package static func lines(_ gates: [GateResult], width: Int, indent: Int = 2) -> [ScreenLine] {
        let nameWidth = min(28, gates.map(\.name.count).max() ?? 0)
        return gates.flatMap { gate -> [ScreenLine] in
            let name = gate.name + String(repeating: " ", count: max(0, nameWidth - gate.name.count))
            let start = indent + 2 + name.count + 2
            let found = TerminalText.wrap(gate.found, width: max(20, width - start))
            var first = ScreenLine(String(repeating: " ", count: indent))
            first.append(mark(gate.verdict) + " ", tone(gate.verdict))
            first.append(name + "  ")
            first.append(gate.verdict == .pass ? TextTable.cut(gate.found, max(1, width - start)) : found.first ?? "")
            guard gate.verdict != .pass else { return [first.trimmed] }
            let margin = String(repeating: " ", count: start)
            var lines = [first.trimmed] + found.dropFirst().map { ScreenLine(margin + $0) }
            lines += labelled("demanded: ", gate.demanded, margin: indent + 4, width: width)
            if let remedy = gate.remedy { lines += labelled("remedy:   ", remedy, margin: indent + 4, width: width) }
            return lines
        }
    }

    private static func labelled(_ label: String, _ text: String, margin: Int, width: Int) -> [ScreenLine] {
        let space = String(repeating: " ", count: margin)
        let hanging = String(repeating: " ", count: margin + label.count)
        return TerminalText.wrap(text, width: max(20, width - margin - label.count)).enumerated().map { index, part in
            index == 0 ? ScreenLine(space).appending(label, .faint).appending(part) : ScreenLine(hanging + part)
        }
    }

    static func mark(_ verdict: GateResult.Verdict) -> String {
        switch verdict {
        case .pass: "✓"
        case .refuse: "✗"
        case .inconclusive: "?"
        }
    }

    static func tone(_ verdict: GateResult.Verdict) -> Tone {
        switch verdict {
        case .pass: .good
        case .refuse: .bad
        case .inconclusive: .doubtful
        }
    }

    /// `unstick gates`: every possible transition with its gates.
    package static func lines(_ report: GatesReport, width: Int) -> [ScreenLine] {
        guard !report.transitions.isEmpty else {
            return [ScreenLine("\(report.phase): there is no further transition")]
        }
        var lines: [ScreenLine] = []
        for transition in report.transitions {
            if !lines.isEmpty { lines.append(ScreenLine()) }
            let open = transition.gates.allSatisfy { $0.verdict == .pass }
            lines.append(
                ScreenLine("unstick \(transition.command)", .strong)
                    .appending("  \(report.phase) → \(transition.to)")
                    .appending(
                        transition.gates.isEmpty ? "  no gate" : open ? "  would pass" : "  would be refused",
                        open ? .good : .bad))
            lines += Self.lines(transition.gates, width: width)
        }
        return lines
    }
}
