import Testing
import UnstickSoak

@Suite("The checker of one counter with requests at the same time")
struct OverlapTests {
    @Test("answers may arrive in any order")
    func order() {
        var ledger = CounterLedger()
        let first = ledger.sendIncrement()
        let second = ledger.sendIncrement()
        let read = ledger.sendRead()
        #expect(ledger.complete(second, value: 2) == nil)
        #expect(ledger.complete(read, value: 0) == nil)
        #expect(ledger.complete(first, value: 1) == nil)
        #expect(ledger.complete(ledger.sendRead(), value: 2) == nil)
    }

    @Test("two increments with one value are a lost update")
    func sameValue() {
        var ledger = CounterLedger()
        let first = ledger.sendIncrement()
        let second = ledger.sendIncrement()
        #expect(ledger.complete(first, value: 1) == nil)
        #expect(ledger.complete(second, value: 1)?.kind == .lost)
        // Reported once: what follows may show either.
        #expect(ledger.complete(ledger.sendIncrement(), value: 2) == nil)
    }

    @Test("a read must show what was acknowledged before it was sent")
    func realTimeFloor() {
        var ledger = CounterLedger()
        let early = ledger.sendRead()
        #expect(ledger.complete(ledger.sendIncrement(), value: 1) == nil)
        let late = ledger.sendRead()
        #expect(ledger.complete(early, value: 0) == nil)
        #expect(ledger.complete(late, value: 0)?.kind == .lost)
    }

    @Test("an increment must be above what was read before it was sent")
    func incrementFloor() {
        var ledger = CounterLedger()
        let slow = ledger.sendIncrement()
        #expect(ledger.complete(ledger.sendRead(), value: 1) == nil)
        #expect(ledger.complete(ledger.sendIncrement(), value: 1)?.kind == .lost)
        _ = slow
    }

    @Test("a read may show increments on their way, and no more")
    func ceiling() {
        var ledger = CounterLedger()
        let first = ledger.sendIncrement()
        let second = ledger.sendIncrement()
        #expect(ledger.ceiling == 2)
        #expect(ledger.complete(ledger.sendRead(), value: 2) == nil)
        #expect(ledger.complete(ledger.sendRead(), value: 3)?.kind == .repeated)
        _ = (first, second)
    }

    @Test("a value that needs an owner is repeated once the last candidate owns another")
    func hole() {
        var ledger = CounterLedger()
        let first = ledger.sendIncrement()
        let second = ledger.sendIncrement()
        #expect(ledger.complete(second, value: 2) == nil)
        // Value 1 was the first one's; it got 3, so 1 was made by nobody.
        #expect(ledger.complete(first, value: 3)?.kind == .repeated)
    }

    @Test("a value that needs an owner is repeated when the last candidate was never sent")
    func holeNeverSent() {
        var ledger = CounterLedger()
        let first = ledger.sendIncrement()
        #expect(ledger.complete(ledger.sendIncrement(), value: 2) == nil)
        ledger.fail(first, .neverSent)
        #expect(ledger.complete(ledger.sendRead(), value: 2)?.kind == .repeated)
    }

    @Test("requests sent before a violation are not judged by what came of it")
    func era() {
        var ledger = CounterLedger()
        for value in 1...5 { #expect(ledger.complete(ledger.sendIncrement(), value: value) == nil) }
        let flying = ledger.sendIncrement()
        #expect(ledger.complete(ledger.sendIncrement(), value: 1)?.kind == .lost)
        // The same fault, seen by a second request: one loss, not two.
        #expect(ledger.complete(flying, value: 2) == nil)
        #expect(ledger.complete(ledger.sendIncrement(), value: 3) == nil)
    }

    /// A counter that does everything right, in random order, with late and missing answers.
    @Test("no linearizable history is faulted", arguments: 0..<300)
    func soundness(seed: Int) {
        var random = Seeded(state: UInt64(seed))
        var ledger = SessionLedger(keys: 1)
        var value = 0
        // Sent; `applied` is what the counter answered, nil before the request took effect.
        var flying: [(ticket: SessionLedger.Ticket, isIncrement: Bool, applied: Int?)] = []
        // Given up by the client, not yet applied.
        var late = 0
        for _ in 0..<400 {
            switch random.next() % 8 {
            case 0, 1:
                guard flying.count < 5 else { continue }
                flying.append((ledger.sendIncrement(0), true, nil))
            case 2:
                guard flying.count < 5 else { continue }
                flying.append((ledger.sendRead(0), false, nil))
            case 3, 4:
                guard let index = flying.indices.randomElement(using: &random), flying[index].applied == nil else {
                    continue
                }
                if flying[index].isIncrement { value += 1 }
                flying[index].applied = value
            case 5, 6:
                guard let index = flying.firstIndex(where: { $0.applied != nil }), let answer = flying[index].applied
                else { continue }
                #expect(ledger.complete(flying[index].ticket, value: answer) == nil)
                flying.remove(at: index)
            default:
                if late > 0, random.next() % 2 == 0 {
                    late -= 1
                    value += 1
                    continue
                }
                guard random.next() % 8 == 0, let index = flying.indices.randomElement(using: &random) else { continue }
                if flying[index].applied == nil, flying[index].isIncrement { late += 1 }
                ledger.fail(flying[index].ticket, .unknown)
                flying.remove(at: index)
            }
        }
        #expect(value > 10)
    }

    struct Seeded: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) ^ (state << 20)
        }
    }
}
