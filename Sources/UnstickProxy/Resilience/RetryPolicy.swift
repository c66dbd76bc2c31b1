import HTTPWire
import NIOCore
import UnstickCore

/// How one try of a request ended without an answer.
enum AttemptFailure: CaseIterable {
    /// No connection: refused, reset or unreachable.
    case refused
    case connectTimedOut
    /// The connection's TLS did not come about.
    case handshakeFailed
    /// The queue for connections to the instance is full.
    case queueFull
    /// An open connection broke before the first byte of the request was handed to the kernel.
    case unsent
    /// A connection kept from an earlier request was closed without a byte of an answer: almost always the instance
    /// closed it for idleness while the request was under way (RFC 9112 section 9.3.1).
    case staleConnection
    /// A new connection was closed without a byte of an answer.
    case unanswered
    case responseTimedOut
    /// An answer had begun, or was no HTTP.
    case answerBroken
}

/// What a retry depends on.
struct RetriedRequest {
    var method: RequestMethod
    /// `Idempotency-Key` with a value (draft-ietf-httpapi-idempotency-key-header): the application promises to act once.
    var hasIdempotencyKey = false
    /// Every byte of the body that was sent is still here.
    var bodyIsKept: Bool
    /// Another instance may serve it. False for a session whose home's memory has the authority.
    var hasSubstitute: Bool

    /// Whether sending it twice is like sending it once (RFC 9110 section 9.2.2).
    var isRepeatable: Bool { method.isIdempotent || hasIdempotencyKey }
}

/// Why a request is tried again. Each is counted.
enum RetryReason: UInt8, CaseIterable {
    case refused, connectTimedOut, handshakeFailed, queueFull, unsent, staleConnection

    /// The value of a metric's label.
    var label: StaticString {
        switch self {
        case .refused: "refused"
        case .connectTimedOut: "connect_timeout"
        case .handshakeFailed: "handshake_failed"
        case .queueFull: "queue_full"
        case .unsent: "unsent"
        case .staleConnection: "stale_connection"
        }
    }
}

/// Why a request is not tried again. Each is counted.
enum RetryRefusal: UInt8, CaseIterable {
    /// The application may have acted on it.
    case maybeSeen
    case notIdempotent
    case bodyNotKept
    case noSubstitute
    case triesUsedUp
    case budgetSpent

    /// The value of a metric's label.
    var label: StaticString {
        switch self {
        case .maybeSeen: "maybe_seen"
        case .notIdempotent: "not_idempotent"
        case .bodyNotKept: "body_not_kept"
        case .noSubstitute: "no_substitute"
        case .triesUsedUp: "tries_used_up"
        case .budgetSpent: "budget_spent"
        }
    }
}

enum RetryTarget: Equatable {
    /// At once.
    case anotherInstance
    /// The same instance at once, by a new connection.
    case freshConnection
    /// The same instance after a pause: it has no substitute.
    case sameInstance(after: TimeAmount)
}

enum RetryDecision: Equatable {
    case again(RetryReason, on: RetryTarget)
    case giveUp(RetryRefusal)
}

/// Decides whether a request may be tried again: only while no application can have acted on it, or acting twice is
/// like acting once. Pure; ``Retries`` adds the budget and counts.
struct RetryPolicy {
    let options: ProxyOptions.Retries

    /// - Parameters:
    ///   - tries: made so far, the failed one included; 1 or more.
    ///   - random: any number, for the pause's jitter.
    func decide(
        after failure: AttemptFailure, of request: RetriedRequest, tries: Int, random: UInt64
    ) -> RetryDecision {
        let reason: RetryReason
        switch failure {
        case .refused: reason = .refused
        case .connectTimedOut: reason = .connectTimedOut
        case .handshakeFailed: reason = .handshakeFailed
        case .queueFull: reason = .queueFull
        case .unsent: reason = .unsent
        case .staleConnection: reason = .staleConnection
        case .unanswered, .responseTimedOut, .answerBroken: return .giveUp(.maybeSeen)
        }
        if failure == .staleConnection {
            // The instance may have read it before it closed.
            guard request.isRepeatable else { return .giveUp(.notIdempotent) }
            guard request.bodyIsKept else { return .giveUp(.bodyNotKept) }
        } else if options.unsent == .idempotent, !request.isRepeatable {
            return .giveUp(.notIdempotent)
        }
        guard tries <= options.count else { return .giveUp(.triesUsedUp) }
        switch failure {
        case .unsent, .staleConnection: return .again(reason, on: .freshConnection)
        case .queueFull where !request.hasSubstitute: return .giveUp(.noSubstitute)
        case _ where request.hasSubstitute: return .again(reason, on: .anotherInstance)
        default: return .again(reason, on: .sameInstance(after: pause(tries: tries, random: random)))
        }
    }

    /// From half of `delay · 2^(tries − 1)`, capped, to all of it: retries of many requests spread out.
    func pause(tries: Int, random: UInt64) -> TimeAmount {
        let cap = max(1, TimeAmount(options.delayMax).nanoseconds)
        let base = max(1, TimeAmount(options.delay).nanoseconds)
        let (grown, overflow) = base.multipliedReportingOverflow(by: 1 << Int64(min(20, max(0, tries - 1))))
        let whole = overflow ? cap : min(cap, grown)
        let half = whole / 2
        return .nanoseconds(half + Int64(random % UInt64(whole - half + 1)))
    }
}

/// One event loop's retries: policy, budget, counts.
struct Retries {
    let policy: RetryPolicy
    private var budget: RetryBudget
    private var random: UInt64
    private(set) var made = ReasonCounts<RetryReason>()
    private(set) var refused = ReasonCounts<RetryRefusal>()

    /// - Parameters:
    ///   - loops: event loops that share the budget's minimum.
    ///   - seed: of the pauses' jitter.
    init(options: ProxyOptions.Retries, loops: Int, seed: UInt64) {
        policy = RetryPolicy(options: options)
        budget = RetryBudget(
            percent: options.budgetPercent, minimumPerSecond: options.budgetMinimum, loops: loops)
        random = seed
    }

    /// Call once for each request, before its first try.
    mutating func requestBegan(now: NIODeadline) { budget.requestBegan(now: now) }

    /// Decides, draws on the budget, counts.
    mutating func decide(
        after failure: AttemptFailure, of request: RetriedRequest, tries: Int, now: NIODeadline
    ) -> RetryDecision {
        random = StableHash.mix(random)
        var decision = policy.decide(after: failure, of: request, tries: tries, random: random)
        if case .again = decision, !budget.withdraw(now: now) { decision = .giveUp(.budgetSpent) }
        switch decision {
        case .again(let reason, _): made.add(reason)
        case .giveUp(let refusal): refused.add(refusal)
        }
        return decision
    }
}
