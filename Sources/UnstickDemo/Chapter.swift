import ControlAPI
import UnstickCore

/// One step of the story: what is done, what a person is told about it, and where the migration stands afterwards.
struct Chapter: Sendable {
    enum Action: Sendable, Equatable {
        /// Nothing but load.
        case drive
        case operate(OperationKind)
        /// `kill -9`, then wait until the coordinator has taken the instance out.
        case kill(instance: String)
        /// Start the instance again, empty, and wait until it serves.
        case restart(instance: String)
        /// Undo a drain, and wait until the instance serves.
        case undrain(instance: String)
    }

    /// Of the phase in the report, and of the load's stage.
    var name: String
    var title: String
    /// Why it is safe, in one or two sentences.
    var story: String
    var action: Action
    /// Where the migration must stand when the chapter ends.
    var phase: Phase
    /// The ramp that must be reached; without meaning outside of `stateless`.
    var rampPercent = 0

    /// Everything that the demonstration promises to show, in order.
    static func story(instances: [String], migration: String) -> [Chapter] {
        let (killed, drained) = (instances[1], instances[2])
        return [
            Chapter(
                name: "sticky", title: "Sticky sessions",
                story: "Carts and logins live in each instance's memory; a cookie pins every client to its instance. "
                    + "Losing an instance now would lose a third of the sessions.",
                action: .drive, phase: .sticky),
            Chapter(
                name: "mirror", title: "Mirror",
                story: "Every change of a session is also written to the store before its response is released. "
                    + "Memory keeps the authority, so nothing changes for anybody.",
                action: .operate(.mirror), phase: .mirroring),
            Chapter(
                name: "verify", title: "Verify",
                story: "Every live session of every instance is compared with its copy in the store, version and "
                    + "digest. What could not be compared counts as a refusal, never as a pass.",
                action: .operate(.verify), phase: .mirroring),
            Chapter(
                name: "externalize", title: "Externalize",
                story: "The store gets the authority: it is read before the application runs, and a change is a "
                    + "compare-and-set. The step waits until every proxy has finished what it began under the old one.",
                action: .operate(.externalize), phase: .externalized),
            Chapter(
                name: "switch-1", title: "Switch 1 %",
                story: "One session in a hundred may now be answered by any instance. An instance that lacks the "
                    + "session, or has an older copy, gets it from the store before the application sees the request.",
                action: .operate(.switchTo(percent: 1)), phase: .stateless, rampPercent: 1),
            Chapter(
                name: "switch-25", title: "Switch 25 %",
                story: "The ramp goes by a hash of the session id: who was in stays in.",
                action: .operate(.switchTo(percent: 25)), phase: .stateless, rampPercent: 25),
            Chapter(
                name: "switch-100", title: "Switch 100 %",
                story:
                    "Any instance answers anybody. Affinity cookies are still issued, so that the way back stays open.",
                action: .operate(.switchTo(percent: 100)), phase: .stateless, rampPercent: 100),
            Chapter(
                name: "kill", title: "kill -9 \(killed)",
                story:
                    "One instance dies without a word. What it was working on fails; whatever it had acknowledged is "
                    + "in the store, and the others serve it.",
                action: .kill(instance: killed), phase: .stateless, rampPercent: 100),
            Chapter(
                name: "restart", title: "Restart \(killed)",
                story: "It comes back with empty memory, and is let in after its leftovers are evicted. It gets each "
                    + "session when a request needs it.",
                action: .restart(instance: killed), phase: .stateless, rampPercent: 100),
            Chapter(
                name: "drain", title: "Drain \(drained)",
                story: "An instance leaves in order: no new sessions, its own find a new home. Drained means three "
                    + "zeros: requests in flight, sessions, sessions that exist only there.",
                action: .operate(.drain(instance: drained, deadlineSeconds: 60, force: false)), phase: .stateless,
                rampPercent: 100),
            Chapter(
                name: "undrain", title: "Undrain \(drained)",
                story: "It takes part again.",
                action: .undrain(instance: drained), phase: .stateless, rampPercent: 100),
            Chapter(
                name: "rollback-externalized", title: "Rollback to externalized",
                story:
                    "The way back, first step: one epoch, no gate, always possible. Clients go to their homes again, "
                    + "the store keeps the authority.",
                action: .operate(.rollback(to: .externalized)), phase: .externalized),
            Chapter(
                name: "rollback-mirroring", title: "Rollback to mirroring",
                story: "Second step: every session is brought home at the store's version, then memory gets the "
                    + "authority back.",
                action: .operate(.rollback(to: .mirroring)), phase: .mirroring),
            Chapter(
                name: "externalize-again", title: "Externalize again",
                story: "Forward again, through the same gates.",
                action: .operate(.externalize), phase: .externalized),
            Chapter(
                name: "switch-again", title: "Switch 100 % again",
                story: "All at once this time; the gates look at every session first.",
                action: .operate(.switchTo(percent: 100)), phase: .stateless, rampPercent: 100),
            Chapter(
                name: "complete", title: "Complete",
                story: "Affinity cookies expire, copies in memory are evicted. The shop is stateless; there is no way "
                    + "back from here, so the operator types the migration's name.",
                action: .operate(.complete(confirm: migration)), phase: .completed),
        ]
    }
}
