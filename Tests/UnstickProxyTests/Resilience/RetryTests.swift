import HTTPWire
import NIOCore
import Testing

@testable import UnstickProxy

@Suite("Retries")
struct RetryTests {
    private func policy(_ change: (inout ProxyOptions.Retries) -> Void = { _ in }) -> RetryPolicy {
        var options = ProxyOptions.Retries()
        change(&options)
        return RetryPolicy(options: options)
    }

    private func decide(
        _ failure: AttemptFailure, _ method: RequestMethod = .get, key: Bool = false, body: Bool = true,
        substitute: Bool = true, tries: Int = 1, policy: RetryPolicy? = nil
    ) -> RetryDecision {
        (policy ?? self.policy()).decide(
            after: failure,
            of: RetriedRequest(
                method: method, hasIdempotencyKey: key, bodyIsKept: body, hasSubstitute: substitute),
            tries: tries, random: 0)
    }

    private static let methods: [RequestMethod] = [
        .other, .get, .head, .post, .put, .delete, .connect, .options, .trace, .patch,
    ]

    @Test(
        "what an application may have acted on is never sent again, whatever the method",
        arguments: [AttemptFailure.unanswered, .responseTimedOut, .answerBroken], RetryTests.methods)
    func maybeSeen(failure: AttemptFailure, method: RequestMethod) {
        #expect(decide(failure, method, key: true) == .giveUp(.maybeSeen))
    }

    @Test(
        "what no instance has seen goes to another one at once",
        arguments: [
            (AttemptFailure.refused, RetryReason.refused), (.connectTimedOut, .connectTimedOut),
            (.handshakeFailed, .handshakeFailed), (.queueFull, .queueFull),
        ])
    func unseen(failure: AttemptFailure, reason: RetryReason) {
        for method in RetryTests.methods {
            #expect(decide(failure, method, body: false) == .again(reason, on: .anotherInstance))
        }
        let strict = policy { $0.unsent = .idempotent }
        #expect(decide(failure, .post, policy: strict) == .giveUp(.notIdempotent))
        #expect(decide(failure, .post, key: true, policy: strict) == .again(reason, on: .anotherInstance))
        #expect(decide(failure, .get, policy: strict) == .again(reason, on: .anotherInstance))
    }

    @Test("a connection that breaks before the first byte is replaced by a new one to the same instance")
    func unsent() {
        #expect(decide(.unsent, .post) == .again(.unsent, on: .freshConnection))
        #expect(decide(.unsent, .post, substitute: false) == .again(.unsent, on: .freshConnection))
    }

    @Test("a kept connection that closes without an answer: idempotent methods (RFC 9110 9.2.2) or a key, body kept")
    func stale() {
        let again = RetryDecision.again(.staleConnection, on: .freshConnection)
        for method in [RequestMethod.get, .head, .put, .delete, .options, .trace] {
            #expect(decide(.staleConnection, method) == again)
        }
        for method in [RequestMethod.post, .patch, .connect, .other] {
            #expect(decide(.staleConnection, method) == .giveUp(.notIdempotent))
            #expect(decide(.staleConnection, method, key: true) == again)
        }
        #expect(decide(.staleConnection, .put, body: false) == .giveUp(.bodyNotKept))
    }

    @Test("a session whose home has no substitute is tried there again, after a pause")
    func noSubstitute() {
        guard case .again(.refused, on: .sameInstance(let pause)) = decide(.refused, substitute: false) else {
            Issue.record("no retry")
            return
        }
        #expect(pause > .zero && pause <= .milliseconds(25))
        #expect(decide(.queueFull, substitute: false) == .giveUp(.noSubstitute))
    }

    @Test("tries end with the configured number")
    func tries() {
        #expect(decide(.refused, tries: 3) == .again(.refused, on: .anotherInstance))
        #expect(decide(.refused, tries: 4) == .giveUp(.triesUsedUp))
        #expect(decide(.refused, tries: 1, policy: policy { $0.count = 0 }) == .giveUp(.triesUsedUp))
    }

    @Test("the pause doubles up to its cap, and lies between half and all of it")
    func pauses() {
        let policy = policy {
            $0.delay = .milliseconds(20); $0.delayMax = .milliseconds(100)
        }
        var numbers = SeededNumbers(seed: 1)
        for (tries, whole) in [(1, 20), (2, 40), (3, 80), (4, 100), (9, 100), (Int.max, 100)] {
            var seen: [Int64] = []
            for _ in 0..<200 { seen.append(policy.pause(tries: tries, random: numbers.next()).nanoseconds) }
            #expect(seen.allSatisfy { $0 >= whole * 500_000 && $0 <= whole * 1_000_000 })
            #expect(Set(seen).count > 100)
        }
    }

    @Test("the budget allows its percentage of the last ten seconds' requests, and the minimum beside it")
    func budget() {
        var budget = RetryBudget(percent: 20, minimumPerSecond: 1)
        for _ in 0..<100 { budget.requestBegan(now: at(0)) }
        var granted = 0
        for _ in 0..<100 where budget.withdraw(now: at(1)) { granted += 1 }
        #expect(granted == 30)
        // The requests leave the window first, the retries a second later.
        let later = budget.withdraw(now: at(10.5))
        #expect(!later)
        let balance = budget.balance(now: at(11.5))
        #expect(balance == 10)
    }

    @Test("without minimum and requests there is no retry; loops share the minimum, each with one at least")
    func budgetMinimum() {
        var none = RetryBudget(percent: 100, minimumPerSecond: 0)
        #expect(none.balance(now: at(0)) == 0)
        for (loops, share) in [(1, 100), (4, 25), (1000, 1)] {
            var budget = RetryBudget(percent: 0, minimumPerSecond: 10, loops: loops)
            let balance = budget.balance(now: at(0))
            #expect(balance == share)
        }
    }

    @Test("in no window of random traffic are there more retries than the budget says", arguments: 1...20)
    func budgetHolds(seed: UInt64) {
        var numbers = SeededNumbers(seed: seed)
        var budget = RetryBudget(percent: 20, minimumPerSecond: 2)
        var requests: [Double] = []
        var retries: [Double] = []
        var time = 0.0
        for _ in 0..<3000 {
            time += Double(numbers.next() % 50) / 1000
            if numbers.next() % 3 == 0 {
                budget.requestBegan(now: at(time))
                requests.append(time)
            } else if budget.withdraw(now: at(time)) {
                retries.append(time)
                // The window moves in steps of a second: it is nine to ten seconds long.
                let recent = retries.count { $0 > time - 9 }
                let asked = requests.count { $0 > time - 10 }
                #expect(recent <= asked / 5 + 20)
            }
        }
        #expect(!retries.isEmpty)
    }

    @Test("every retry and every refusal is counted by its reason; a spent budget is one")
    func counts() {
        var options = ProxyOptions.Retries()
        options.budgetPercent = 0
        options.budgetMinimum = 1
        var retries = Retries(options: options, loops: 10, seed: 3)
        let request = RetriedRequest(method: .get, bodyIsKept: true, hasSubstitute: true)
        retries.requestBegan(now: at(0))
        let first = retries.decide(after: .refused, of: request, tries: 1, now: at(0))
        let second = retries.decide(after: .refused, of: request, tries: 2, now: at(0))
        let third = retries.decide(after: .unanswered, of: request, tries: 3, now: at(0))
        #expect(first == .again(.refused, on: .anotherInstance))
        #expect(second == .giveUp(.budgetSpent))
        #expect(third == .giveUp(.maybeSeen))
        #expect(retries.made[.refused] == 1 && retries.made.total == 1)
        #expect(retries.refused[.budgetSpent] == 1 && retries.refused[.maybeSeen] == 1)
    }

    @Test("counts of a sliding window are those of the last ten slots", arguments: 1...20)
    func slidingCounts(seed: UInt64) {
        var numbers = SeededNumbers(seed: seed)
        var counts = SlidingCounts(window: .seconds(10))
        var events: [Int] = []
        var newest = 0
        for _ in 0..<500 {
            // Sometimes far, sometimes back: a clock that goes back counts as standing still.
            let step = numbers.next() % 20
            let now = newest + (step == 0 ? 30 : step < 5 ? 1 : step == 5 ? -3 : 0)
            counts.add(events: 1, marked: 0, now: .uptimeNanoseconds(UInt64(now + 100) * 1_000_000_000))
            newest = max(newest, now)
            events.append(newest)
            #expect(counts.events == events.count { $0 > newest - 10 })
        }
    }
}
