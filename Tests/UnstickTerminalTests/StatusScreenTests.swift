import ControlAPI
import Testing
import UnstickCore

@testable import UnstickTerminal

@Suite("Status screen")
struct StatusScreenTests {
    @Test("a quiet migration in externalized, at 80 columns")
    func externalized() {
        let screen = text(StatusScreen(Reports.status(.externalized, gates: [Reports.gates[0]]), width: 80).lines)
        #expect(
            screen == """
                shop  epoch 7 · generation 3 · settled
                sticky ── mirroring ── [externalized] ── stateless ─┃ completed
                                                                    ┗ point of no return

                Coverage  ████████████████████  1,204 of 1,204 sessions (100.0 %)
                          verified 3 s ago

                INSTANCE  STATE   HEALTH   SESSIONS  ONLY HERE  IN FLIGHT
                web-1     active  healthy       602          0          4
                web-2     active  healthy       602          0          4

                PROXY    EPOCH  HEARD  DIRTY  QUEUE  STORE
                proxy-1      7    now      0      2  up
                proxy-2      7    now      0      2  up
                Store: sqlite unstick.db (WAL, synchronous=FULL)

                Next: unstick switch --percent N  gates pass
                  ✓ proxies-alive  2 alive
                """)
    }

    @Test("everything that can be wrong, at 80 columns")
    func trouble() {
        let report = Reports.status(
            .mirroring, settled: false,
            coverage: Coverage(
                sessions: 1204, externalized: 1201, recheck: 2, verifiedAt: nil, isComplete: false,
                etaMilliseconds: 65_000),
            operation: Reports.operation(
                .externalize, step: 3, of: 9, "waiting for proxy-2 to acknowledge epoch 7"),
            instances: [
                Reports.instance("web-1"),
                Reports.instance(
                    "web-2", state: .draining, health: .unhealthy, sessions: nil, onlyHere: 3, inFlight: 0,
                    note: "the health check of http://127.0.0.1:5002/healthz was answered with 503"),
            ],
            proxies: [
                Reports.proxy("proxy-1", acknowledged: 7),
                Reports.proxy("proxy-2", acknowledged: 6, dirty: 5, overflow: true, store: .down),
                Reports.proxy("proxy-3", acknowledged: nil, silent: 95_000, alive: false),
            ], gates: Reports.gates)
        #expect(
            text(StatusScreen(report, width: 80).lines) == """
                shop  epoch 7 · generation 3 · waiting for proxy-2, proxy-3
                sticky ── [mirroring] ── externalized ── stateless ─┃ completed
                                                                    ┗ point of no return

                Running  externalize, operation 12 by ann@desk
                         step 4 of 9: waiting for proxy-2 to acknowledge epoch 7

                Coverage  ███████████████████░  1,201 of 1,204 sessions (99.7 %)
                          2 to look at again · ready in about 1 min 5 s · not complete

                INSTANCE  STATE     HEALTH     SESSIONS  ONLY HERE  IN FLIGHT
                web-1     active    healthy         602          0          4
                web-2     draining  unhealthy         ?          3          0
                  └ the health check of http://127.0.0.1:5002/healthz was answered with 503

                PROXY    EPOCH       HEARD  DIRTY  QUEUE  STORE  NOTE
                proxy-1      7         now      0      2  up
                proxy-2      6         now     5+      2  down   not at epoch 7 yet
                proxy-3   none  1 min 35 s      0      2  up     silent
                Store: sqlite unstick.db (WAL, synchronous=FULL)

                Next: unstick externalize  would be refused
                  ✓ proxies-alive               2 alive
                  ✗ every-session-externalized  3 of 1,204 sessions are not in the store as in
                                                memory, 2 of them still moving
                      demanded: every live session, version and digest
                      remedy:   `unstick verify` looks again
                  ? bridges-answer              web-2: no answer
                      demanded: every bridge
                """)
    }

    @Test(
        "the rail brackets the phase and marks the point of no return",
        arguments: [
            (
                Phase.sticky, 0, 0, "[sticky] ── mirroring ── externalized ── stateless ─┃ completed",
                "point of no return"
            ),
            (
                .stateless, 25, 25, "sticky ── mirroring ── externalized ── [stateless 25%] ─┃ completed",
                "point of no return"
            ),
            (
                .stateless, 50, 25, "sticky ── mirroring ── externalized ── [stateless 50%] ─┃ completed",
                "point of no return"
            ),
            (
                .completed, 100, 100, "sticky ── mirroring ── externalized ── stateless ─┃ [completed]",
                "passed: no way back"
            ),
        ])
    func rail(phase: Phase, ramp: Int, actual: Int, rail: String, foot: String) {
        let lines = StatusScreen(Reports.status(phase, ramp: ramp, actual: actual), width: 80).lines.map(\.plain)
        #expect(lines[1] == rail)
        #expect(lines[2] == String(repeating: " ", count: rail.prefix { $0 != "┃" }.count) + "┗ " + foot)
        let aim = "25 % of the sessions are stateless in every proxy; 50 % is the aim"
        #expect(lines.contains(aim) == (ramp != actual))
    }

    @Test("no line is wider than the terminal", arguments: [60, 72, 80, 132])
    func width(columns: Int) {
        let report = Reports.status(
            .mirroring, instances: [Reports.instance(String(repeating: "n", count: 64), note: "x")],
            gates: Reports.gates)
        #expect(StatusScreen(report, width: columns).lines.allSatisfy { $0.width <= columns })
    }

    @Test("coverage that is not all never reads as 100 %, and what was verified before sticky is not shown")
    func coverage() {
        let almost = Coverage(
            sessions: 100_000, externalized: 99_999, recheck: 1, verifiedAt: nil, isComplete: false)
        let mirroring = text(StatusScreen(Reports.status(.mirroring, coverage: almost), width: 80).lines)
        #expect(mirroring.contains("(99.9 %)"))
        #expect(!mirroring.contains("████████████████████"))
        let sticky = text(StatusScreen(Reports.status(.sticky, coverage: almost), width: 80).lines)
        #expect(sticky.contains("Coverage  nothing is mirrored in sticky"))
        let unknown = text(StatusScreen(Reports.status(.mirroring, coverage: nil), width: 80).lines)
        #expect(unknown.contains("Coverage  not verified yet"))
    }

    @Test("a low window folds the gates that pass, then drops empty lines, and never a gate that refuses")
    func height() {
        let many = (1...6).map {
            GateResult(name: "gate-\($0)", verdict: .pass, found: "fine", demanded: "fine")
        }
        let screen = StatusScreen(Reports.status(.mirroring, gates: many + [Reports.gates[2]]), width: 80)
        #expect(screen.lines(height: 40) == screen.lines)
        let folded = text(screen.lines(height: 24))
        #expect(
            folded.hasSuffix("  ? bridges-answer  web-2: no answer\n      demanded: every bridge\n  ✓ 6 other gates"))
        #expect(folded.contains("\n\n"))
        #expect(!text(screen.lines(height: 17)).contains("\n\n"))
    }

    @Test("time, traffic and measurements are no news; states, gates and acknowledgements are")
    func news() {
        func news(_ change: (inout StatusReport) -> Void) -> String {
            var report = Reports.status(.mirroring, gates: Reports.gates)
            change(&report)
            return StatusScreen(report, width: 80).newsworthy
        }
        let before = news { _ in }
        #expect(before == news { $0.time = UnixMilliseconds(500_000) })
        #expect(before == news { $0.proxies[0].silentMilliseconds = 3000 })
        #expect(before == news { $0.instances[0].inFlight = 9 })
        #expect(before == news { $0.gates[0].found = "3 alive" })
        #expect(before != news { $0.phase = .externalized })
        #expect(before != news { $0.instances[0].state = .draining })
        #expect(before != news { $0.gates[1].found = "1 of 1,204" })
        #expect(before != news { $0.proxies[1].report.acknowledged = Epoch(6) })
    }
}
