import NIOCore
import Testing

@testable import UnstickProxy

@Suite("Condition of instances")
struct InstanceConditionTests {
    private static let fit = InstanceOutcome.answered(status: 200)

    private func options(_ change: (inout ProxyOptions.Resilience) -> Void = { _ in }) -> ProxyOptions.Resilience {
        var options = ProxyOptions.Resilience()
        options.breaker.failurePercent = nil
        change(&options)
        return options
    }

    private func fleet(_ count: Int, _ options: ProxyOptions.Resilience) -> [InstanceCondition] {
        Array(repeating: InstanceCondition(options: options), count: count)
    }

    /// Requests that end this way at one instance.
    private func serve(
        _ outcome: InstanceOutcome, times: Int = 1, at index: Int, of conditions: inout [InstanceCondition],
        _ options: ProxyOptions.Resilience, time: Double = 0
    ) {
        for _ in 0..<times {
            let fleet = FleetCondition(conditions, options: options)
            guard let permit = conditions[index].begin(.none, fleet: fleet, now: at(time)) else { return }
            _ = conditions[index].end(permit, outcome: outcome, fleet: fleet, now: at(time), random: 0)
        }
    }

    @Test(
        "what counts as a fault of which kind",
        arguments: [
            (InstanceOutcome.answered(status: 200), false, false, false),
            (.answered(status: 404), false, false, false), (.answered(status: 429), false, false, false),
            (.answered(status: 500), false, false, true), (.answered(status: 501), false, false, true),
            (.answered(status: 502), false, true, true), (.answered(status: 503), false, true, true),
            (.answered(status: 504), false, true, true), (.answered(status: 505), false, false, true),
            (.connectFailed, true, true, true), (.connectTimedOut, true, true, true),
            (.handshakeFailed, true, true, true), (.broken, true, true, true), (.responseTimedOut, true, true, true),
            (.unreadable, true, true, true),
        ])
    func outcomes(outcome: InstanceOutcome, transport: Bool, gateway: Bool, server: Bool) {
        #expect(outcome.isTransportFault == transport)
        #expect(outcome.isGatewayError == gateway)
        #expect(outcome.isServerError == server)
    }

    @Test("an instance is fit until something speaks against it, and says what does")
    func reasons() {
        let options = options()
        var condition = InstanceCondition(options: options)
        #expect(condition.mayTakeNewWork && condition.reason == nil && condition.activeHealth == nil)
        let changed = condition.healthChecked(healthy: false, reason: "answered 503")
        #expect(changed && !condition.mayTakeNewWork && condition.reason == "answered 503")
        let again = condition.healthChecked(healthy: false, reason: "answered 500")
        #expect(!again && condition.reason == "answered 500")
        let back = condition.healthChecked(healthy: true, reason: nil)
        #expect(back && condition.mayTakeNewWork && condition.reason == nil)
    }

    @Test("three failed connections in a row take it out of new work, and a probe brings it back")
    func breaker() {
        let options = options { $0.ejection.consecutiveGatewayErrors = nil }
        var conditions = fleet(3, options)
        serve(.connectFailed, times: 3, at: 0, of: &conditions, options)
        #expect(!conditions[0].mayTakeNewWork)
        #expect(conditions[0].reason == "circuit open: connections fail in a row")
        let due = conditions[0].tick(now: at(1))
        #expect(due && conditions[0].mayTakeNewWork)
        // One probe, and no second one while it is under way.
        let whole = FleetCondition(conditions, options: options)
        let probe = conditions[0].begin(.none, fleet: whole, now: at(1))
        #expect(probe != nil && !conditions[0].mayTakeNewWork)
        let second = conditions[0].begin(.movable, fleet: whole, now: at(1))
        #expect(second == nil)
        let closed = conditions[0].end(
            probe!, outcome: InstanceConditionTests.fit, fleet: whole, now: at(1), random: 0)
        #expect(closed && conditions[0].mayTakeNewWork)
    }

    @Test("a bad answer is no failed connection: the breaker stays closed")
    func answersAreNotFaults() {
        let options = options { $0.ejection.consecutiveGatewayErrors = nil }
        var conditions = fleet(2, options)
        serve(.answered(status: 503), times: 50, at: 0, of: &conditions, options)
        #expect(conditions[0].mayTakeNewWork)
    }

    @Test("a session whose home has no substitute goes home, whatever is said of the home")
    func exclusive() {
        let options = options()
        var conditions = fleet(4, options)
        serve(.connectFailed, times: 3, at: 0, of: &conditions, options)
        _ = conditions[0].healthChecked(healthy: false, reason: "gone")
        conditions[0].ejectAsOutlier(now: at(0))
        let whole = FleetCondition(conditions, options: options)
        #expect(!whole.isPanicking)
        let own = conditions[0].begin(.exclusive, fleet: whole, now: at(0))
        let movable = conditions[0].begin(.movable, fleet: whole, now: at(0))
        let new = conditions[0].begin(.none, fleet: whole, now: at(0))
        #expect(own != nil && movable == nil && new == nil)
        #expect(!whole.mayChoose(conditions[0]) && whole.mayChoose(conditions[1]))
    }

    @Test("only a route home without failover is exclusive")
    func claims() {
        #expect(HomeClaim(isHome: true, mayFailOver: false) == .exclusive)
        #expect(HomeClaim(isHome: true, mayFailOver: true) == .movable)
        #expect(HomeClaim(isHome: false, mayFailOver: false) == .none)
    }

    @Test("gateway errors in a row eject, longer each time; a quiet interval shortens the next ejection")
    func ejectionTime() {
        let options = options {
            $0.breaker.consecutiveFailures = nil
            $0.ejection.timeMax = .seconds(70)
        }
        var conditions = fleet(3, options)
        var time = 0.0
        for length in [30.0, 60, 70] {
            serve(.answered(status: 502), times: 4, at: 0, of: &conditions, options, time: time)
            #expect(!conditions[0].isEjected)
            serve(.answered(status: 502), at: 0, of: &conditions, options, time: time)
            #expect(conditions[0].ejection.ejectedUntil == at(time + length))
            #expect(conditions[0].reason == "ejected: gateway errors in a row")
            let early = conditions[0].tick(now: at(time + length - 0.1))
            #expect(!early)
            time += length
            let due = conditions[0].tick(now: at(time))
            #expect(due && !conditions[0].isEjected && conditions[0].mayTakeNewWork)
        }
        for _ in 0..<2 { _ = conditions[0].takeSample() }
        serve(.answered(status: 502), times: 5, at: 0, of: &conditions, options, time: time)
        #expect(conditions[0].ejection.ejectedUntil == at(time + 60))
    }

    @Test("a good answer ends the row; statuses 500 count only where configured")
    func errorsInRow() {
        let standard = options()
        var conditions = fleet(3, standard)
        serve(.answered(status: 502), times: 4, at: 0, of: &conditions, standard)
        serve(InstanceConditionTests.fit, at: 0, of: &conditions, standard)
        serve(.answered(status: 502), times: 4, at: 0, of: &conditions, standard)
        serve(.answered(status: 500), times: 50, at: 1, of: &conditions, standard)
        #expect(!conditions[0].isEjected && !conditions[1].isEjected)
        let strict = options { $0.ejection.consecutiveErrors = 5 }
        conditions = fleet(3, strict)
        serve(.answered(status: 500), times: 5, at: 1, of: &conditions, strict)
        #expect(conditions[1].ejection.cause == .consecutiveErrors)
    }

    @Test(
        "no more than the configured share is ejected, and never the last",
        arguments: [(10, 50, 5), (10, 10, 1), (10, 0, 0), (10, 100, 9), (2, 50, 1), (1, 100, 0), (3, 50, 1)])
    func ejectionLimit(instances: Int, percent: Int, ejected: Int) {
        let options = options {
            $0.breaker.consecutiveFailures = nil
            $0.ejection.percentMax = percent
        }
        var conditions = fleet(instances, options)
        for index in 0..<instances {
            serve(.answered(status: 503), times: 20, at: index, of: &conditions, options)
        }
        #expect(conditions.count { $0.isEjected } == ejected)
    }

    @Test(
        "with too few left the fleet panics: new work goes everywhere",
        arguments: [(10, 5, 50, false), (10, 6, 50, true), (2, 1, 50, false), (2, 2, 50, true), (10, 10, 0, false)])
    func panic(instances: Int, out: Int, percent: Int, panics: Bool) {
        let options = options { $0.panicPercent = percent }
        var conditions = fleet(instances, options)
        for index in 0..<out { _ = conditions[index].healthChecked(healthy: false, reason: "gone") }
        let whole = FleetCondition(conditions, options: options)
        #expect(whole.isPanicking == panics && whole.available == instances - out)
        #expect(whole.mayChoose(conditions[0]) == panics)
        let permit = conditions[0].begin(.none, fleet: whole, now: at(0))
        #expect((permit != nil) == panics)
    }

    @Test("an instance with a success rate far below its peers' is ejected")
    func successRate() {
        let options = options()
        var conditions = fleet(6, options)
        for index in 0..<6 {
            for number in 0..<200 {
                let fails = index == 3 ? number % 3 == 0 : number % 100 == index
                serve(.answered(status: fails ? 500 : 200), at: index, of: &conditions, options)
            }
        }
        let (whole, ejected) = FleetCondition.compare(&conditions, options: options, now: at(10))
        #expect(ejected == [3] && whole.ejected == 1)
        #expect(conditions[3].reason == "ejected: fewer successes than its peers")
        // The figures start anew: nothing is left to compare.
        let (_, again) = FleetCondition.compare(&conditions, options: options, now: at(20))
        #expect(again.isEmpty)
    }

    @Test("success rates are not compared among too few instances, or with too few requests")
    func tooFewSamples() {
        func outliers(_ counts: [(Int, Int)], _ change: (inout ProxyOptions.Ejection) -> Void = { _ in }) -> [Int] {
            var options = ProxyOptions.Ejection()
            change(&options)
            return OutlierEjection.outliers(
                among: counts.map { OutlierEjection.Sample(requests: $0.0, successes: $0.1, isEjected: false) },
                options: options)
        }
        let good = Array(repeating: (100, 100), count: 5)
        #expect(outliers(good + [(100, 10)]) == [5])
        #expect(outliers(good + [(99, 10)]).isEmpty)
        #expect(outliers(Array(good[..<3]) + [(100, 10)]).isEmpty)
        #expect(outliers(good + [(100, 10)]) { $0.deviationTenths = nil }.isEmpty)
        // Alike: no deviation, no outlier.
        #expect(outliers(good).isEmpty)
        // One of six lies at most √5 ≈ 2.24 deviations away.
        #expect(outliers(good + [(100, 10)]) { $0.deviationTenths = 23 }.isEmpty)
    }

    @Test("a client that goes away says nothing about the instance")
    func abandoned() {
        let options = options()
        var conditions = fleet(2, options)
        for _ in 0..<50 {
            let whole = FleetCondition(conditions, options: options)
            let permit = conditions[0].begin(.none, fleet: whole, now: at(0))
            let changed = conditions[0].abandon(permit!)
            #expect(!changed)
        }
        #expect(conditions[0].mayTakeNewWork)
    }

    @Test("the stored verdict is always what health, ejection and breaker say together", arguments: 1...30)
    func storedVerdict(seed: UInt64) {
        var numbers = SeededNumbers(seed: seed)
        let options = options {
            $0.ejection.time = .seconds(3)
            $0.ejection.timeMax = .seconds(9)
        }
        var conditions = fleet(4, options)
        var whole = FleetCondition(conditions, options: options)
        var permits: [(Int, InstanceCondition.Permit)] = []
        var time = 0.0
        for _ in 0..<3000 {
            time += Double(numbers.next() % 200) / 1000
            let index = Int(numbers.next() % 4)
            var changed = true
            switch numbers.next() % 8 {
            case 0...2:
                let claim: HomeClaim = [.none, .movable, .exclusive][Int(numbers.next() % 3)]
                let permit = conditions[index].begin(claim, fleet: whole, now: at(time))
                #expect(permit != nil || claim != .exclusive)
                if let permit { permits.append((index, permit)) }
            case 3...5:
                guard !permits.isEmpty else { continue }
                let (index, permit) = permits.remove(at: Int(numbers.next() % UInt64(permits.count)))
                let outcomes: [InstanceOutcome] = [
                    .answered(status: 200), .answered(status: 503), .connectFailed, .broken,
                ]
                changed = conditions[index].end(
                    permit, outcome: outcomes[Int(numbers.next() % 4)], fleet: whole, now: at(time),
                    random: numbers.next())
            case 6:
                changed = conditions[index].healthChecked(healthy: numbers.next() % 3 != 0, reason: "bad")
            default:
                changed = conditions[index].tick(now: at(time))
            }
            for condition in conditions {
                #expect(
                    condition.mayTakeNewWork
                        == (condition.activeHealth != false && !condition.isEjected && condition.breaker.isAdmitting))
                #expect((condition.reason == nil) == condition.mayTakeNewWork)
            }
            let anew = FleetCondition(conditions, options: options)
            #expect(changed || anew == whole, "a change was not told")
            whole = anew
            #expect(whole.ejected <= 2)
        }
    }
}
