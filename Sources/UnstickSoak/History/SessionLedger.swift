/// The history of one session of one client: its counters, and whether a logout of unknown outcome may have ended it.
///
/// From one logout to the next the same value is used; `start…` turns it into the next session's.
package struct SessionLedger: Sendable {
    package struct Ticket: Sendable {
        package var key: Int
        fileprivate var counter: CounterLedger.Ticket
    }

    private var counters: [CounterLedger]
    /// Increments sent per key when a logout of unknown outcome went out; nil when there is none.
    private var sentBeforeLogout: [Int]?

    /// - Parameter keys: number of counters, at least 1.
    package init(keys: Int) {
        counters = Array(repeating: CounterLedger(), count: keys)
    }

    package var keys: Range<Int> { counters.indices }
    /// Whether a logout may have happened or may still happen.
    package var mayBeLoggedOut: Bool { sentBeforeLogout != nil }

    package func floor(_ key: Int) -> Int { counters[key].floor }
    package func unknown(_ key: Int) -> Int { counters[key].unknown }
    /// Increments sent in this session, whatever came of them.
    package func sent(_ key: Int) -> Int { counters[key].sent }

    package mutating func sendIncrement(_ key: Int) -> Ticket {
        Ticket(key: key, counter: counters[key].sendIncrement())
    }

    package func sendRead(_ key: Int) -> Ticket {
        Ticket(key: key, counter: counters[key].sendRead())
    }

    package mutating func fail(_ ticket: Ticket, _ reason: MissingAnswer) {
        counters[ticket.key].fail(ticket.counter, reason)
    }

    /// Judges an answer and learns from it. Nil when the history allows it.
    package mutating func complete(_ ticket: Ticket, value: Int) -> Finding? {
        if let sentBeforeLogout, counters[ticket.key].fallsBack(ticket.counter, value: value) {
            // Nothing but increments sent after the logout, or late ones, can be in the session that follows it.
            let possible = counters[ticket.key].sent - sentBeforeLogout[ticket.key] + counters[ticket.key].unknown
            if value >= 0, value <= possible {
                concludeLogout(sentBeforeLogout, seen: ticket.key, value: value)
                return nil
            }
        }
        return counters[ticket.key].complete(ticket.counter, value: value)
    }

    /// The logout was acknowledged: the next session begins, every counter at 0.
    package mutating func startAfterLogout() {
        counters = counters.map {
            CounterLedger(unknown: $0.unknown, floorBeforeLogout: $0.floor, ceilingBeforeLogout: $0.ceiling)
        }
        sentBeforeLogout = nil
    }

    /// The client forgets its cookies: the next session begins and cannot meet anything of this one.
    package mutating func startWithoutCookies() {
        self = SessionLedger(keys: counters.count)
    }

    /// The logout got no usable answer: from now on either session may be shown, until an answer tells.
    package mutating func logoutIsUnknown() {
        guard sentBeforeLogout == nil else { return }
        sentBeforeLogout = counters.map(\.sent)
    }

    private mutating func concludeLogout(_ sentBefore: [Int], seen key: Int, value: Int) {
        sentBeforeLogout = nil
        for index in counters.indices {
            // Which increments since the logout went to which session is not known.
            let since = counters[index].sent - sentBefore[index]
            counters[index].startAgain(at: index == key ? value : 0, slack: since)
        }
    }
}
