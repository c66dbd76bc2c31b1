import NIOCore
import Testing

@testable import UnstickProxy

@Suite("Limits of one client")
struct ClientLimitTests {
    private func client(_ number: UInt32) -> ClientKey {
        withUnsafeBytes(of: number.bigEndian) { ClientKey(bytes: $0)! }
    }

    @Test("a client gets as many connections as it may, and a new one for each that it closes")
    func connections() {
        let counts = ClientConnectionCounts(limit: 3, connections: 100, seed: 1)
        for _ in 0..<3 { #expect(counts.open(client(1))) }
        #expect(!counts.open(client(1)))
        // A refusal counts nothing.
        #expect(!counts.open(client(1)))
        #expect(counts.open(client(2)))
        counts.close(client(1))
        #expect(counts.open(client(1)))
        #expect(!counts.open(client(1)))
    }

    @Test("in a full proxy nobody is refused because of others, and nobody exceeds the limit", arguments: 1...5)
    func fullProxy(seed: UInt64) {
        var numbers = SeededNumbers(seed: seed)
        let counts = ClientConnectionCounts(limit: 4, connections: 2000, seed: seed)
        var open: [UInt32: Int] = [:]
        var total = 0
        for _ in 0..<20_000 {
            let number = UInt32(numbers.next() % 1000)
            if numbers.next() % 5 < 3, total < 2000 {
                let before = open[number, default: 0]
                let accepted = counts.open(client(number))
                #expect(accepted == (before < 4))
                guard accepted else { continue }
                open[number] = before + 1
                total += 1
            } else if let before = open[number], before > 0 {
                counts.close(client(number))
                open[number] = before - 1
                total -= 1
            }
        }
    }

    @Test("counting from several loops at once loses nothing")
    func concurrent() async {
        let counts = ClientConnectionCounts(limit: 1000, connections: 1000, seed: 3)
        let client = client(7)
        await withTaskGroup { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<5000 where counts.open(client) { counts.close(client) }
                }
            }
        }
        var accepted = 0
        while counts.open(client) { accepted += 1 }
        #expect(accepted == 1000)
    }

    // MARK: Bodies

    private func floor(_ rate: Int = 500) -> RateFloor {
        RateFloor(bytesPerSecond: rate, grace: .seconds(20), window: .seconds(10), now: at(0))
    }

    /// Sends so many bytes each half second; when it was found too slow.
    private func tooSlow(_ floor: RateFloor, bytes: Int, until end: Double, from start: Double = 0) -> Double? {
        var floor = floor
        for half in 1...Int(end * 2) {
            let time = start + Double(half) / 2
            floor.received(bytes)
            if floor.isTooSlow(now: at(time)) { return time }
        }
        return nil
    }

    @Test("a body below the rate is found after grace and one window; one at the rate never is")
    func bodyRate() {
        #expect(tooSlow(floor(), bytes: 100, until: 120) == 40)
        #expect(tooSlow(floor(), bytes: 250, until: 600) == nil)
        #expect(tooSlow(floor(), bytes: 0, until: 120) == 30)
        #expect(tooSlow(floor(0), bytes: 0, until: 600) == nil)
    }

    @Test("bytes of the grace count for the first window, not for later ones")
    func burstThenNothing() {
        var floor = floor()
        floor.received(1_000_000)
        var found: Double?
        for half in 1...200 where found == nil {
            if floor.isTooSlow(now: at(Double(half) / 2)) { found = Double(half) / 2 }
        }
        #expect(found == 40)
    }

    @Test("time in which the proxy does not read is not the client's")
    func pausedReading() {
        var floor = floor()
        floor.setReading(false, now: at(0))
        floor.setReading(false, now: at(5))
        floor.setReading(true, now: at(1000))
        let early = floor.isTooSlow(now: at(1029))
        let due = floor.isTooSlow(now: at(1030))
        #expect(!early && due)
    }

    // MARK: Waits

    private static func limits(_ change: (inout ProxyOptions.Timeouts) -> Void = { _ in }) -> ExchangeTimers.Limits {
        var timeouts = ProxyOptions.Timeouts()
        timeouts.idle = .seconds(75)
        timeouts.clientHead = .seconds(15)
        timeouts.clientBody = .seconds(30)
        timeouts.response = .seconds(60)
        timeouts.stream = .seconds(300)
        change(&timeouts)
        var clients = ProxyOptions.Clients()
        clients.bodyRate = 0
        return ExchangeTimers.Limits(timeouts: timeouts, clients: clients)
    }

    @Test(
        "each stage has its own wait and its own end",
        arguments: [
            (ExchangeTimers.Stage.idle, 75.0, ExpiredWait.idle, nil as Int?), (.head, 15, .clientHead, 408),
            (.body, 30, .clientBody, 408), (.response, 60, .response, 504), (.stream, 300, .stream, nil),
        ])
    func stages(stage: ExchangeTimers.Stage, seconds: Double, wait: ExpiredWait, status: Int?) {
        let limits = ClientLimitTests.limits()
        var timers = ExchangeTimers(now: at(0))
        timers.enter(stage, limits: limits, now: at(100))
        let early = timers.expired(limits: limits, now: at(100 + seconds - 0.001))
        let due = timers.expired(limits: limits, now: at(100 + seconds))
        #expect(early == nil && due == wait && wait.status == status)
        #expect(timers.deadline(limits: limits) == at(100 + seconds))
    }

    @Test("a new connection has to send its head in time as well")
    func newConnection() {
        var timers = ExchangeTimers(now: at(0))
        let due = timers.expired(limits: ClientLimitTests.limits(), now: at(15))
        #expect(due == .clientHead)
    }

    @Test(
        "bytes prolong bodies and streams, and no head: drops of a head do not buy time",
        arguments: [
            (ExchangeTimers.Stage.head, false), (.idle, false), (.response, false), (.body, true), (.stream, true),
        ])
    func progress(stage: ExchangeTimers.Stage, prolongs: Bool) {
        let limits = ClientLimitTests.limits()
        var timers = ExchangeTimers(now: at(0))
        timers.enter(stage, limits: limits, now: at(0))
        let before = timers.deadline(limits: limits)
        timers.moved(1, now: at(10))
        #expect((timers.deadline(limits: limits) > before) == prolongs)
    }

    @Test("a body that drips is found by its rate, though each byte comes in time")
    func drip() {
        var limits = ClientLimitTests.limits()
        limits.clients.bodyRate = 500
        var timers = ExchangeTimers(now: at(0))
        timers.enter(.body, limits: limits, now: at(0))
        var found: (ExpiredWait, Double)?
        for half in 1...200 where found == nil {
            let time = Double(half) / 2
            timers.moved(1, now: at(time))
            if let wait = timers.expired(limits: limits, now: at(time)) { found = (wait, time) }
        }
        #expect(found?.0 == .bodyRate && found?.1 == 30)
    }

    @Test("while the instance takes no body, the client is not to blame: the instance's own wait runs")
    func slowInstance() {
        var limits = ClientLimitTests.limits()
        limits.clients.bodyRate = 500
        var timers = ExchangeTimers(now: at(0))
        timers.enter(.body, limits: limits, now: at(0))
        timers.setReading(false, now: at(1))
        let patient = timers.expired(limits: limits, now: at(60.9))
        let due = timers.expired(limits: limits, now: at(61))
        #expect(patient == nil && due == .response)
        timers.setReading(true, now: at(62))
        let anew = timers.expired(limits: limits, now: at(62.5))
        #expect(anew == nil)
    }

    @Test("the total runs from the request's first byte through all stages, and not for streams without an end")
    func total() {
        let limits = ClientLimitTests.limits { $0.total = .seconds(20) }
        var timers = ExchangeTimers(now: at(0))
        timers.enter(.head, limits: limits, now: at(5))
        timers.enter(.response, limits: limits, now: at(6))
        timers.enter(.stream, limits: limits, now: at(20))
        timers.moved(1, now: at(24))
        #expect(timers.deadline(limits: limits) == at(25))
        var longLived = timers
        longLived.becomeLongLived()
        let free = longLived.expired(limits: limits, now: at(200))
        #expect(free == nil && longLived.deadline(limits: limits) == at(324))
        let due = timers.expired(limits: limits, now: at(25))
        #expect(due == .total && ExpiredWait.total.status == 504)
        // The next request has its own, and what lies between has none.
        longLived.enter(.idle, limits: limits, now: at(300))
        let idle = longLived.expired(limits: limits, now: at(330))
        #expect(idle == nil)
        longLived.enter(.head, limits: limits, now: at(330))
        longLived.enter(.response, limits: limits, now: at(331))
        let next = longLived.expired(limits: limits, now: at(350))
        #expect(next == .total)
    }
}
