import ControlAPI
import UnstickSoak

/// Puts the story into words and tables.
struct Storyteller: Sendable {
    let screen: Screen

    private static let examplesShown = 8

    func opening(_ site: DemoSite) {
        let options = site.options
        screen.line(screen.styled("From sticky sessions to stateless, live", .bold))
        screen.line()
        screen.paragraph(
            "Three instances of a Django shop keep carts and logins in their own memory, behind `unstick up`. "
                + "\(options.clients) shoppers use it all the time and check every answer against what they did before. "
                + "One person logs in to the admin, puts a kettle into the cart, and looks again after every chapter.")
        screen.line()
        screen.line("  Shop and admin  \(site.url)/admin/   (admin / unstick-demo)")
        screen.line("  Status page     \(site.adminURL)/")
        if options.keepsFolder { screen.line("  Folder          \(site.folder)") }
    }

    func heading(_ chapter: Chapter, number: Int, of count: Int) {
        screen.line()
        screen.line(screen.styled("\(number)/\(count)  \(chapter.title)", .bold))
        screen.paragraph(chapter.story, indent: 2)
    }

    func outcome(_ text: String, isGood: Bool) {
        let lines = Screen.wrap(text, width: screen.width - 4)
        for (index, line) in lines.enumerated() {
            let mark = index == 0 ? (isGood ? "✓ " : "✗ ") : "  "
            screen.line("  " + screen.styled(mark + line, isGood ? .good : .bad))
        }
    }

    /// The chapter so far, on the line that moves.
    func progress(_ words: String, _ stage: StageReport?) {
        guard let stage else { return }
        let wrong = stage.lost + stage.stale + stage.repeated + stage.resurrected
        let figures = "  \(stage.requests.grouped) requests, \(wrong) wrong"
        screen.live(words.isEmpty ? figures : figures + " · " + words)
    }

    func figures(_ stage: StageReport, coverage: Coverage?, admin: AdminVisitor.Look) {
        let rate = stage.durationMs > 0 ? stage.requests * 1000 / stage.durationMs : 0
        let wrong = stage.lost + stage.stale + stage.repeated + stage.resurrected
        screen.line("  \(stage.requests.grouped) requests, \(rate.grouped)/s; \(Self.errors(stage.errors))")
        var findings = "\(stage.lost) lost, \(stage.stale) stale, \(stage.resurrected) resurrected"
        if stage.repeated > 0 { findings += ", \(stage.repeated) repeated" }
        screen.line(
            "  " + screen.styled(findings, wrong == 0 ? .good : .bad)
                + "; longest pause \(stage.longestPauseMilliseconds) ms, p99 "
                + Self.milliseconds(Double(stage.latency.p99Microseconds) / 1000) + " ms")
        if let coverage {
            screen.line(
                "  In the store as in memory: \(coverage.externalized.grouped) of \(coverage.sessions.grouped) sessions"
                    + (coverage.isComplete ? "" : " (still looking)"))
        }
        switch admin {
        case .loggedIn: screen.line("  Admin: still logged in, kettle in the cart")
        case .lost(let reason): screen.paragraph("Admin: \(reason)", indent: 2, style: .bad)
        }
    }

    func table(_ report: DemoReport) {
        screen.line()
        screen.line(
            screen.styled(
                Self.row(["", "requests", "errors", "lost", "stale", "resurr.", "pause ms", "p99 ms"]), .bold))
        for phase in report.phases {
            let line = Self.row([
                phase.name, phase.requests.grouped, phase.errors.grouped, "\(phase.lost)", "\(phase.stale)",
                "\(phase.resurrected)", phase.longestPauseMs.grouped, Self.milliseconds(phase.p99Ms),
            ])
            let wrong = phase.lost + phase.stale + phase.repeated + phase.resurrected
            screen.line(wrong > 0 ? screen.styled(line, .bad) : phase.errors > 0 ? screen.styled(line, .notice) : line)
        }
        let totals = report.totals
        screen.line(
            screen.styled(
                Self.row([
                    "all", totals.requests.grouped, totals.errors.grouped, "\(totals.lost)", "\(totals.stale)",
                    "\(totals.resurrected)", totals.longestPauseMs.grouped, Self.milliseconds(totals.p99Ms),
                ]), .bold))
        if totals.errors > 0 { screen.line("  Errors: \(Self.errors(totals.errorKinds))") }
    }

    func verdict(_ report: DemoReport) {
        let totals = report.totals
        screen.line()
        for failure in report.failures { screen.paragraph("✗ \(failure)", style: .bad) }
        for example in report.violations.prefix(Self.examplesShown) {
            screen.paragraph(
                "\(example.kind.rawValue) at \(example.atMs) ms, client \(example.client), in "
                    + "\(example.stage ?? "no stage"): saw \(example.seen), expected \(example.expected)",
                indent: 2)
        }
        let passed = report.verdict == .pass
        screen.paragraph(
            "\(passed ? "PASS" : "FAIL"): \(totals.lost) lost, \(totals.stale) stale, "
                + "\(totals.resurrected) resurrected in \(totals.requests.grouped) requests of "
                + "\(totals.sessions.grouped) sessions; admin session \(report.adminSession.rawValue)",
            style: passed ? .good : .bad)
    }

    /// 78 columns.
    static func row(_ cells: [String]) -> String {
        let widths = [22, 9, 8, 6, 7, 9, 10, 8]
        return zip(cells, widths).enumerated().map { index, cell in
            let (text, width) = cell
            let padding = String(repeating: " ", count: max(0, width - text.count))
            return index == 0 ? text + padding : padding + text
        }.joined()
    }

    /// `no errors`, `12 errors (9 × 502, 3 × reset)`.
    static func errors(_ kinds: [String: Int]) -> String {
        let count = kinds.values.reduce(0, +)
        guard count > 0 else { return "no errors" }
        let words = kinds.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.value.grouped) × \($0.key)" }
        return "\(count.grouped) \(count == 1 ? "error" : "errors") (\(words.joined(separator: ", ")))"
    }

    static func milliseconds(_ value: Double) -> String {
        value < 10 ? "\((value * 10).rounded() / 10)" : Int(value.rounded()).grouped
    }
}
