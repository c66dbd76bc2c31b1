import Foundation
import Testing

@testable import UnstickCore

extension InstanceRoster {
    /// What it would ask for.
    fileprivate func asked(_ table: RoutingTable) -> Transition? {
        var copy = self
        return copy.next(table)
    }
}

@Suite("Wanted instances against present ones")
struct InstanceRosterTests {
    typealias Instance = RoutingTable.Instance

    static func instance(
        _ name: String, port: Int = 1, weight: Int = 1, _ state: Instance.State = .active
    ) -> Instance {
        Instance(name: name, url: "http://127.0.0.1:\(port)", weight: weight, state: state)
    }

    static func table(_ instances: Instance...) -> RoutingTable {
        RoutingTable(epoch: Epoch(1), phase: .mirroring, generation: Generation(1), instances: instances)
    }

    @Test("what is new joins, what vanishes is drained and then removed, what has another weight gets it")
    func changes() {
        let (a, b, c) = (Self.instance("a"), Self.instance("b"), Self.instance("c", port: 3))
        var roster = InstanceRoster(followed: [a, b])
        let isNews1 = roster.follow([Self.instance("a", weight: 5), c])
        #expect(isNews1)
        #expect(roster.pending == [.weight("a", 5), .leave("b"), .join(c)])
        #expect(roster.asked(Self.table(a, b)) == .setWeight(instance: "a", weight: 5))
        let weighted = Self.instance("a", weight: 5)
        #expect(
            roster.asked(Self.table(weighted, b)) == .drain(instance: "b", deadlineSeconds: 10, force: false))
        #expect(
            roster.asked(Self.table(weighted, Self.instance("b", .drained))) == .removeInstance(name: "b", force: false)
        )
        #expect(roster.asked(Self.table(weighted)) == .addInstance(name: "c", url: "http://127.0.0.1:3", weight: 1))
        let last = roster.next(Self.table(weighted, c))
        #expect(last == nil)
        #expect(roster.pending.isEmpty)
    }

    @Test("an answer without instances is no wish")
    func empty() {
        var roster = InstanceRoster(followed: [Self.instance("a")])
        let isNews2 = roster.follow([])
        #expect(!isNews2)
        #expect(roster.pending.isEmpty && roster.followed == [Self.instance("a")])
    }

    @Test("what an operator did stays until the wish changes")
    func operators() {
        let wanted = [Self.instance("a"), Self.instance("b")]
        var roster = InstanceRoster(followed: wanted)
        let isNews3 = roster.follow(wanted)
        #expect(!isNews3)
        // Removed, and weighted, by command.
        #expect(roster.asked(Self.table(Self.instance("a", weight: 9))) == nil)
        let isNews4 = roster.follow([Self.instance("a", weight: 2), wanted[1]])
        #expect(isNews4)
        #expect(
            roster.asked(Self.table(Self.instance("a", weight: 9))) == .setWeight(instance: "a", weight: 2))
    }

    @Test("who comes back before the drain has ended is undrained; a later wish replaces an earlier one")
    func comesBack() {
        var roster = InstanceRoster(followed: [Self.instance("a"), Self.instance("b")])
        roster.follow([Self.instance("a")])
        roster.follow([Self.instance("a"), Self.instance("b")])
        #expect(roster.pending == [.join(Self.instance("b"))])
        #expect(roster.asked(Self.table(Self.instance("b", .drained))) == .undrain(instance: "b"))
        #expect(roster.asked(Self.table(Self.instance("b"))) == nil)
    }

    @Test("another address of the same name is another process: the old one leaves first")
    func address() {
        var roster = InstanceRoster(followed: [Self.instance("a", port: 1)])
        roster.follow([Self.instance("a", port: 2)])
        #expect(roster.pending == [.leave("a"), .join(Self.instance("a", port: 2))])
        let drained = Self.table(Self.instance("a", .drained))
        #expect(roster.asked(drained) == .removeInstance(name: "a", force: false))
        #expect(roster.asked(Self.table()) == .addInstance(name: "a", url: "http://127.0.0.1:2", weight: 1))
        // Not before: the later wish for the same name waits for the earlier one.
        var waiting = InstanceRoster(followed: [Self.instance("a", port: 1)])
        waiting.follow([Self.instance("a", port: 2)])
        waiting.postpone()
        #expect(waiting.pending.first == .leave("a"))
    }

    @Test("what is not possible now lets others go first")
    func postponed() {
        var roster = InstanceRoster(followed: [Self.instance("a"), Self.instance("b")])
        roster.follow([Self.instance("b", weight: 3)])
        roster.postpone()
        #expect(roster.pending == [.weight("b", 3), .leave("a")])
    }

    @Test("an address is gone after three answers without it; failures and empty answers say nothing")
    func discovery() {
        var history = DiscoveryHistory()
        history.note(["10.0.0.2", "10.0.0.1"])
        #expect(history.addresses == ["10.0.0.1", "10.0.0.2"])
        history.note([])
        history.note(["10.0.0.1"])
        history.note(["10.0.0.1"])
        #expect(history.addresses == ["10.0.0.1", "10.0.0.2"])
        history.note(["10.0.0.2"])
        history.note(["10.0.0.1"])
        history.note(["10.0.0.1"])
        history.note([])
        #expect(history.addresses == ["10.0.0.1", "10.0.0.2"])
        history.note(["10.0.0.1", "10.0.0.3"])
        #expect(history.addresses == ["10.0.0.1", "10.0.0.3"])
    }
}

@Suite("Plans for instances")
struct InstancePlanTests {
    static func plan(_ transition: Transition, _ table: RoutingTable) throws -> [PlannedStep] {
        try TransitionPlan.plan(for: transition, table: table, latestGeneration: table.generation).steps
    }

    static func table(_ phase: Phase, _ states: [RoutingTable.Instance.State] = [.active, .active]) -> RoutingTable {
        RoutingTable(
            epoch: Epoch(1), phase: phase, generation: Generation(1),
            instances: states.enumerated().map {
                RoutingTable.Instance(
                    name: "web-\($0.offset + 1)", url: "http://127.0.0.1:500\($0.offset)", state: $0.element)
            })
    }

    static let add = Transition.addInstance(name: "web-9", url: "http://127.0.0.1:5009", weight: 2)

    @Test("joining takes two epochs: known first, then new sessions", arguments: Phase.allCases)
    func joins(phase: Phase) throws {
        let steps = try Self.plan(Self.add, Self.table(phase))
        var joined = RoutingTable.Instance(name: "web-9", url: "http://127.0.0.1:5009", weight: 2)
        joined.state = .draining
        let evict: [PlanStep] = phase.mirrors ? [.evict(instance: "web-9", staleOnly: true)] : []
        #expect(
            steps.map(\.step)
                == [.check(.addInstance("web-9")), .publish(.adding(joined)), .awaitAcknowledgements] + evict
                + [.publish(.instance("web-9", .active)), .awaitAcknowledgements])
        #expect(steps[2].recovery == .undo([.publish(.removing("web-9"))]))
        #expect(steps.dropLast().dropFirst(2).allSatisfy { $0.recovery == .undo([.publish(.removing("web-9"))]) })
        #expect(steps.last?.recovery == .undo([.publish(.instance("web-9", .draining))]))
        #expect(TableChange.adding(joined).applied(to: Self.table(phase)).instances.last == joined)
    }

    @Test("only `--force` in sticky removes what is not out of service", arguments: Phase.allCases)
    func removal(phase: Phase) throws {
        #expect(throws: PlanError.self) {
            try Self.plan(.removeInstance(name: "web-1", force: false), Self.table(phase))
        }
        if phase == .sticky {
            let steps = try Self.plan(.removeInstance(name: "web-1", force: true), Self.table(phase)).map(\.step)
            #expect(steps.contains(.countLoss(instance: "web-1")))
            #expect(steps.contains(.publish(.instance("web-1", .drained))))
            #expect(steps.contains(.publish(.removing("web-1"))))
        } else {
            #expect(throws: PlanError.self) {
                try Self.plan(.removeInstance(name: "web-1", force: true), Self.table(phase))
            }
        }
        let steps = try Self.plan(.removeInstance(name: "web-1", force: false), Self.table(phase, [.drained, .active]))
        #expect(steps.map(\.step).last == .awaitAcknowledgements)
    }

    @Test("a weight is one epoch, and is taken back; the same weight none")
    func weight() throws {
        let steps = try Self.plan(.setWeight(instance: "web-1", weight: 0), Self.table(.sticky))
        #expect(steps.last?.recovery == .undo([.publish(.weight("web-1", 1))]))
        #expect(TableChange.weight("web-1", 0).applied(to: Self.table(.sticky)).instances[0].weight == 0)
        #expect(try Self.plan(.setWeight(instance: "web-1", weight: 1), Self.table(.sticky)).count == 1)
    }

    static let invalid: [Transition] = [
        .addInstance(name: "", url: "http://127.0.0.1:1", weight: 1),
        .addInstance(name: "a b", url: "http://127.0.0.1:1", weight: 1),
        .addInstance(name: "-a", url: "http://127.0.0.1:1", weight: 1),
        .addInstance(name: String(repeating: "a", count: 65), url: "http://127.0.0.1:1", weight: 1),
        .addInstance(name: "a", url: "ftp://127.0.0.1:1", weight: 1),
        .addInstance(name: "a", url: "http://127.0.0.1", weight: 1),
        .addInstance(name: "a", url: "http://127.0.0.1:0", weight: 1),
        .addInstance(name: "a", url: "http://a/b:1", weight: 1),
        .addInstance(name: "a", url: "http://u@b:1", weight: 1),
        .addInstance(name: "a", url: "http://127.0.0.1:1", weight: 1001),
        .addInstance(name: "web-1", url: "http://127.0.0.1:1", weight: 1),
        .addInstance(name: "a", url: "http://127.0.0.1:5000", weight: 1),
        .setWeight(instance: "web-1", weight: -1), .setWeight(instance: "nobody", weight: 1),
        .removeInstance(name: "nobody", force: true),
    ]

    @Test("what makes no sense is refused with the value", arguments: invalid)
    func refused(transition: Transition) throws {
        do {
            _ = try Self.plan(transition, Self.table(.sticky))
            Issue.record("there is a plan")
        } catch PlanError.invalid(let message) {
            #expect(message.count > 10)
        }
    }

    @Test("changes and tables of an older version's journal still read")
    func codable() throws {
        let change = try JSONDecoder().decode(
            TableChange.self, from: Data(#"{"instance":"a","state":"drained","isBarrier":false}"#.utf8))
        #expect(change == .instance("a", .drained))
        let old = #"""
            {"epoch":3,"phase":"sticky","generation":0,"rampPercent":0,"storeErrors":"serve","hydrates":true,
            "rehoming":false,"instances":[{"name":"a","url":"http://127.0.0.1:1","weight":1,"state":"active"}]}
            """#
        #expect(try JSONDecoder().decode(RoutingTable.self, from: Data(old.utf8)).instances[0].acceptsNewSessions)
        #expect(TableChange.weight("a", 3).words == "a has weight 3")
        #expect(TableChange.removing("a").words == "a leaves")
        #expect(TableChange.removing("a").applied(to: Self.table(.sticky)) == Self.table(.sticky))
    }
}
