import ControlAPI
import Testing
import UnstickCore

@testable import UnstickTerminal

@Suite("Lines of answers")
struct LinesTests {
    @Test("gates of every possible transition")
    func gates() {
        let report = GatesReport(
            phase: .stateless,
            transitions: [
                .init(command: "complete", to: .completed, gates: [Reports.gates[2]]),
                .init(command: "rollback", to: .externalized, gates: []),
            ])
        #expect(
            text(GateLines.lines(report, width: 80)) == """
                unstick complete  stateless → completed  would be refused
                  ? bridges-answer  web-2: no answer
                      demanded: every bridge

                unstick rollback  stateless → externalized  no gate
                """)
        #expect(
            text(GateLines.lines(GatesReport(phase: .completed, transitions: []), width: 80))
                == "completed: there is no further transition")
    }

    @Test("progress tells step, what is awaited, and coverage")
    func progress() {
        let operation = Reports.operation(.externalize, step: 2, of: 9, "verifying: 3 of 4 sessions")
        let coverage = Coverage(sessions: 1204, externalized: 1201, recheck: 0, verifiedAt: nil, isComplete: false)
        #expect(
            OperationLines.progress(operation, coverage: coverage).plain
                == "[3/9] verifying: 3 of 4 sessions · 99.7 % of 1,204 sessions")
        let last = Reports.operation(.externalize, step: 9, of: 9, "about to end")
        #expect(OperationLines.progress(last, coverage: nil).plain == "[9/9] about to end")
    }

    @Test("a refusal lists each failing gate once, with what is demanded and what to do")
    func refusal() {
        let outcome = OperationOutcome(
            code: .refused, message: "nothing has changed: every-session-externalized: 3 of 1,204 (demanded: all)",
            gates: [Reports.gates[0], Reports.gates[1]])
        #expect(
            text(OperationLines.outcome(outcome, width: 100)) == """
                nothing has changed: refused by every-session-externalized
                  ✗ every-session-externalized  3 of 1,204 sessions are not in the store as in memory, 2 of them
                                                still moving
                      demanded: every live session, version and digest
                      remedy:   `unstick verify` looks again
                """)
        let done = OperationOutcome(code: .done, message: "mirror: mirroring at epoch 2", gates: [Reports.gates[1]])
        #expect(text(OperationLines.outcome(done, width: 80)) == "mirror: mirroring at epoch 2")
        let timedOut = OperationOutcome(code: .timedOut, message: "no answer in 60 s. Taken back: sticky at epoch 3")
        #expect(text(OperationLines.outcome(timedOut, width: 80)) == "no answer in 60 s. Taken back: sticky at epoch 3")
    }

    @Test(
        "an operation reads as its command",
        arguments: [
            (.switchTo(percent: 25), "switch --percent 25"), (.rollback(to: .externalized), "rollback"),
            (.rollback(to: .sticky), "rollback --to sticky"), (.complete(confirm: "shop"), "complete"),
            (.drain(instance: "web-1", deadlineSeconds: 30, force: true), "drain web-1 --deadline 30s --force"),
            (.undrain(instance: "web-1"), "undrain web-1"),
            (.addInstance(name: "a", url: "http://h:1", weight: 1), "instances add a http://h:1"),
            (.addInstance(name: "a", url: "http://h:1", weight: 3), "instances add a http://h:1 --weight 3"),
            (.removeInstance(name: "a", force: true), "instances remove a --force"),
            (.setWeight(instance: "a", weight: 0), "instances weight a 0"),
        ] as [(OperationKind, String)])
    func commands(kind: OperationKind, command: String) { #expect(OperationLines.command(kind) == command) }

    @Test("a journal entry tells who asked, from where and why, where it begins")
    func journal() {
        var entry = JournalEntry(
            sequence: 112, time: UnixMilliseconds(1_795_502_682_516), kind: .intent, operation: 3, epoch: Epoch(15),
            by: "ann@desk", from: "10.0.0.7", reason: "release", message: "mirror is asked for")
        #expect(
            JournalLines.line(entry).plain
                == "112  2026-11-24T06:44:42Z  intent  epoch 15  mirror is asked for  (by ann@desk, from 10.0.0.7, because: release)"
        )
        entry.kind = .step
        #expect(JournalLines.line(entry).plain == "112  2026-11-24T06:44:42Z  step    epoch 15  mirror is asked for")
    }

    @Test("a session is explained by its hash")
    func session() {
        let session = SessionExplanation(
            hash: "9f86d081884c", rampBucket: 4711, inRamp: false,
            store: .init(
                version: VersionTag(version: 12, tag: 0x9f86_d081), generation: Generation(3), isTombstone: false,
                home: "web-1", size: 1204, expiresAt: UnixMilliseconds(160_000)),
            memory: [
                .init(instance: "web-1", version: VersionTag(version: 12, tag: 0x9f86_d081), problem: nil),
                .init(instance: "web-2", version: nil, problem: nil),
                .init(instance: "web-3", version: nil, problem: "no answer"),
            ], effectiveHome: "web-1", verdict: "in the store as in web-1's memory")
        #expect(
            text(SessionLines.lines(session, now: UnixMilliseconds(100_000), width: 80)) == """
                Session 9f86d081884c
                  verdict     in the store as in web-1's memory
                  store       version 12-9f86d081, 1,204 bytes, generation 3, home web-1,
                              expires in 1 min
                  web-1       version 12-9f86d081
                  web-2       not in memory
                  web-3       no answer
                  home        web-1
                  ramp        bucket 4711 of 10000, by affinity
                """)
    }
}
