/// What is wrong with an answer, given the client's own history.
public enum ViolationKind: String, Sendable, Codable, CaseIterable, Hashable {
    /// An acknowledged increment is gone: the counter fell back, started again, or two increments got one value.
    case lost
    /// A read showed a value that had been overtaken before the read was sent.
    case stale
    /// The counter is higher than all increments ever sent can explain: one of them was applied twice.
    case repeated
    /// A logged-out session's counter was shown again.
    case resurrected
}

/// One answer that contradicts the history.
package struct Finding: Sendable, Equatable {
    package var kind: ViolationKind
    /// What the history allows, for people.
    package var expected: String
    /// The counter that the answer showed.
    package var seen: Int

    package init(kind: ViolationKind, expected: String, seen: Int) {
        self.kind = kind
        self.expected = expected
        self.seen = seen
    }
}

/// How a request without a usable answer ended, as far as its effect goes.
package enum MissingAnswer: Sendable, Equatable {
    /// No byte of the request left: it has no effect.
    case neverSent
    /// The request may have been applied, may still be applied, or never will be.
    case unknown
}
