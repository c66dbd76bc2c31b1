// The checker for one counter of one session.
//
// A counter starts at 0 and every increment answers the value it made. So each applied increment owns one *position*:
// the value it made. The ledger knows which positions are owned by acknowledged increments. All rules follow from three
// facts that hold in every linearizable execution (Herlihy and Wing 1990), whatever overlaps with what:
//
// 1. Values only grow: an answer is at least what any answer showed that had arrived before the request was sent
//    (the *floor* at invocation), and an increment's is above that.
// 2. A position has one owner: no two acknowledged increments got the same value.
// 3. Every position up to a value that was shown is owned by an increment that was sent before the answer arrived.
//    The ones without an acknowledged owner (*holes*) need increments whose answer has not come or never will.
//
// Rule 3 is the ceiling. An increment of unknown outcome stays a possible owner until the session ends, since it may be
// applied late; but it can own only one position, so that what was seen applied cannot be counted again.
//
// After a violation the ledger starts again from what was seen, with slack for everything that may come back, so that
// one fault is not reported once per answer that follows.

/// The history of one counter in one session, and the judge of every answer about it. Pure: no clock, no I/O.
package struct CounterLedger: Sendable {
    /// What was known when a request was sent. Every ticket is given back once: to `complete` or to `fail`.
    package struct Ticket: Sendable {
        package var isIncrement: Bool
        fileprivate var floor: Int
        fileprivate var era: Int
    }

    /// The highest value known to have been reached.
    package private(set) var floor = 0
    /// The highest position with an acknowledged owner.
    private var highestOwned = 0
    /// Positions below `highestOwned` without one, ascending. In a correct system never more than pending increments.
    private var holes: [Int] = []
    /// Increments sent and not answered yet.
    private var inFlight = 0
    /// Increments that may own a position although nobody acknowledged them, now or later.
    package private(set) var unknown: Int
    /// Increments ever sent, whatever came of them.
    package private(set) var sent = 0
    /// Grows whenever the ledger starts again; requests sent in an earlier era are not judged.
    private var era = 0
    /// A loss seen by a read was reported, and no right answer came since.
    private var lossIsReported = false
    /// The floor of the session that was logged out before this one; explains where a too high first answer is from.
    private let floorBeforeLogout: Int
    private let ceilingBeforeLogout: Int

    /// - Parameters:
    ///   - unknown: increments of the session before, which may still be applied if the application reuses the id.
    ///   - floorBeforeLogout: what the session before had reached; 0 when there was none.
    ///   - ceilingBeforeLogout: what it can have reached.
    package init(unknown: Int = 0, floorBeforeLogout: Int = 0, ceilingBeforeLogout: Int = 0) {
        self.unknown = unknown
        self.floorBeforeLogout = floorBeforeLogout
        self.ceilingBeforeLogout = ceilingBeforeLogout
    }

    /// The highest value that an increment sent now could show.
    package var ceiling: Int {
        // Holes are owned by pending increments; what is left of those may lie above.
        max(floor, highestOwned + max(0, inFlight + unknown - holes.count))
    }

    package mutating func sendIncrement() -> Ticket {
        inFlight += 1
        sent += 1
        return Ticket(isIncrement: true, floor: floor, era: era)
    }

    package func sendRead() -> Ticket {
        Ticket(isIncrement: false, floor: floor, era: era)
    }

    /// The request got no usable answer.
    package mutating func fail(_ ticket: Ticket, _ reason: MissingAnswer) {
        // In an earlier era's tickets, the new start already made every increment in flight an unknown one.
        guard ticket.isIncrement, ticket.era == era else { return }
        inFlight -= 1
        if reason == .unknown { unknown += 1 }
    }

    /// Judges an answer and learns from it. Nil when the history allows it.
    package mutating func complete(_ ticket: Ticket, value: Int) -> Finding? {
        guard ticket.era == era else { return nil }
        return ticket.isIncrement ? completeIncrement(ticket, value) : completeRead(ticket, value)
    }

    /// Whether the answer lies below what the request's sender already knew.
    package func fallsBack(_ ticket: Ticket, value: Int) -> Bool {
        ticket.era == era && (ticket.isIncrement ? value <= ticket.floor : value < ticket.floor)
    }

    /// Forgets the values, keeping `value` as reached and `slack` further increments as possible.
    package mutating func startAgain(at value: Int, slack: Int) {
        era += 1
        unknown += inFlight + slack
        inFlight = 0
        floor = value
        highestOwned = value
        holes = []
        lossIsReported = false
    }

    private mutating func completeIncrement(_ ticket: Ticket, _ value: Int) -> Finding? {
        inFlight -= 1
        if value <= ticket.floor {
            let finding = Finding(kind: .lost, expected: "an increment above \(ticket.floor)", seen: value)
            // The values up to the old floor may come back, when the answer was from a lagging copy.
            startAgain(at: value, slack: floor - value + 1)
            return finding
        }
        if let finding = overshoot(value, positionIsTaken: true) { return finding }
        defer {
            floor = max(floor, value)
            lossIsReported = false
        }
        if value > highestOwned {
            holes.append(contentsOf: highestOwned + 1..<value)
            highestOwned = value
        } else if let hole = holes.firstIndex(of: value) {
            holes.remove(at: hole)
        } else {
            // Whatever position this increment does own, if any, is not known.
            unknown += 1
            return Finding(kind: .lost, expected: "a value that no other increment got", seen: value)
        }
        return nil
    }

    private mutating func completeRead(_ ticket: Ticket, _ value: Int) -> Finding? {
        if value < ticket.floor {
            let expected = "a value from \(ticket.floor) to \(ceiling)"
            guard value <= 0 else { return Finding(kind: .stale, expected: expected, seen: value) }
            if lossIsReported { return nil }
            lossIsReported = true
            return Finding(kind: .lost, expected: expected, seen: value)
        }
        if let finding = overshoot(value, positionIsTaken: false) { return finding }
        floor = max(floor, value)
        lossIsReported = false
        return nil
    }

    /// Rule 3. With `positionIsTaken` the value's own position is the answered increment's.
    private mutating func overshoot(_ value: Int, positionIsTaken: Bool) -> Finding? {
        let lastHole = positionIsTaken ? value - 1 : value
        let needed = holes.count { $0 <= lastHole } + max(0, lastHole - highestOwned)
        guard needed > inFlight + unknown else { return nil }
        let isOldSession =
            floor == 0 && floorBeforeLogout > 0 && value >= floorBeforeLogout
            && value <= ceilingBeforeLogout + (positionIsTaken ? 1 : 0)
        let finding = Finding(
            kind: isOldSession ? .resurrected : .repeated,
            expected: "at most \(ceiling + (positionIsTaken ? 1 : 0))",
            seen: value
        )
        startAgain(at: value, slack: 0)
        return finding
    }
}
