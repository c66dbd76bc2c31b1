import Testing

@testable import UnstickCore

@Suite("Proxy ledger")
struct MigrationLedgerTests {
    static func table(
        _ epoch: UInt64, _ phase: Phase, hydrates: Bool = true, rehoming: Bool = true
    ) -> RoutingTable {
        RoutingTable(
            epoch: Epoch(epoch), phase: phase, generation: Generation(1), hydrates: hydrates, rehoming: rehoming,
            instances: [])
    }

    static let uncovered = table(2, .mirroring, hydrates: false)

    /// Proxies `a` and `b`, both at epoch 1.
    static func settled(_ phase: Phase) throws -> ProxyLedger {
        var ledger = ProxyLedger(table: table(1, phase))
        for name in ["a", "b"] { _ = try ledger.report(name: name, incarnation: "\(name)1", acknowledged: Epoch(1)) }
        return ledger
    }

    @Test("the table is settled when every registered proxy has acknowledged the current epoch")
    func settles() throws {
        var ledger = try Self.settled(.sticky)
        #expect(ledger.isSettled)
        ledger.publish(Self.table(2, .mirroring))
        #expect(ledger.unsettled == ["a", "b"])
        #expect(try ledger.report(name: "a", incarnation: "a1", acknowledged: Epoch(2)) == .acknowledged)
        #expect(ledger.unsettled == ["b"])
        let forgotten = ledger.forget("b")
        #expect(forgotten)
        #expect(ledger.isSettled)
    }

    @Test("the next step is refused until then")
    func oneStepAtATime() throws {
        var ledger = try Self.settled(.sticky)
        ledger.publish(Self.table(2, .mirroring))
        #expect(throws: ProxyLedger.Refusal.unsettled(["a", "b"])) {
            try ledger.check(publishing: Self.uncovered, .orderly)
        }
    }

    @Test("an acknowledgement of an older or unknown epoch counts for nothing", arguments: [1, 3] as [UInt64])
    func otherEpochs(epoch: UInt64) throws {
        var ledger = try Self.settled(.sticky)
        ledger.publish(Self.table(2, .mirroring))
        #expect(try ledger.report(name: "a", incarnation: "a1", acknowledged: Epoch(epoch)) == nil)
        #expect(ledger.unsettled == ["a", "b"])
    }

    @Test(
        "a proxy counts with every level published since its acknowledgement",
        arguments: [
            (table(3, .sticky), true), (table(3, .mirroring, hydrates: false), true), (table(3, .mirroring), false),
            (table(3, .externalized, rehoming: false), false),
        ])
    func tooFarApart(next: RoutingTable, isAllowed: Bool) throws {
        var ledger = try Self.settled(.sticky)
        ledger.publish(Self.uncovered)
        #expect(Self.allows(ledger, next) == isAllowed)
        // Even when one has acknowledged, the other may still be in sticky.
        _ = try ledger.report(name: "a", incarnation: "a1", acknowledged: Epoch(2))
        #expect(Self.allows(ledger, next) == isAllowed)
        _ = try ledger.report(name: "b", incarnation: "b1", acknowledged: Epoch(2))
        #expect(Self.allows(ledger, next) == (next.phase <= .mirroring))
    }

    @Test("a later epoch counts too, though nobody has acknowledged it")
    func laterEpochs() throws {
        var ledger = try Self.settled(.mirroring)
        ledger.publish(Self.table(2, .externalized, rehoming: false))
        ledger.publish(Self.table(3, .mirroring))
        #expect(!Self.allows(ledger, Self.uncovered))
        #expect(!Self.allows(ledger, Self.table(4, .externalized)))
        #expect(Self.allows(ledger, Self.table(4, .externalized, rehoming: false)))
    }

    @Test("re-homing begins only when nobody is in mirroring any more")
    func rehoming() throws {
        var ledger = try Self.settled(.mirroring)
        #expect(!Self.allows(ledger, Self.table(2, .externalized)))
        ledger.publish(Self.table(2, .externalized, rehoming: false))
        for name in ["a", "b"] { _ = try ledger.report(name: name, incarnation: "\(name)1", acknowledged: Epoch(2)) }
        #expect(Self.allows(ledger, Self.table(3, .externalized)))
    }

    static func allows(_ ledger: ProxyLedger, _ table: RoutingTable) -> Bool {
        (try? ledger.check(publishing: table, .urgent)) != nil
    }

    @Test("a restarted proxy knows nothing until it acknowledges: it behaves as externalized")
    func restart() throws {
        var ledger = try Self.settled(.stateless)
        #expect(try ledger.report(name: "a", incarnation: "a2", acknowledged: nil) == .restarted)
        #expect(ledger.unsettled == ["a"])
        #expect(!Self.allows(ledger, Self.table(2, .completed)))
        #expect(Self.allows(ledger, Self.table(2, .externalized)))
    }

    @Test("what a proxy was told before its restart counts until it acknowledges again")
    func restartKeepsThePast() throws {
        var ledger = try Self.settled(.sticky)
        ledger.publish(Self.table(2, .mirroring))
        _ = try ledger.report(name: "a", incarnation: "a2", acknowledged: nil)
        #expect(!Self.allows(ledger, Self.table(3, .externalized, rehoming: false)))
    }

    @Test("two processes under one name are noticed")
    func duplicateName() throws {
        var ledger = try Self.settled(.sticky)
        _ = try ledger.report(name: "a", incarnation: "a2", acknowledged: nil)
        #expect(throws: ProxyLedger.DuplicateName()) {
            try ledger.report(name: "a", incarnation: "a1", acknowledged: Epoch(1))
        }
    }

    @Test("a newcomer holds up the next step until it has acknowledged")
    func newcomer() throws {
        var ledger = try Self.settled(.mirroring)
        #expect(try ledger.report(name: "c", incarnation: "c1", acknowledged: nil) == .joined)
        #expect(ledger.unsettled == ["c"])
    }

    @Test("the past is kept no longer than a proxy may be living in it")
    func prunes() throws {
        var ledger = try Self.settled(.sticky)
        for epoch in 2...50 as ClosedRange<UInt64> {
            ledger.publish(Self.table(epoch, .sticky))
            for name in ["a", "b"] {
                _ = try ledger.report(name: name, incarnation: "\(name)1", acknowledged: Epoch(epoch))
            }
        }
        #expect(ledger.published.count == 1)
    }
}
