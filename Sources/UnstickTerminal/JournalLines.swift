package import ControlAPI
import Foundation
package import UnstickCore

/// The journal as lines, times in UTC as in logs.
package enum JournalLines {
    package static func line(_ entry: JournalEntry) -> ScreenLine {
        var line = ScreenLine("\(entry.sequence)  \(time(entry.time))  ", .faint)
        line.append(entry.kind.rawValue.padding(toLength: 8, withPad: " ", startingAt: 0), tone(entry))
        line.append("epoch \(entry.epoch)  ", .faint)
        line.append(entry.message)
        var who: [String] = []
        // The operation's other entries would repeat it.
        if entry.kind == .intent || entry.kind == .event {
            if let by = entry.by { who.append("by \(by)") }
            if let from = entry.from { who.append("from \(from)") }
            if let reason = entry.reason { who.append("because: \(reason)") }
        }
        if !who.isEmpty { line.append("  (" + who.joined(separator: ", ") + ")", .faint) }
        return line
    }

    private static func tone(_ entry: JournalEntry) -> Tone {
        switch entry.kind {
        case .intent, .outcome: .strong
        case .gate, .step, .event: .plain
        case .table: .good
        }
    }

    /// RFC 3339, whole seconds, UTC.
    package static func time(_ time: UnixMilliseconds) -> String {
        Date(timeIntervalSince1970: Double(time.rawValue) / 1000).formatted(.iso8601)
    }
}
