package import UnstickSoak

/// `unstick soak`.
package enum SoakLines {
    package static func lines(_ report: SoakReport) -> [ScreenLine] {
        func row(_ label: String, _ text: String, _ tone: Tone = .plain) -> ScreenLine {
            ScreenLine("  " + label + String(repeating: " ", count: max(1, 16 - label.count)), .faint)
                .appending(text, tone)
        }
        func zero(_ label: String, _ number: Int) -> ScreenLine {
            row(label, TerminalText.count(number), number == 0 ? .good : .bad)
        }
        let seconds = TimeSpan.words(milliseconds: Int64(report.durationMs))
        var lines = [
            ScreenLine("soak: \(report.verdict.rawValue)", report.verdict == .pass ? .good : .bad),
            row(
                "clients",
                "\(TerminalText.count(report.clients)), \(TerminalText.count(report.sessions)) sessions, \(seconds)"),
            row(
                "requests", "\(TerminalText.count(report.requests)), \(TerminalText.count(report.succeeded)) succeeded"),
            row("errors", errors(report.errors)),
            row("unknown", TerminalText.count(report.unknown)),
            zero("lost", report.lost), zero("stale", report.stale), zero("repeated", report.repeated),
            zero("resurrected", report.resurrected),
            row("unaudited", TerminalText.count(report.unaudited), report.unaudited == 0 ? .plain : .doubtful),
            row("longest pause", TimeSpan.words(milliseconds: Int64(report.longestPauseMilliseconds))),
            row("latency", percentiles(report.latency)),
            row("client wait", percentiles(report.clientWait)),
        ]
        for violation in report.violations {
            lines.append(
                row(
                    "\(violation.kind)",
                    "client \(violation.client), \(violation.key): expected \(violation.expected), saw \(violation.seen) "
                        + "at \(TimeSpan.words(milliseconds: Int64(violation.atMs)))", .bad))
        }
        return lines
    }

    /// While it runs.
    package static func progress(_ report: SoakReport) -> ScreenLine {
        let wrong = report.lost + report.stale + report.repeated + report.resurrected
        return ScreenLine(TimeSpan.words(milliseconds: Int64(report.durationMs)), .faint)
            .appending(
                "  \(TerminalText.count(report.requests)) requests, \(TerminalText.count(report.errorCount)) errors, "
            )
            .appending("\(wrong) violations", wrong == 0 ? .good : .bad)
    }

    private static func errors(_ errors: [String: Int]) -> String {
        guard !errors.isEmpty else { return "0" }
        return errors.sorted { $0.key < $1.key }.map { "\($0.key): \(TerminalText.count($0.value))" }
            .joined(separator: ", ")
    }

    private static func percentiles(_ values: SoakReport.Percentiles) -> String {
        func text(_ microseconds: Int) -> String {
            microseconds < 10_000
                ? "\(microseconds / 1000).\(microseconds % 1000 / 100) ms" : "\(microseconds / 1000) ms"
        }
        return
            "p50 \(text(values.p50Microseconds)), p99 \(text(values.p99Microseconds)), max \(text(values.maxMicroseconds))"
    }
}
