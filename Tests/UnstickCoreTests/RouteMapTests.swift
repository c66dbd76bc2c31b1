import Testing

@testable import UnstickCore

@Suite("Routes and rendezvous")
struct RouteMapTests {
    static func table(_ weights: [Int], phase: Phase = .sticky) -> RoutingTable {
        RoutingTable(
            epoch: Epoch(1), phase: phase, generation: Generation(1), rampPercent: 100,
            instances: weights.enumerated().map {
                RoutingTable.Instance(name: "web-\($0.offset + 1)", url: "http://127.0.0.1:1", weight: $0.element)
            })
    }

    @Test("a map and its table choose alike")
    func agreement() {
        var table = Self.table([1, 5, 1])
        table.instances[1].state = .drained
        let map = RouteMap(table)
        for key in (0..<500).map({ StableHash.hash("\($0)") }) {
            #expect(map.rendezvous(key) == table.rendezvous(key))
            #expect(map.rendezvous(key) != 1)
        }
    }

    @Test("weights do not move a session that is being re-homed, 0 included")
    func weights() {
        for key in (0..<500).map({ StableHash.hash("\($0)") }) {
            #expect(Self.table([1, 1, 1]).rendezvous(key) == Self.table([0, 9, 1]).rendezvous(key))
        }
    }

    @Test("weight 0: no new sessions, its own stay", arguments: [Phase.sticky, .mirroring, .externalized])
    func zero(phase: Phase) {
        let map = RouteMap(Self.table([0, 1], phase: phase))
        #expect(map.route(sessionHash: nil, affinity: 0).target == .any)
        #expect(map.route(sessionHash: nil, affinity: 1).target == .home(1))
        #expect(map.route(sessionHash: 7, affinity: 0).target == .home(0))
    }

    @Test("an address keeps its home whatever the home's state")
    func address() {
        var table = Self.table([1, 1, 1])
        let before = RouteMap(table).home(ofAddress: 99)
        for state in RoutingTable.Instance.State.allCases {
            table.instances[before ?? 0].state = state
            #expect(RouteMap(table).home(ofAddress: 99) == before)
        }
        #expect(RouteMap(Self.table([])).home(ofAddress: 99) == nil)
    }

    @Test("with equal weights the larger score wins, and a score's logarithm is right to the last place but one")
    func logarithm() {
        #expect(Rendezvous.wins(2, weight: 3, over: 1, weight: 3))
        #expect(!Rendezvous.wins(1, weight: 3, over: 2, weight: 3))
        #expect(Rendezvous.negativeLog2(1 << 63) == 1 << 32)
        #expect(Rendezvous.negativeLog2(1 << 40) == 24 << 32)
        #expect(Rendezvous.negativeLog2(0) == Rendezvous.negativeLog2(1))
        // -log2(3/4) = 0.4150374992788438
        let threeQuarters = Double(Rendezvous.negativeLog2(3 << 62)) / 4_294_967_296
        #expect(abs(threeQuarters - 0.415_037_499_278_843_8) < 1e-9)
    }

    @Test("a table written by an older version still reads, and an instance's weight may be 0")
    func codable() {
        #expect(!RoutingTable.Instance(name: "a", url: "http://127.0.0.1:1", weight: 0).acceptsNewSessions)
        #expect(!RoutingTable.Instance(name: "a", url: "http://127.0.0.1:1", state: .draining).acceptsNewSessions)
    }
}
