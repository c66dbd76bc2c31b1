import Testing
import UnstickSoak

@Suite("Logged-out sessions")
struct GhostSessionTests {
    private func ledger(increments: Int, unknown: Int = 0) -> SessionLedger {
        var ledger = SessionLedger(keys: 1)
        for value in 0..<increments { _ = ledger.complete(ledger.sendIncrement(0), value: value + 1) }
        for _ in 0..<unknown { ledger.fail(ledger.sendIncrement(0), .unknown) }
        return ledger
    }

    private let old = [Cookie(name: "sid", value: "a"), Cookie(name: "home", value: "web-1")]

    @Test("the old counter under the old cookies is a resurrection")
    func resurrected() {
        let ghost = GhostSession(cookies: old, ledger: ledger(increments: 3))
        #expect(ghost.judge(value: 0, key: 0, current: ledger(increments: 0)) { _ in false } == nil)
        #expect(ghost.judge(value: 3, key: 0, current: ledger(increments: 0)) { _ in false }?.kind == .resurrected)
        #expect(ghost.tellingKeys == [0])
    }

    @Test("late increments of the old session explain as many")
    func late() {
        let ghost = GhostSession(cookies: old, ledger: ledger(increments: 3, unknown: 1))
        #expect(ghost.judge(value: 1, key: 0, current: ledger(increments: 0)) { _ in false } == nil)
        #expect(ghost.judge(value: 3, key: 0, current: ledger(increments: 0)) { _ in false } != nil)
        #expect(GhostSession(cookies: old, ledger: ledger(increments: 1, unknown: 2)).tellingKeys.isEmpty)
    }

    @Test("an id used again shows the new session, up to what that can have reached")
    func reusedID() {
        var ghost = GhostSession(cookies: old, ledger: ledger(increments: 5))
        ghost.noteLaterSession(cookies: old)
        #expect(ghost.judge(value: 2, key: 0, current: ledger(increments: 2)) { $0 == "home" } == nil)
        #expect(ghost.judge(value: 5, key: 0, current: ledger(increments: 2)) { $0 == "home" } != nil)
        ghost.noteLaterSession(ledger(increments: 4))
        #expect(ghost.judge(value: 4, key: 0, current: ledger(increments: 2)) { $0 == "home" } == nil)
    }

    @Test("an affinity cookie that stays is no id used again")
    func affinity() {
        var ghost = GhostSession(cookies: old, ledger: ledger(increments: 2))
        ghost.noteLaterSession(cookies: [Cookie(name: "sid", value: "b"), old[1]])
        #expect(ghost.judge(value: 2, key: 0, current: ledger(increments: 2)) { $0 == "home" } != nil)
        #expect(ghost.judge(value: 2, key: 0, current: ledger(increments: 2)) { _ in false } == nil)
    }

    @Test("a value that two clients got names no session")
    func census() {
        let census = CookieCensus()
        census.note(name: "home", value: "web-1", client: 0)
        census.note(name: "sid", value: "a", client: 0)
        census.note(name: "sid", value: "a", client: 0)
        #expect(!census.isShared("home"))
        census.note(name: "home", value: "web-1", client: 1)
        census.note(name: "sid", value: "b", client: 1)
        #expect(census.isShared("home"))
        #expect(!census.isShared("sid"))
    }
}
