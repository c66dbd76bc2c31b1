import NIOCore
import Testing

@testable import UnstickProxy

@Suite("Circuit breaker")
struct CircuitBreakerTests {
    private func breaker(_ change: (inout ProxyOptions.Breaker) -> Void = { _ in }) -> CircuitBreaker {
        var options = ProxyOptions.Breaker()
        options.consecutiveFailures = 3
        options.failurePercent = nil
        options.openTime = .seconds(1)
        options.openTimeMax = .seconds(8)
        change(&options)
        return CircuitBreaker(options: options)
    }

    /// One request from beginning to end.
    private func serve(_ breaker: inout CircuitBreaker, success: Bool, at time: Double) {
        guard let permit = breaker.admit(now: at(time)) else { return }
        _ = breaker.record(success: success, permit: permit, now: at(time), random: 0)
    }

    private func isOpen(_ breaker: CircuitBreaker) -> Bool {
        if case .open = breaker.state { true } else { false }
    }

    @Test("failures in a row open it, a success between them does not let them add up")
    func consecutive() {
        var breaker = breaker()
        for success in [false, false, true, false, false] { serve(&breaker, success: success, at: 0) }
        #expect(breaker.state == .closed)
        serve(&breaker, success: false, at: 0)
        #expect(breaker.state == .open(until: at(1)))
        #expect(breaker.cause == .consecutiveFailures && !breaker.isAdmitting)
        let permit = breaker.admit(now: at(0.5))
        #expect(permit == nil)
    }

    @Test("a share of failures opens it, once there are enough requests within the window")
    func ratio() {
        func run(_ requests: Int, every seconds: Double) -> CircuitBreaker {
            var breaker = breaker {
                $0.consecutiveFailures = nil
                $0.failurePercent = 50
                $0.samples = 20
            }
            for number in 0..<requests { serve(&breaker, success: number % 2 == 0, at: Double(number) * seconds) }
            return breaker
        }
        #expect(run(19, every: 0.1).state == .closed)
        #expect(run(20, every: 0.1).cause == .failureRatio)
        // Never 20 within ten seconds.
        #expect(run(100, every: 1).state == .closed)
    }

    @Test("when its time is over, as many probes pass as configured; their success closes it")
    func probes() {
        var breaker = breaker { $0.probes = 2 }
        for _ in 0..<3 { serve(&breaker, success: false, at: 0) }
        let early = breaker.tick(now: at(0.9))
        let due = breaker.tick(now: at(1))
        #expect(!early && due)
        #expect(breaker.state == .halfOpen && breaker.isAdmitting)
        let first = breaker.admit(now: at(1))
        let second = breaker.admit(now: at(1))
        let third = breaker.admit(now: at(1))
        #expect(first != nil && second != nil && third == nil)
        guard let first, let second else { return }
        _ = breaker.record(success: true, permit: first, now: at(2), random: 0)
        #expect(breaker.state == .halfOpen)
        _ = breaker.record(success: true, permit: second, now: at(2), random: 0)
        #expect(breaker.state == .closed && breaker.cause == nil)
    }

    @Test("a failed probe opens it again, each time twice as long up to the cap; a quiet time starts anew")
    func backoff() {
        var breaker = breaker()
        for _ in 0..<3 { serve(&breaker, success: false, at: 0) }
        var time = 0.0
        for (open, _) in [(1.0, 0), (2, 0), (4, 0), (8, 0), (8, 0)] {
            #expect(breaker.state == .open(until: at(time + open)))
            time += open
            _ = breaker.tick(now: at(time))
            serve(&breaker, success: false, at: time)
            #expect(breaker.cause == .probeFailed)
        }
        _ = breaker.tick(now: at(time + 8))
        serve(&breaker, success: true, at: time + 8)
        #expect(breaker.state == .closed)
        // Trouble soon after is the same trouble; long after, another.
        var soon = breaker
        for _ in 0..<3 { serve(&soon, success: false, at: time + 10) }
        #expect(soon.state == .open(until: at(time + 18)))
        for _ in 0..<3 { serve(&breaker, success: false, at: time + 17) }
        #expect(breaker.state == .open(until: at(time + 18)))
    }

    @Test("the open time is up to an eighth shorter by chance")
    func jitter() {
        var numbers = SeededNumbers(seed: 5)
        var ends: Set<UInt64> = []
        for _ in 0..<100 {
            var breaker = breaker { $0.consecutiveFailures = 1 }
            let permit = breaker.admit(now: at(0))
            _ = breaker.record(success: false, permit: permit!, now: at(0), random: numbers.next())
            guard case .open(let until) = breaker.state else { continue }
            ends.insert(until.uptimeNanoseconds)
            #expect(until <= at(1) && until >= at(0.875))
        }
        #expect(ends.count > 90)
    }

    @Test("results of requests from before it opened do not count as probes")
    func lateResults() {
        var breaker = breaker()
        let early = breaker.admit(now: at(0))
        for _ in 0..<3 { serve(&breaker, success: false, at: 0) }
        _ = breaker.tick(now: at(1))
        let changed = breaker.record(success: true, permit: early!, now: at(1), random: 0)
        #expect(!changed && breaker.state == .halfOpen)
        let failed = breaker.record(success: false, permit: early!, now: at(1), random: 0)
        #expect(!failed && breaker.state == .halfOpen)
    }

    @Test("a probe whose client goes away frees its place, and one that never ends does so after the longest open time")
    func lostProbes() {
        var breaker = breaker()
        for _ in 0..<3 { serve(&breaker, success: false, at: 0) }
        _ = breaker.tick(now: at(1))
        let probe = breaker.admit(now: at(1))
        #expect(!breaker.isAdmitting)
        breaker.abandon(probe!)
        #expect(breaker.isAdmitting)
        _ = breaker.admit(now: at(2))
        let early = breaker.tick(now: at(9.9))
        #expect(!early && !breaker.isAdmitting)
        let due = breaker.tick(now: at(10))
        #expect(due && breaker.isAdmitting)
    }

    @Test("a good health check lets probes begin at once, and does not close it by itself")
    func reached() {
        var breaker = breaker()
        for _ in 0..<3 { serve(&breaker, success: false, at: 0) }
        let changed = breaker.reached()
        #expect(changed && breaker.state == .halfOpen)
        let again = breaker.reached()
        #expect(!again && breaker.state == .halfOpen)
    }

    @Test("it never passes more probes at once than configured, whatever happens", arguments: 1...30)
    func randomWalk(seed: UInt64) {
        var numbers = SeededNumbers(seed: seed)
        var breaker = breaker { $0.probes = 2 }
        var permits: [(CircuitBreaker.Permit, era: CircuitBreaker.State)] = []
        var time = 0.0
        for _ in 0..<2000 {
            time += Double(numbers.next() % 100) / 1000
            switch numbers.next() % 4 {
            case 0, 1:
                let state = breaker.state
                if let permit = breaker.admit(now: at(time)) {
                    permits.append((permit, state))
                    #expect(!isOpen(breaker))
                }
            case 2:
                guard !permits.isEmpty else { break }
                let (permit, _) = permits.remove(at: Int(numbers.next() % UInt64(permits.count)))
                if numbers.next() % 5 == 0 {
                    breaker.abandon(permit)
                } else {
                    _ = breaker.record(
                        success: numbers.next() % 2 == 0, permit: permit, now: at(time), random: numbers.next())
                }
            default:
                _ = breaker.tick(now: at(time))
            }
            if breaker.state == .halfOpen {
                var copy = breaker
                var passed = 0
                while copy.admit(now: at(time)) != nil { passed += 1 }
                #expect(passed <= 2)
            }
        }
    }
}
