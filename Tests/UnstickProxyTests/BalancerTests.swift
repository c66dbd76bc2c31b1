import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Balancing")
struct BalancerTests {
    /// Instances as a test wants them.
    struct Field: BalancedInstances {
        struct Instance {
            var name: String
            var weight = 1
            var load = 0
            var isHealthy = true
            var accepts = true
        }
        var instances: [Instance]

        init(_ weights: [Int]) {
            instances = weights.enumerated().map { Instance(name: "web-\($0.offset)", weight: $0.element) }
        }

        var count: Int { instances.count }
        func acceptsNewSessions(_ index: Int) -> Bool { instances[index].accepts && instances[index].weight > 0 }
        func isHealthy(_ index: Int) -> Bool { instances[index].isHealthy }
        func load(_ index: Int) -> Int { instances[index].load }
        func weight(_ index: Int) -> Int { instances[index].weight }
        func nameHash(_ index: Int) -> UInt64 { StableHash.hash(instances[index].name) }
    }

    static func counts(
        _ balancer: inout Balancer, _ field: Field, _ rounds: Int, now: UInt64 = 0, tried: TriedInstances = .init(),
        key: (Int) -> UInt64? = { _ in nil }
    ) -> [Int] {
        var counts = [Int](repeating: 0, count: field.count)
        for round in 0..<rounds {
            if let index = balancer.choose(among: field, excluding: tried, key: key(round), now: now) {
                counts[index] += 1
            }
        }
        return counts
    }

    static func balancer(_ method: ProxyOptions.Balance.Method, slowStart: Duration = .zero) -> Balancer {
        Balancer(ProxyOptions.Balance(method, slowStart: slowStart), seed: 42)
    }

    @Test("round-robin serves everybody in turn, whatever the weights")
    func roundRobin() {
        var balancer = Self.balancer(.roundRobin)
        #expect(Self.counts(&balancer, Field([5, 1, 1]), 300) == [100, 100, 100])
    }

    @Test("weighted round-robin mixes evenly: 5:1:1 as nginx spreads it")
    func smooth() {
        var balancer = Self.balancer(.weightedRoundRobin)
        let field = Field([5, 1, 1])
        let order = (0..<7).map { _ in balancer.choose(among: field, now: 0)! }
        #expect(order == [0, 0, 1, 0, 2, 0, 0])
        #expect(Self.counts(&balancer, field, 700) == [500, 100, 100])
    }

    @Test("least-connections takes the least loaded, weighted for its weight, and spreads ties")
    func leastConnections() {
        var field = Field([1, 4])
        field.instances[0].load = 2
        field.instances[1].load = 5
        var plain = Self.balancer(.leastConnections)
        #expect(plain.choose(among: field, now: 0) == 0)
        var weighted = Self.balancer(.weightedLeastConnections)
        #expect(weighted.choose(among: field, now: 0) == 1)
        #expect(Self.counts(&plain, Field([1, 1, 1]), 300) == [100, 100, 100])
        // Nobody inherits the share of one that may not be chosen.
        #expect(Self.counts(&plain, Field([0, 1, 1, 0, 1]), 300) == [0, 100, 100, 0, 100])
    }

    @Test("weighted least-connections fills instances in proportion to their weights")
    func fill() {
        var field = Field([1, 2, 5])
        var balancer = Self.balancer(.weightedLeastConnections)
        for _ in 0..<800 { field.instances[balancer.choose(among: field, now: 0)!].load += 1 }
        #expect(field.instances.map(\.load) == [100, 200, 500])
    }

    @Test(
        "chance is in proportion to the weights (χ² with 3 degrees of freedom below its 0.1 % bound)",
        arguments: [
            ProxyOptions.Balance.Method.random, .consistent,
        ])
    func proportions(method: ProxyOptions.Balance.Method) {
        var balancer = Self.balancer(method)
        let weights = [1, 2, 3, 10]
        let rounds = 64_000
        let counts = Self.counts(&balancer, Field(weights), rounds) { round in
            method == .consistent ? StableHash.hash("session-\(round)") : nil
        }
        var chiSquare = 0.0
        for (count, weight) in zip(counts, weights) {
            let expected = Double(rounds * weight) / 16
            chiSquare += (Double(count) - expected) * (Double(count) - expected) / expected
        }
        #expect(chiSquare < 16.27, "\(counts)")
    }

    @Test("of two choices the less loaded serves: far more even than one")
    func powerOfTwo() {
        func spread(_ method: ProxyOptions.Balance.Method) -> Int {
            var field = Field([Int](repeating: 1, count: 100))
            var balancer = Self.balancer(method)
            for _ in 0..<10_000 { field.instances[balancer.choose(among: field, now: 0)!].load += 1 }
            return field.instances.map(\.load).max()! - 100
        }
        #expect(spread(.powerOfTwo) <= 5)
        #expect(spread(.random) > 15)
    }

    @Test("consistent: every proxy chooses the same, and one more instance takes only its share")
    func consistent() {
        var one = Balancer(ProxyOptions.Balance(.consistent), seed: 1)
        var other = Balancer(ProxyOptions.Balance(.consistent), seed: 2)
        let field = Field([1, 1, 1])
        let grown = Field([1, 1, 1, 1])
        var moved = 0
        for round in 0..<4000 {
            let key = StableHash.hash("s\(round)")
            let choice = one.choose(among: field, key: key, now: 0)
            #expect(other.choose(among: field, key: key, now: 0) == choice)
            #expect(choice == RouteMap(Self.table(3)).rendezvous(key))
            let later = other.choose(among: grown, key: key, now: 0)
            if later != choice {
                moved += 1
                #expect(later == 3)
            }
        }
        #expect((850...1150).contains(moved))
    }

    static func table(_ count: Int) -> RoutingTable {
        RoutingTable(
            epoch: Epoch(1), phase: .sticky, generation: .none,
            instances: (0..<count).map { RoutingTable.Instance(name: "web-\($0)", url: "http://127.0.0.1:1") })
    }

    @Test(
        "weight 0 gets nothing new, unhealthy ones nothing while others are healthy",
        arguments: ProxyOptions.Balance.Method.allCases)
    func eligibility(method: ProxyOptions.Balance.Method) {
        var balancer = Self.balancer(method)
        var field = Field([1, 0, 1, 1])
        field.instances[3].accepts = false
        field.instances[2].isHealthy = false
        let key = { (round: Int) -> UInt64? in StableHash.hash("\(round)") }
        #expect(Self.counts(&balancer, field, 50, key: key) == [50, 0, 0, 0])
        var tried = TriedInstances()
        tried.insert(0)
        // Better a try than a certain refusal.
        #expect(Self.counts(&balancer, field, 50, tried: tried, key: key) == [0, 0, 50, 0])
        tried.insert(2)
        #expect(balancer.choose(among: field, excluding: tried, now: 0) == nil)
        #expect(balancer.choose(among: Field([]), now: 0) == nil)
    }

    @Test("instance 70 may be tried, failed and left out as any other")
    func many() {
        var balancer = Self.balancer(.roundRobin)
        let field = Field([Int](repeating: 1, count: 200))
        var tried = TriedInstances()
        tried.insert(70)
        let counts = Self.counts(&balancer, field, 1990, tried: tried)
        #expect(counts[70] == 0)
        #expect(counts[6] == 10 && counts.filter { $0 == 10 }.count == 199)
    }

    @Test("eight tried instances are remembered, in any order and once")
    func tried() {
        var tried = TriedInstances()
        for index in [3, 999, 3, 64, 0, 128, 5, 6, 7] { tried.insert(index) }
        #expect(tried.count == 8)
        #expect([3, 999, 64, 0, 128, 5, 6, 7].allSatisfy { tried.contains($0) })
        #expect(!tried.contains(1) && !TriedInstances().contains(0) && !TriedInstances().contains(-1))
    }

    // MARK: Changes at run time

    @Test(
        "a new instance begins with the floor and grows to its share",
        arguments: [
            ProxyOptions.Balance.Method.roundRobin, .weightedRoundRobin, .leastConnections, .random, .powerOfTwo,
        ])
    func slowStart(method: ProxyOptions.Balance.Method) {
        var balancer = Self.balancer(method, slowStart: .seconds(100))
        let second: UInt64 = 1_000_000_000
        var field = Field([1, 1])
        balancer.adopt(field, now: 0)
        field.instances.append(.init(name: "web-new"))
        balancer.adopt(field, now: 10 * second)
        func share(at time: UInt64) -> Double {
            var loads = field
            var counts = [0, 0, 0]
            for _ in 0..<3000 {
                let index = balancer.choose(among: loads, now: time * second)!
                counts[index] += 1
                if method == .leastConnections || method == .powerOfTwo { loads.instances[index].load += 1 }
            }
            return Double(counts[2]) / 3000
        }
        let beginning = share(at: 10)
        let middle = share(at: 60)
        let end = share(at: 111)
        // 0.1 of 2.1, then 0.5 of 2.5, then 1 of 3.
        #expect(abs(beginning - 0.048) < 0.03, "\(beginning)")
        #expect(abs(middle - 0.2) < 0.05, "\(middle)")
        #expect(abs(end - 0.333) < 0.04, "\(end)")
    }

    @Test("the instances of a start do not hold back; one that is healthy again does")
    func warmUp() {
        var balancer = Self.balancer(.weightedRoundRobin, slowStart: .seconds(100))
        let field = Field([1, 1])
        balancer.adopt(field, now: 5)
        #expect(Self.counts(&balancer, field, 100, now: 6) == [50, 50])
        balancer.warmUp(0, now: 7)
        let counts = Self.counts(&balancer, field, 1100, now: 8)
        #expect(counts[0] < 110 && counts[0] > 90, "\(counts)")
    }

    @Test("who stays keeps what it is owed when another leaves, though its index changes")
    func leaving() {
        var balancer = Self.balancer(.weightedRoundRobin)
        var field = Field([1, 3, 3])
        balancer.adopt(field, now: 0)
        _ = balancer.choose(among: field, now: 0)
        field.instances.removeFirst()
        balancer.adopt(field, now: 1)
        #expect(balancer.choose(among: field, now: 1) == 1)
        #expect(Self.counts(&balancer, field, 100) == [50, 50])
    }

    @Test("a changed weight counts from the next choice on")
    func weightChange() {
        var balancer = Self.balancer(.weightedRoundRobin)
        var field = Field([1, 1])
        _ = Self.counts(&balancer, field, 10)
        field.instances[1].weight = 4
        balancer.adopt(field, now: 1)
        #expect(Self.counts(&balancer, field, 500) == [100, 400])
    }

    @Test("the same seed chooses the same")
    func deterministic() {
        var one = Self.balancer(.random)
        var other = Self.balancer(.random)
        let field = Field([1, 2, 3])
        for _ in 0..<100 { #expect(one.choose(among: field, now: 0) == other.choose(among: field, now: 0)) }
    }
}
