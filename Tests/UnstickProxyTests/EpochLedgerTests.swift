import NIOCore
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Epoch ledger")
struct EpochLedgerTests {
    @Test("an epoch is acknowledged at once when nothing is in flight")
    func idle() {
        var ledger = EpochLedger()
        #expect(ledger.acknowledged == nil)
        ledger.apply(Epoch(3))
        #expect(ledger.acknowledged == Epoch(3))
    }

    @Test("requests of the newest epoch do not delay its acknowledgement, those of older ones do")
    func grace() {
        var ledger = EpochLedger()
        ledger.apply(Epoch(1))
        ledger.begin(Epoch(1))
        ledger.begin(Epoch(1))
        ledger.apply(Epoch(2))
        ledger.begin(Epoch(2))
        #expect(ledger.acknowledged == nil)
        let first = ledger.end(Epoch(1))
        #expect(!first)
        #expect(ledger.acknowledged == nil)
        let second = ledger.end(Epoch(1))
        #expect(second)
        #expect(ledger.acknowledged == Epoch(2))
        let last = ledger.end(Epoch(2))
        #expect(!last)
    }

    @Test("requests that began before any table was known delay the first acknowledgement")
    func provisional() {
        var ledger = EpochLedger()
        ledger.begin(nil)
        ledger.apply(Epoch(1))
        #expect(ledger.acknowledged == nil)
        let ended = ledger.end(nil)
        #expect(ended)
        #expect(ledger.acknowledged == Epoch(1))
    }

    @Test("an older table than the one in use changes nothing")
    func late() {
        var ledger = EpochLedger()
        ledger.apply(Epoch(2))
        ledger.apply(Epoch(1))
        #expect(ledger.acknowledged == Epoch(2))
    }

    @Test("the proxy acknowledges what its slowest event loop has, and claims nothing while one is in its grace period")
    func board() {
        let board = AcknowledgementBoard(loops: 2)
        let first = board.update(loop: 0, acknowledged: Epoch(2))
        #expect(!first)
        #expect(board.acknowledged == nil)
        let second = board.update(loop: 1, acknowledged: Epoch(1))
        #expect(second)
        #expect(board.acknowledged == Epoch(1))
        _ = board.update(loop: 0, acknowledged: nil)
        #expect(board.acknowledged == nil)
    }

    @Test("health rises and falls only after as many checks in a row as configured, the first success counts at once")
    func health() {
        var state = HealthState(rise: 2, fall: 3)
        var changes: [Bool] = []
        for success in [true, false, false, true, false, false, false, true, true] {
            changes.append(state.record(success: success))
        }
        #expect(changes == [true, false, false, false, false, false, true, false, true])
        #expect(state.isHealthy == true)
    }

    @Test(
        "a JSON merge keeps what each side changed, and ours where both did",
        arguments: [
            (#"{"a": 1, "b": 2}"#, #"{"a": 5, "b": 2}"#, #"{"a": 1, "b": 7}"#, #"{"a": 5, "b": 7}"#),
            (#"{"a": 1}"#, #"{"a": 2}"#, #"{"a": 3}"#, #"{"a": 2}"#),
            (#"{"a": 1, "b": 2}"#, #"{"b": 2}"#, #"{"a": 1, "b": 3}"#, #"{"b": 3}"#),
            (#"{}"#, #"{"x": {"y": [1, "]"]}}"#, #"{"z": "a\"}"}"#, #"{"z": "a\"}", "x": {"y": [1, "]"]}}"#),
            (#"{"a": 1}"#, #"{"a": 1, "n": 1}"#, #"{}"#, #"{"n": 1}"#),
        ])
    func merge(base: String, ours: String, theirs: String, merged: String) {
        let result = JSONMerge.merge(
            base: .init(string: base), ours: .init(string: ours), theirs: .init(string: theirs))
        #expect(result.map { String(buffer: $0) } == merged)
    }

    @Test("what is not a JSON object is not merged", arguments: ["", "[]", "{", #"{"a"}"#, #"{"a": }"#, "{} x"])
    func noMerge(text: String) {
        #expect(JSONMerge.members(of: .init(string: text)) == nil)
    }
}
