package import ControlAPI
package import UnstickCore

/// Instances and proxies as tables.
package enum StatusTables {
    package static func instances(_ instances: [InstanceStatus], width: Int) -> [ScreenLine] {
        typealias Cell = TextTable.Cell
        guard !instances.isEmpty else { return [ScreenLine("no instance", .doubtful)] }
        let table = TextTable(
            columns: [
                .init(title: "INSTANCE", widthMax: 20), .init(title: "STATE"), .init(title: "HEALTH"),
                .init(title: "SESSIONS", alignment: .right), .init(title: "ONLY HERE", alignment: .right),
                .init(title: "IN FLIGHT", alignment: .right),
            ],
            rows: instances.map { instance in
                [
                    Cell(instance.name), Cell(instance.state.rawValue, instance.state == .active ? .plain : .doubtful),
                    Cell(instance.health.rawValue, tone(instance.health)),
                    Cell(instance.sessions.map { TerminalText.count($0) } ?? "?"),
                    Cell(instance.onlyHere.map { TerminalText.count($0) } ?? "?"),
                    Cell(TerminalText.count(instance.inFlight)),
                ]
            })
        return withNotes(table.lines(width: width), title: "NOTE", instances.map(\.note), width: width)
    }

    package static func proxies(_ proxies: [ProxyStatus], epoch: Epoch, width: Int) -> [ScreenLine] {
        typealias Cell = TextTable.Cell
        guard !proxies.isEmpty else { return [ScreenLine("no proxy is registered", .doubtful)] }
        let table = TextTable(
            columns: [
                .init(title: "PROXY", widthMax: 20), .init(title: "EPOCH", alignment: .right),
                .init(title: "HEARD", alignment: .right), .init(title: "DIRTY", alignment: .right),
                .init(title: "QUEUE", alignment: .right), .init(title: "STORE"),
            ],
            rows: proxies.map { proxy in
                let report = proxy.report
                let isCurrent = report.acknowledged == epoch
                let dirty = TerminalText.count(report.dirtySessions) + (report.dirtyOverflow ? "+" : "")
                return [
                    Cell(report.name),
                    Cell(report.acknowledged.map { "\($0)" } ?? "none", isCurrent ? .plain : .doubtful),
                    Cell(
                        TimeSpan.words(milliseconds: proxy.silentMilliseconds / 1000 * 1000)
                            .replacing("0 ms", with: "now"), proxy.isAlive ? .plain : .bad),
                    Cell(dirty, dirty == "0" ? .plain : .doubtful), Cell(TerminalText.count(report.mirrorQueue)),
                    Cell(report.store.rawValue, tone(report.store)),
                ]
            })
        let notes = proxies.map { proxy -> String? in
            if !proxy.isAlive { return "silent" }
            guard let acknowledged = proxy.report.acknowledged else { return "knows no epoch" }
            return acknowledged < epoch ? "not at epoch \(epoch) yet" : nil
        }
        return withNotes(table.lines(width: width), title: "NOTE", notes, width: width)
    }

    /// Behind its row where the note fits, otherwise below: notes say what to do, and must not be cut.
    private static func withNotes(
        _ lines: [ScreenLine], title: String, _ notes: [String?], width: Int
    ) -> [ScreenLine] {
        guard notes.contains(where: { $0 != nil }) else { return lines }
        let start = (lines.map(\.width).max() ?? 0) + 2
        var noted: [ScreenLine] = []
        var hasOneBehind = false
        for (index, line) in lines.enumerated() {
            guard index > 0, let note = notes[index - 1] else {
                noted.append(line)
                continue
            }
            let text = TerminalText.clean(note)
            if start + text.count <= width {
                hasOneBehind = true
                noted.append(
                    line.appending(String(repeating: " ", count: start - line.width)).appending(text, .doubtful))
            } else {
                noted.append(line)
                let parts = TerminalText.wrap(text, width: width - 4)
                for (part, words) in parts.enumerated() {
                    noted.append(ScreenLine(part == 0 ? "  └ " : "    ", .faint).appending(words, .doubtful))
                }
            }
        }
        if hasOneBehind {
            noted[0] = noted[0].appending(String(repeating: " ", count: start - noted[0].width)).appending(
                title, .faint)
        }
        return noted
    }

    private static func tone(_ health: InstanceReport.Health) -> Tone {
        switch health {
        case .healthy: .good
        case .unhealthy: .bad
        case .unknown: .doubtful
        }
    }

    private static func tone(_ store: ProxyReport.StoreHealth) -> Tone {
        switch store {
        case .up: .good
        case .down: .bad
        case .unknown: .doubtful
        }
    }
}
