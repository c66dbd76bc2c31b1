import Testing

@testable import UnstickCore

@Suite("Routing table")
struct RoutingTableTests {
    func table(
        _ phase: Phase, ramp: Int = 0, rehoming: Bool = false,
        states: [RoutingTable.Instance.State] = [.active, .active, .active]
    ) -> RoutingTable {
        RoutingTable(
            epoch: Epoch(1), phase: phase, generation: Generation(1), rampPercent: ramp, rehoming: rehoming,
            instances: states.enumerated().map {
                RoutingTable.Instance(name: "web-\($0.offset + 1)", url: "http://127.0.0.1:1", state: $0.element)
            })
    }

    @Test("only neighbouring phases can coexist")
    func coexistence() {
        #expect(Phase.mirroring.canCoexist(with: .externalized))
        #expect(!Phase.mirroring.canCoexist(with: .stateless))
        #expect(!Phase.sticky.canCoexist(with: .externalized))
    }

    @Test(
        "a session goes to the home that its affinity names, under the table's phase",
        arguments: [
            Phase.sticky, .mirroring, .externalized,
        ])
    func byAffinity(phase: Phase) {
        let decision = table(phase).route(sessionHash: 7, affinity: 1)
        #expect(decision.target == .home(1))
        #expect(decision.phase == phase)
        #expect(decision.home == 1)
    }

    @Test("in mirroring no other instance may serve a session whose home cannot be reached")
    func noFailOverInMirroring() {
        #expect(!table(.mirroring).route(sessionHash: 7, affinity: 1).mayFailOver)
    }

    @Test("in externalized another instance may serve only once no proxy is in mirroring any more")
    func failOverInExternalized() {
        #expect(!table(.externalized).route(sessionHash: 7, affinity: 1).mayFailOver)
        #expect(table(.externalized, rehoming: true).route(sessionHash: 7, affinity: 1).mayFailOver)
    }

    @Test("the ramp takes its share of the sessions, and a larger ramp includes the smaller")
    func ramp() {
        let one = table(.stateless, ramp: 1)
        let quarter = table(.stateless, ramp: 25)
        let hashes = (0..<20_000).map { StableHash.hash("session-\($0)") }
        let inOne = hashes.filter(one.rampIncludes)
        let inQuarter = hashes.filter(quarter.rampIncludes)
        #expect((100...300).contains(inOne.count))
        #expect((4_700...5_300).contains(inQuarter.count))
        #expect(inOne.allSatisfy(quarter.rampIncludes))
        #expect(hashes.allSatisfy(table(.stateless, ramp: 100).rampIncludes))
        #expect(!hashes.contains(where: table(.stateless, ramp: 0).rampIncludes))
    }

    @Test("in stateless a session outside the ramp follows the rules of externalized")
    func outsideRamp() {
        let decision = table(.stateless, ramp: 0).route(sessionHash: 7, affinity: 2)
        #expect(decision.target == .home(2))
        #expect(decision.phase == .externalized)
    }

    @Test("in stateless the affinity cookie keeps naming the home, so that a rollback finds it")
    func cookieKeepsHome() {
        let decision = table(.stateless, ramp: 100).route(sessionHash: 7, affinity: 2)
        #expect(decision.target == .any)
        #expect(decision.phase == .stateless)
        #expect(decision.home == 2)
    }

    @Test(
        "a draining home still serves its sessions, with the store's authority",
        arguments: [
            Phase.mirroring, .externalized,
        ])
    func draining(phase: Phase) {
        let decision = table(phase, states: [.draining, .active, .active]).route(sessionHash: 7, affinity: 0)
        #expect(decision.target == .home(0))
        #expect(decision.phase == .externalized)
    }

    @Test(
        "sessions of a drained or fenced home go where the rendezvous says, from the store",
        arguments: [
            RoutingTable.Instance.State.drained, .fenced,
        ])
    func drained(state: RoutingTable.Instance.State) throws {
        let table = table(.mirroring, states: [state, .active, .active])
        let home = try #require(table.rendezvous(7))
        let decision = table.route(sessionHash: 7, affinity: 0)
        #expect(decision.target == .home(home))
        #expect(decision.home == home)
        #expect(decision.phase == .externalized)
        #expect(table.effectiveHome(recorded: "web-1", sessionHash: 7) == home)
    }

    @Test("an instance that leaves moves only its own sessions")
    func rendezvousStability() {
        let whole = table(.mirroring)
        let without = table(.mirroring, states: [.active, .drained, .active])
        for session in 0..<1000 {
            let hash = StableHash.hash("s\(session)")
            if whole.rendezvous(hash) != 1 { #expect(whole.rendezvous(hash) == without.rendezvous(hash)) }
        }
    }

    @Test("a session without affinity asks the store for its home, except in sticky")
    func lostAffinity() {
        #expect(table(.sticky).route(sessionHash: 7, affinity: nil).target == .any)
        #expect(table(.mirroring).route(sessionHash: 7, affinity: nil).target == .lookUpHome)
        let again = table(.mirroring).route(sessionHash: 7, affinity: nil, homeLookedUp: true)
        #expect(again.phase == .externalized)
        #expect(again.target == .home(table(.mirroring).rendezvous(7)!))
    }

    @Test("new clients are kept away from a draining instance, and no session keeps its old affinity there")
    func newClients() {
        let decision = table(.mirroring, states: [.draining, .active, .active]).route(sessionHash: nil, affinity: 0)
        #expect(decision.target == .any)
        #expect(decision.home == nil)
    }
}
