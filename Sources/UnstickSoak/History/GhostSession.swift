/// A session that was logged out, kept to see whether its cookies ever show it again.
package struct GhostSession: Sendable {
    /// What the client presented before the logout.
    package let cookies: [Cookie]
    /// What each counter had reached.
    private let floors: [Int]
    /// The highest value that a late increment can have made under the old cookies, by key.
    private let lateIncrements: [Int]
    /// The highest value that later sessions of the client can have reached, by key.
    private var laterSessions: [Int]
    /// Names of cookies that a later session presented with the same value.
    private var sharedCookies: Set<String> = []

    package init(cookies: [Cookie], ledger: SessionLedger) {
        self.cookies = cookies
        floors = ledger.keys.map { ledger.floor($0) }
        lateIncrements = ledger.keys.map { ledger.unknown($0) }
        laterSessions = Array(repeating: 0, count: floors.count)
    }

    /// Keys whose old value could be told from a late increment's. Empty: the ghost proves nothing.
    package var tellingKeys: [Int] { floors.indices.filter { floors[$0] > lateIncrements[$0] } }

    /// Notes that a later session of the client presented `current`. An application may reuse the id after a logout, and
    /// then the old cookies rightly show the new session.
    package mutating func noteLaterSession(cookies current: [Cookie]) {
        for cookie in cookies where current.contains(where: { $0.name == cookie.name && $0.value == cookie.value }) {
            sharedCookies.insert(cookie.name)
        }
    }

    /// Notes how far a later session may have counted.
    package mutating func noteLaterSession(_ ledger: SessionLedger) {
        for key in laterSessions.indices {
            laterSessions[key] = max(laterSessions[key], ledger.sent(key) + ledger.unknown(key))
        }
    }

    /// Judges what the old cookies showed. Nil when the session stayed out.
    ///
    /// - Parameter isAffinity: whether a cookie name is known not to name a session.
    package func judge(value: Int, key: Int, current: SessionLedger, isAffinity: (String) -> Bool) -> Finding? {
        var allowed = lateIncrements[key]
        if sharedCookies.contains(where: { !isAffinity($0) }) {
            allowed += max(laterSessions[key], current.sent(key) + current.unknown(key))
        }
        guard value > allowed else { return nil }
        return Finding(kind: .resurrected, expected: "at most \(allowed) after the logout", seen: value)
    }
}
