package import ControlAPI
import UnstickCore

/// Operations as lines.
package enum OperationLines {
    /// Of a status screen.
    static func running(_ operation: OperationStatus, width: Int) -> [ScreenLine] {
        let name = command(operation.kind) + (operation.dryRun ? " (dry run)" : "")
        var first = ScreenLine("Running  ", .strong)
        first.append("\(name), operation \(operation.id) by \(operation.by)")
        let step = "step \(min(operation.step + 1, operation.steps)) of \(operation.steps): "
        return [first]
            + TerminalText.wrap(step + operation.progress, width: width - 9).map { ScreenLine("         " + $0) }
    }

    /// While an operation runs: `[3/5] waiting for proxy-2 to acknowledge epoch 7 · 98.2 % of 1,204 sessions`.
    package static func progress(_ operation: OperationStatus, coverage: Coverage?) -> ScreenLine {
        var line = ScreenLine("[\(min(operation.step + 1, operation.steps))/\(operation.steps)] ", .faint)
        line.append(operation.progress)
        if let coverage, coverage.sessions > 0 {
            line.append(
                " · \(TerminalText.percent(coverage.externalized, of: coverage.sessions)) of "
                    + TerminalText.count(coverage.sessions, of: "session"), .faint)
        }
        return line
    }

    /// How it ended: the message, and every gate that does not pass.
    package static func outcome(_ outcome: OperationOutcome, width: Int) -> [ScreenLine] {
        let refusing = outcome.gates.filter { $0.verdict != .pass }
        guard outcome.code != .done, !refusing.isEmpty else { return [ScreenLine(outcome.message)] }
        // The message repeats the gates in one line; here they get their own.
        let head = outcome.message.split(separator: ": ", maxSplits: 1).first.map(String.init) ?? outcome.message
        let names = refusing.map(\.name).joined(separator: ", ")
        let isListing = refusing.contains { outcome.message.contains("\($0.name): ") }
        let title = isListing ? "\(head): refused by \(names)" : outcome.message
        return [ScreenLine(title, .bad)] + GateLines.lines(refusing, width: width)
    }

    /// `switch --percent 25`: what to type to ask for it again.
    package static func command(_ kind: OperationKind) -> String {
        switch kind {
        case .switchTo(let percent): "switch --percent \(percent)"
        case .rollback(let phase): phase == .externalized ? "rollback" : "rollback --to \(phase)"
        case .drain(let instance, let deadline, let force):
            "drain \(instance)" + (deadline.map { " --deadline \($0)s" } ?? "") + (force ? " --force" : "")
        case .undrain(let instance): "undrain \(instance)"
        case .addInstance(let name, let url, let weight):
            "instances add \(name) \(url)" + (weight == 1 ? "" : " --weight \(weight)")
        case .removeInstance(let name, let force): "instances remove \(name)" + (force ? " --force" : "")
        case .setWeight(let instance, let weight): "instances weight \(instance) \(weight)"
        default: kind.command
        }
    }
}
