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
}
