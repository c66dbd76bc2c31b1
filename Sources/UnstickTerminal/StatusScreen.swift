package import ControlAPI
import UnstickCore

/// `unstick status` for a person: from a report to lines, nothing else.
package struct StatusScreen: Sendable {
    package var report: StatusReport
    /// Columns; 60 and up.
    package var width: Int

    package init(_ report: StatusReport, width: Int) {
        self.report = report
        self.width = max(60, width)
    }

    package var lines: [ScreenLine] { lines(foldsGates: false) }

    /// Everything if it fits into `height` rows; otherwise gates that pass share a line, and then the empty lines go.
    /// May still be higher.
    package func lines(height: Int) -> [ScreenLine] {
        if lines.count <= height { return lines }
        let folded = lines(foldsGates: true)
        return folded.count <= height ? folded : folded.filter { $0.width > 0 }
    }

    private func lines(foldsGates: Bool) -> [ScreenLine] {
        var lines = [title] + rail
        if let operation = report.operation {
            lines += [ScreenLine()] + OperationLines.running(operation, width: width)
        }
        lines += [ScreenLine()] + coverage
        lines += [ScreenLine()] + instances
        lines += [ScreenLine()] + proxies
        if !report.gates.isEmpty { lines += [ScreenLine()] + gates(isFolded: foldsGates) }
        return lines.map { $0.fitted(to: width) }
    }

    /// What stays the same while nothing happens: without times and counters. Equal texts mean that there is no news.
    package var newsworthy: String {
        var report = report
        report.time = UnixMilliseconds(0)
        report.coverage?.verifiedAt = nil
        report.coverage?.etaMilliseconds = nil
        for index in report.instances.indices { report.instances[index].inFlight = 0 }
        for index in report.proxies.indices {
            report.proxies[index].silentMilliseconds = 0
            report.proxies[index].report.mirrorQueue = 0
        }
        // What a passing gate found is a measurement; a failing one's is what the operator waits for.
        for index in report.gates.indices where report.gates[index].verdict == .pass { report.gates[index].found = "" }
        return StatusScreen(report, width: 200).lines.map(\.plain).joined(separator: "\n")
    }

    // MARK: Parts

    private var title: ScreenLine {
        var line = ScreenLine(report.migration, .strong)
        line.append("  epoch \(report.epoch) · generation \(report.generation) · ")
        let waiting = report.proxies.filter { $0.report.acknowledged.map { $0 < report.epoch } ?? true }
        if report.settled {
            line.append("settled", .good)
        } else if waiting.isEmpty {
            line.append("not settled", .doubtful)
        } else {
            line.append("waiting for \(waiting.map(\.report.name).joined(separator: ", "))", .doubtful)
        }
        return line
    }

    /// The phases in a row, the present one in brackets, and the line that cannot be crossed back.
    private var rail: [ScreenLine] {
        var line = ScreenLine()
        for phase in Phase.allCases {
            if phase == .completed {
                line.append(" ─", .faint)
                line.append("┃", .doubtful)
                line.append(" ")
            } else if phase != .sticky {
                line.append(" ── ", .faint)
            }
            var word = phase.name
            if phase == .stateless, report.phase == .stateless { word += " \(report.rampPercent)%" }
            if phase == report.phase {
                line.append("[\(word)]", .strong)
            } else {
                line.append(word, phase < report.phase ? .plain : .faint)
            }
        }
        let column = line.plain.prefix { $0 != "┃" }.count
        var foot = ScreenLine(String(repeating: " ", count: column))
        foot.append("┗ ", .doubtful)
        foot.append(report.pastPointOfNoReturn ? "passed: no way back" : "point of no return", .faint)
        var lines = [line, foot]
        if report.phase == .stateless, report.actualPercent != report.rampPercent {
            lines.append(
                ScreenLine(
                    "\(report.actualPercent) % of the sessions are stateless in every proxy; \(report.rampPercent) % is the aim",
                    .doubtful))
        }
        return lines
    }

    private var coverage: [ScreenLine] {
        // What was verified before a return to sticky says nothing about now.
        guard let coverage = report.coverage, report.phase != .sticky else {
            let why = report.phase == .sticky ? "nothing is mirrored in sticky" : "not verified yet"
            return [ScreenLine("Coverage  ", .strong).appending(why, .faint)]
        }
        let cells = 20
        let share = coverage.sessions == 0 ? cells : coverage.externalized * cells / coverage.sessions
        let filled = max(0, min(cells, share))
        var line = ScreenLine("Coverage  ", .strong)
        line.append(String(repeating: "█", count: filled), coverage.isComplete ? .good : .doubtful)
        line.append(String(repeating: "░", count: cells - filled), .faint)
        line.append(
            "  \(TerminalText.count(coverage.externalized)) of \(TerminalText.count(coverage.sessions)) sessions "
                + "(\(TerminalText.percent(coverage.externalized, of: coverage.sessions)))")
        var notes: [String] = []
        if coverage.recheck > 0 { notes.append("\(TerminalText.count(coverage.recheck)) to look at again") }
        if let eta = coverage.etaMilliseconds { notes.append("ready in about \(TimeSpan.words(milliseconds: eta))") }
        if let verifiedAt = coverage.verifiedAt {
            let age = TimeSpan.words(milliseconds: report.time.rawValue - verifiedAt.rawValue)
            notes.append("verified \(age) ago")
        }
        if !coverage.isComplete { notes.append("not complete") }
        guard !notes.isEmpty else { return [line] }
        return [line, ScreenLine("          " + notes.joined(separator: " · "), .faint)]
    }

    private var instances: [ScreenLine] { StatusTables.instances(report.instances, width: width) }

    private var proxies: [ScreenLine] {
        StatusTables.proxies(report.proxies, epoch: report.epoch, width: width)
            + [ScreenLine("Store: ", .faint).appending(report.store)]
    }

    private func gates(isFolded: Bool) -> [ScreenLine] {
        let next = Self.nextCommand(report.phase, rampPercent: report.rampPercent)
        let open = report.gates.allSatisfy { $0.verdict == .pass }
        let line = ScreenLine("Next: ", .faint).appending("unstick \(next)", .strong)
            .appending(open ? "  gates pass" : "  would be refused", open ? .good : .bad)
        guard isFolded else { return [line] + GateLines.lines(report.gates, width: width) }
        let failing = report.gates.filter { $0.verdict != .pass }
        let passing = report.gates.count - failing.count
        guard passing > 0 else { return [line] + GateLines.lines(failing, width: width) }
        let fold = ScreenLine("  ").appending("✓ ", .good)
            .appending(failing.isEmpty ? "all \(passing) gates" : "\(passing) other \(passing == 1 ? "gate" : "gates")")
        return [line] + GateLines.lines(failing, width: width) + [fold]
    }

    /// The command of the transition forward, whose gates a status report carries.
    static func nextCommand(_ phase: Phase, rampPercent: Int) -> String {
        switch phase {
        case .sticky: "mirror"
        case .mirroring: "externalize"
        case .externalized: "switch --percent N"
        case .stateless: rampPercent == 100 ? "complete" : "switch --percent N"
        case .completed: "status"
        }
    }
}
