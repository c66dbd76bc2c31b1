import Testing
import UnstickSoak

/// What one client did, one request after the other, and what it was answered.
enum Step: Sendable {
    case increment(Int)
    case read(Int)
    /// Sent, no usable answer.
    case incrementUnknown
    case incrementNeverSent
    case readUnknown
    case logout
    case logoutUnknown
}

/// Plays the steps on one key and collects what is found.
func findings(_ steps: [Step]) -> [ViolationKind] {
    var ledger = SessionLedger(keys: 1)
    var found: [ViolationKind] = []
    for step in steps {
        switch step {
        case .increment(let value):
            if let finding = ledger.complete(ledger.sendIncrement(0), value: value) { found.append(finding.kind) }
        case .read(let value):
            if let finding = ledger.complete(ledger.sendRead(0), value: value) { found.append(finding.kind) }
        case .incrementUnknown: ledger.fail(ledger.sendIncrement(0), .unknown)
        case .incrementNeverSent: ledger.fail(ledger.sendIncrement(0), .neverSent)
        case .readUnknown: ledger.fail(ledger.sendRead(0), .unknown)
        case .logout: ledger.startAfterLogout()
        case .logoutUnknown: ledger.logoutIsUnknown()
        }
    }
    return found
}

struct History: Sendable, CustomTestStringConvertible {
    var name: String
    var steps: [Step]
    var found: [ViolationKind]
    var testDescription: String { name }

    init(_ name: String, _ steps: [Step], _ found: [ViolationKind] = []) {
        self.name = name
        self.steps = steps
        self.found = found
    }
}

@Suite("The checker of one counter, one request after the other")
struct CounterLedgerTests {
    @Test(
        "known outcomes",
        arguments: [
            History("right answers", [.increment(1), .read(1), .increment(2), .increment(3), .read(3)]),
            History("a first read of a new session", [.read(0), .increment(1)]),
            History("an acknowledged increment vanished", [.increment(1), .increment(2), .increment(2)], [.lost]),
            History(
                "the loss is reported once", [.increment(1), .increment(2), .increment(2), .increment(3)], [.lost]),
            History("a read below what was acknowledged", [.increment(1), .increment(2), .read(1)], [.stale]),
            History("a read below what another read showed", [.incrementUnknown, .increment(2), .read(1)], [.stale]),
            History(
                "every stale answer counts", [.increment(1), .increment(2), .read(1), .read(2), .read(1)],
                [.stale, .stale]),
            History(
                "a session that starts again", [.increment(1), .increment(2), .increment(1), .increment(2)], [.lost]),
            History("a session that reads as new", [.increment(1), .read(0)], [.lost]),
            History(
                "one loss, read twice and counted on", [.increment(1), .increment(2), .read(0), .read(0)], [.lost]),
            History(
                "a second loss after a right answer", [.increment(1), .read(0), .read(1), .read(0)], [.lost, .lost]),
            History("an increment applied twice", [.increment(1), .increment(3), .increment(4)], [.repeated]),
            History(
                "an increment applied twice, seen by a read", [.increment(1), .read(2), .increment(3)], [.repeated]),
            History("a read before any increment shows one", [.read(1)], [.repeated]),
            History("an increment that answers 0", [.increment(0)], [.lost]),
            History(
                "a lagging copy's answer, then the right ones",
                [.increment(1), .increment(2), .increment(3), .increment(2), .increment(4)], [.lost]),
        ])
    func known(_ history: History) {
        #expect(findings(history.steps) == history.found)
    }

    @Test(
        "unknown outcomes",
        arguments: [
            History("applied", [.increment(1), .incrementUnknown, .read(2), .increment(3)]),
            History("never applied", [.increment(1), .incrementUnknown, .read(1), .increment(2)]),
            History("applied late, after a read without it", [.increment(1), .incrementUnknown, .read(1), .read(2)]),
            History("applied late, after an increment", [.incrementUnknown, .increment(1), .increment(3)]),
            History(
                "two of three applied",
                [.incrementUnknown, .incrementUnknown, .incrementUnknown, .read(2), .increment(4)]),
            History(
                "seen applied, cannot be unapplied", [.increment(1), .incrementUnknown, .read(2), .read(1)], [.stale]),
            History(
                "seen applied by an increment, cannot be unapplied", [.incrementUnknown, .increment(2), .increment(2)],
                [.lost]),
            History("applied twice", [.increment(1), .incrementUnknown, .read(3)], [.repeated]),
            History(
                "applied twice, seen by an increment", [.increment(1), .incrementUnknown, .increment(4)], [.repeated]),
            History("seen once, not a second time", [.incrementUnknown, .increment(2), .increment(4)], [.repeated]),
            History("does not excuse a loss", [.increment(1), .increment(2), .incrementUnknown, .read(1)], [.stale]),
            History(
                "does not excuse a new start", [.increment(1), .increment(2), .incrementUnknown, .increment(1)], [.lost]
            ),
            History("never sent, never applied", [.increment(1), .incrementNeverSent, .increment(2)]),
            History("never sent, yet applied", [.increment(1), .incrementNeverSent, .increment(3)], [.repeated]),
            History("an unanswered read changes nothing", [.increment(1), .readUnknown, .read(2)], [.repeated]),
        ])
    func unknown(_ history: History) {
        #expect(findings(history.steps) == history.found)
    }

    @Test(
        "logouts",
        arguments: [
            History("a new session", [.increment(1), .increment(2), .logout, .read(0), .increment(1)]),
            History(
                "the old counter counts on", [.increment(1), .increment(2), .logout, .increment(3)], [.resurrected]),
            History("the old counter is read", [.increment(1), .increment(2), .logout, .read(2)], [.resurrected]),
            History(
                "too high, but not the old counter",
                [.increment(1), .increment(2), .increment(3), .logout, .increment(2)], [.repeated]),
            History("higher than the old counter", [.increment(1), .logout, .increment(9)], [.repeated]),
            History(
                "a late increment reaches the new session", [.increment(1), .incrementUnknown, .logout, .increment(2)]),
            History("unknown: happened", [.increment(1), .increment(2), .logoutUnknown, .read(0), .increment(1)]),
            History(
                "unknown: happened, seen by an increment",
                [.increment(1), .increment(2), .logoutUnknown, .increment(1), .increment(2)]),
            History("unknown: did not happen", [.increment(1), .logoutUnknown, .read(1), .increment(2)]),
            History("unknown: happened late", [.increment(1), .logoutUnknown, .increment(2), .increment(3), .read(0)]),
            History(
                "unknown: happens once only", [.increment(1), .logoutUnknown, .increment(1), .increment(2), .read(0)],
                [.lost]),
            History(
                "unknown: does not excuse a stale answer",
                [.increment(1), .increment(2), .increment(3), .logoutUnknown, .read(2)], [.stale]),
            History("unknown: does not excuse repeating", [.increment(1), .logoutUnknown, .increment(3)], [.repeated]),
            History(
                "unknown, then acknowledged",
                [.increment(1), .logoutUnknown, .logout, .read(0), .increment(1), .read(0)], [.lost]),
        ])
    func logouts(_ history: History) {
        #expect(findings(history.steps) == history.found)
    }

    @Test("an unknown logout, once clear, ends every key's old counter")
    func logoutOfAllKeys() {
        var ledger = SessionLedger(keys: 2)
        #expect(ledger.complete(ledger.sendIncrement(0), value: 1) == nil)
        #expect(ledger.complete(ledger.sendIncrement(1), value: 1) == nil)
        ledger.logoutIsUnknown()
        #expect(ledger.complete(ledger.sendRead(0), value: 0) == nil)
        #expect(!ledger.mayBeLoggedOut)
        #expect(ledger.complete(ledger.sendRead(1), value: 0) == nil)
    }
}
