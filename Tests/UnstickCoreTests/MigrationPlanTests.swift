import Testing

@testable import UnstickCore

@Suite("Transition plans")
struct MigrationPlanTests {
    static func table(
        _ phase: Phase, ramp: Int = 0, hydrates: Bool = true,
        states: [RoutingTable.Instance.State] = [.active, .active]
    ) -> RoutingTable {
        RoutingTable(
            epoch: Epoch(10), phase: phase, generation: Generation(phase == .sticky ? 4 : 3), rampPercent: ramp,
            hydrates: hydrates, rehoming: phase >= .externalized,
            instances: states.enumerated().map {
                RoutingTable.Instance(name: "web-\($0.offset + 1)", url: "http://127.0.0.1:1", state: $0.element)
            })
    }

    static func plan(_ transition: Transition, _ table: RoutingTable) throws -> [PlannedStep] {
        try TransitionPlan.plan(for: transition, table: table, latestGeneration: table.generation).steps
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var transition: Transition
        var table: RoutingTable
        var words: [String]
        var testDescription: String { "\(transition) from \(table.phase)" }
    }

    static let wait = "wait until every proxy has acknowledged"
    static let uncovered = "publish: mirroring, nothing is hydrated yet"
    static let toMirroring = [
        "check the gates", "bring sessions into their homes' memory", "publish: externalized, no re-homing yet", wait,
        "bring sessions into their homes' memory", "publish: an epoch without change", wait,
        "check that every session is in its home's memory", "publish: mirroring, store errors refuse", wait,
        "publish: mirroring", wait,
    ]
    static let cover = [
        "check the gates", "verify every session, saving what the store lacks", "publish: mirroring", wait,
    ]
    static let uncover = ["check the gates", "check that every session is in its home's memory", uncovered, wait]
    static let abandon = [
        "check the gates", "begin generation 4 in the store", "publish: sticky, generation 4", wait,
    ]
    static let externalize = [
        "check the gates", "verify every session", "publish: mirroring, store errors refuse", wait,
        "verify every session once more", "publish: externalized, no re-homing yet", wait, "publish: externalized",
        wait,
    ]
    static let cases: [Case] = [
        Case(
            transition: .mirror, table: table(.sticky),
            words: [
                "check the gates", "begin generation 5 in the store",
                "publish: mirroring, nothing is hydrated yet, generation 5", wait,
                "verify every session, saving what the store lacks", "publish: mirroring", wait,
            ]),
        Case(
            transition: .verify, table: table(.mirroring, hydrates: false),
            words: ["verify every session, saving what the store lacks", "publish: mirroring", wait]),
        Case(transition: .verify, table: table(.mirroring), words: ["verify every session"]),
        Case(transition: .mirror, table: table(.mirroring, hydrates: false), words: cover),
        Case(transition: .mirror, table: table(.mirroring), words: uncover + cover),
        Case(transition: .externalize, table: table(.mirroring), words: externalize),
        Case(transition: .externalize, table: table(.mirroring, hydrates: false), words: cover + externalize),
        Case(transition: .rollback(to: .sticky), table: table(.mirroring, hydrates: false), words: abandon),
        Case(
            transition: .switchTo(percent: 5), table: table(.externalized),
            words: ["check the gates", "verify every session", "publish: stateless 5 %", wait]),
        Case(
            transition: .complete(confirm: "shop"), table: table(.stateless, ramp: 100),
            words: [
                "check the gates", "publish: completed", wait,
                "evict what the store holds from every instance's memory",
            ]),
        Case(
            transition: .rollback(to: .externalized), table: table(.stateless, ramp: 40),
            words: ["publish: externalized", wait]),
        Case(transition: .rollback(to: .mirroring), table: table(.externalized), words: toMirroring),
        Case(transition: .rollback(to: .sticky), table: table(.mirroring), words: uncover + abandon),
        Case(
            transition: .rollback(to: .sticky), table: table(.stateless, ramp: 40),
            words: ["publish: externalized", wait] + toMirroring + uncover + abandon),
        Case(
            transition: .drain(instance: "web-1", deadlineSeconds: nil, force: false), table: table(.mirroring),
            words: [
                "check the gates", "publish: web-1 draining", wait,
                "verify the sessions of web-1", "publish: web-1 drained", wait,
                "wait until web-1 has no request and no session",
            ]),
        Case(
            transition: .drain(instance: "web-1", deadlineSeconds: nil, force: false), table: table(.sticky),
            words: [
                "check the gates", "publish: web-1 draining", wait, "wait until the sessions of web-1 have ended",
                "publish: web-1 drained", wait,
            ]),
        Case(
            transition: .undrain(instance: "web-1"), table: table(.mirroring, states: [.drained, .active]),
            words: [
                "check the gates", "evict stale sessions from the memory of web-1", "publish: web-1 draining", wait,
                "publish: web-1 active", wait,
            ]),
        Case(transition: .rollback(to: .externalized), table: table(.externalized), words: [wait]),
    ]

    @Test("each transition has its steps, in this order", arguments: cases)
    func steps(of example: Case) throws {
        #expect(try Self.plan(example.transition, example.table).map(\.step.words) == example.words)
    }

    @Test("levels change by one, and the next change waits for every acknowledgement", arguments: cases)
    func oneStepAtATime(in example: Case) throws {
        var table = example.table
        var isAwaited = true
        for planned in try Self.plan(example.transition, example.table) {
            switch planned.step {
            case .awaitAcknowledgements: isAwaited = true
            case .publish(let change):
                #expect(isAwaited, "two publications without a wait between: \(change.words)")
                let next = change.applied(to: table)
                #expect(CoexistenceLevel(next).canCoexist(with: CoexistenceLevel(table)))
                table = next
                isAwaited = false
            default: break
            }
        }
        #expect(isAwaited, "a plan ends when everybody knows")
    }

    /// Runs a plan up to and including a step, then what takes it back.
    static func undone(_ steps: [PlannedStep], at index: Int, from table: RoutingTable) -> [RoutingTable]? {
        guard case .undo(let undo) = steps[index].recovery else { return nil }
        var tables = [table]
        let forward = steps[...index].dropLast().map(\.step)
        for step in forward + undo {
            if case .publish(let change) = step { tables.append(change.applied(to: tables.last!)) }
        }
        return tables
    }

    @Test("what takes a step back goes by neighbouring levels", arguments: cases)
    func undo(of example: Case) throws {
        let steps = try Self.plan(example.transition, example.table)
        for index in steps.indices {
            guard let tables = Self.undone(steps, at: index, from: example.table) else { continue }
            #expect(tables.count >= 2)
            for (before, after) in zip(tables, tables.dropFirst()) {
                #expect(CoexistenceLevel(after).canCoexist(with: CoexistenceLevel(before)))
            }
        }
    }

    @Test("until the first publication a refusal leaves everything as it is", arguments: cases)
    func refusalBeforeChange(in example: Case) throws {
        for planned in try Self.plan(example.transition, example.table) {
            if case .publish = planned.step { break }
            let isWaitOnly = planned.step == .awaitAcknowledgements
            #expect(planned.recovery == .refuse || isWaitOnly)
        }
    }

    @Test("the store gets the authority only while store errors refuse, so that nothing gets dirty behind the gate")
    func refusesBeforeExternalized() throws {
        var table = Self.table(.mirroring)
        var verifiedWhileRefusing = false
        for planned in try Self.plan(.externalize, table) {
            if planned.step == .verify(.final) {
                verifiedWhileRefusing = table.storeErrors == .refuse && table.hydrates
            }
            guard case .publish(let change) = planned.step else { continue }
            if change.mode?.phase == .externalized, table.phase == .mirroring {
                #expect(table.storeErrors == .refuse)
                #expect(change.mode?.rehoming == false)
            }
            table = change.applied(to: table)
        }
        #expect(verifiedWhileRefusing)
    }

    @Test("memory gets the authority only after re-homing is off and a last repatriation")
    func repatriatesBeforeMirroring() throws {
        var table = Self.table(.externalized)
        var last: PlanStep?
        for planned in try Self.plan(.rollback(to: .mirroring), table) {
            if case .publish(let change) = planned.step {
                if change.mode?.phase == .mirroring, table.phase == .externalized {
                    #expect(!table.rehoming)
                    #expect(last == .checkHomes)
                }
                table = change.applied(to: table)
            }
            last = planned.step
        }
    }

    @Test("between copying sessions home and checking lies an acknowledged epoch")
    func barrier() throws {
        let steps = try Self.plan(.rollback(to: .mirroring), Self.table(.externalized)).map(\.step)
        let check = try #require(steps.firstIndex(of: .checkHomes))
        #expect(Array(steps[(check - 3)..<check]) == [.repatriate, .publish(.barrier()), .awaitAcknowledgements])
        let table = Self.table(.externalized)
        #expect(TableChange.barrier().applied(to: table).epoch == table.epoch.next)
    }

    @Test("sessions are copied home only while the store has the authority", arguments: cases)
    func repatriatesUnderTheStore(in example: Case) throws {
        var table = example.table
        for planned in try Self.plan(example.transition, example.table) {
            if planned.step == .repatriate { #expect(table.phase == .externalized) }
            if planned.step == .verify(.everything) { #expect(CoexistenceLevel(table) == .mirroringUncovered) }
            if case .publish(let change) = planned.step { table = change.applied(to: table) }
        }
    }

    @Test("memory is checked before hydration stops")
    func checksMemoryBeforeSticky() throws {
        let steps = try Self.plan(.rollback(to: .sticky), Self.table(.mirroring)).map(\.step)
        let publication = try #require(steps.firstIndex(of: .publish(.mirroringUncovered())))
        #expect(steps[publication - 1] == .checkHomes)
    }

    @Test("nothing is hydrated beside sticky, and what the store missed belongs to a closed generation")
    func newGeneration() throws {
        let mirror = try Self.plan(.mirror, Self.table(.sticky)).map(\.step)
        let begin = try #require(mirror.firstIndex(of: .beginGeneration(Generation(5))))
        #expect(mirror[begin + 1] == .publish(.mirroringUncovered(generation: Generation(5))))
        let back = try #require(Self.plan(.rollback(to: .sticky), Self.table(.mirroring)).last)
        #expect(
            back.recovery
                == .undo([
                    .beginGeneration(Generation(5)), .publish(.mirroringUncovered(generation: Generation(5))),
                ]))
    }

    @Test("the rollback from stateless has no gate and waits for nobody before it publishes")
    func unconditionalRollback() throws {
        let first = try #require(Self.plan(.rollback(to: .externalized), Self.table(.stateless, ramp: 9)).first)
        #expect(first.step == .publish(.externalized(rehoming: true)))
        #expect(first.urgency == .urgent)
    }

    @Test("completion is never taken back")
    func completionStands() throws {
        for planned in try Self.plan(.complete(confirm: "x"), Self.table(.stateless, ramp: 100)).dropFirst(2) {
            #expect(planned.recovery == .stand)
        }
        #expect(throws: PlanError.self) { try Self.plan(.rollback(to: .externalized), Self.table(.completed)) }
    }

    @Test("a switch is taken back to the ramp before it")
    func switchUndo() throws {
        let steps = try Self.plan(.switchTo(percent: 80), Self.table(.stateless, ramp: 30))
        #expect(steps.last?.recovery == .undo([.publish(.stateless(percent: 30))]))
        let first = try Self.plan(.switchTo(percent: 80), Self.table(.externalized))
        #expect(first.last?.recovery == .undo([.publish(.externalized(rehoming: true))]))
    }

    static let refusals: [(Transition, RoutingTable, Bool)] = [
        (.mirror, table(.externalized), false),
        (.externalize, table(.sticky), false),
        (.switchTo(percent: 10), table(.mirroring), false),
        (.switchTo(percent: 0), table(.externalized), true),
        (.switchTo(percent: 101), table(.externalized), true),
        (.complete(confirm: "x"), table(.externalized), false),
        (.rollback(to: .stateless), table(.stateless), true),
        (.rollback(to: .mirroring), table(.sticky), true),
        (.verify, table(.sticky), false),
        (.drain(instance: "web-1", deadlineSeconds: nil, force: false), table(.mirroring, hydrates: false), false),
        (.drain(instance: "nobody", deadlineSeconds: nil, force: false), table(.mirroring), true),
        (
            .drain(instance: "web-1", deadlineSeconds: nil, force: false),
            table(.mirroring, states: [.fenced, .active]), false
        ),
        (.undrain(instance: "nobody"), table(.mirroring), true),
    ]

    @Test("what makes no sense has no plan", arguments: refusals)
    func refused(transition: Transition, table: RoutingTable, isInvalid: Bool) {
        do {
            _ = try Self.plan(transition, table)
            Issue.record("there is a plan")
        } catch PlanError.invalid {
            #expect(isInvalid)
        } catch {
            #expect(!isInvalid)
        }
    }

    @Test("a change that changes nothing makes no epoch")
    func idle() {
        let table = Self.table(.sticky)
        #expect(TableChange.sticky().applied(to: table).epoch == table.epoch)
        #expect(TableChange.mirroring(.serve).applied(to: table).epoch == table.epoch.next)
    }
}
