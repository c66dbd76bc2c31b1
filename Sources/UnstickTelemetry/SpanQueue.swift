import UnstickCore

/// Spans that wait for their export; pure.
struct SpanQueue: Sendable {
    let limit: Int
    private(set) var spans: [Span] = []
    private(set) var dropped: UInt64 = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// Takes what has room; the rest is dropped, the newest first, so that traces that are begun stay whole.
    mutating func append(_ more: [Span]) {
        let room = max(0, limit - spans.count)
        guard more.count <= room else {
            // Half a request is worth less than none.
            dropped &+= UInt64(more.count)
            return
        }
        spans += more
    }

    /// Takes back spans that were not sent; they are the oldest. They had room before, so the limit is not asked.
    mutating func putBack(_ batch: [Span]) { spans.insert(contentsOf: batch, at: 0) }

    /// Removes up to `count` spans, the oldest first.
    mutating func take(_ count: Int) -> [Span] {
        let taken = Array(spans.prefix(count))
        spans.removeFirst(taken.count)
        return taken
    }
}

/// Decides what becomes of a batch after each try; pure (OTLP specification, "OTLP/HTTP Response" and "Retryable Response
/// Codes").
struct ExportRetry: Sendable {
    enum Outcome: Sendable, Equatable {
        /// With the number of spans that the collector refused (partial success).
        case accepted(rejected: Int)
        /// Status, and seconds of `Retry-After`.
        case answered(Int, retryAfter: Int64?)
        /// No connection, no answer in time.
        case failed(String)
    }

    enum Decision: Sendable, Equatable {
        case done(rejected: Int)
        case retry(after: Duration, reason: String)
        /// The collector does not want it: trying again would not help.
        case refused(String)
        /// It has been tried for too long.
        case giveUp(String)
    }

    var first: Duration = .milliseconds(500)
    var longest: Duration = .seconds(10)
    /// From the first try.
    var total: Duration = .seconds(60)
    private var wait: Duration?

    init(first: Duration = .milliseconds(500), longest: Duration = .seconds(10), total: Duration = .seconds(60)) {
        self.first = first
        self.longest = longest
        self.total = total
    }

    /// - Parameters:
    ///   - elapsed: since the first try of this batch.
    ///   - jitter: 0 to 1; the wait is between half and all of the back-off, so that many proxies do not come at once.
    mutating func decide(_ outcome: Outcome, elapsed: Duration, jitter: Double) -> Decision {
        let reason: String
        var least = Duration.zero
        switch outcome {
        case .accepted(let rejected): return .done(rejected: rejected)
        case .answered(let status, let retryAfter):
            guard [429, 502, 503, 504].contains(status) else { return .refused("status \(status)") }
            reason = "status \(status)"
            // Longer than the total would be a batch that is never sent.
            if let retryAfter { least = .seconds(min(max(0, retryAfter), 3600)) }
        case .failed(let what): reason = what
        }
        let backOff = min(wait.map { $0 * 2 } ?? first, longest)
        wait = backOff
        let delay = max(least, backOff * (0.5 + 0.5 * min(max(jitter, 0), 1)))
        guard elapsed + delay <= total else { return .giveUp(reason) }
        return .retry(after: delay, reason: reason)
    }
}
