import ControlAPI
import Synchronization
import Testing
import UnstickCore
import UnstickSoak

@testable import UnstickDemo

@Suite("What the screen shows")
struct ScreenTests {
    @Test(
        "text is broken between words, a long word stands alone",
        arguments: [
            ("", 10, [""]), ("one two three", 7, ["one two", "three"]), ("one two three", 13, ["one two three"]),
            ("a abcdefghijkl b", 5, ["a", "abcdefghijkl", "b"]), ("first\nsecond line", 40, ["first", "second line"]),
        ])
    func wrap(_ text: String, _ width: Int, _ lines: [String]) {
        #expect(Screen.wrap(text, width: width) == lines)
    }

    @Test(
        "numbers are grouped by thousands",
        arguments: [
            (0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567"), (100_000, "100,000"),
        ])
    func grouped(_ number: Int, _ text: String) {
        #expect(number.grouped == text)
    }

    @Test("without colours and a moving line the output is plain text")
    func plain() {
        let sink = Sink()
        let screen = Screen(width: 80, isLive: false, hasColours: false) { sink.add($0) }
        screen.live("moving")
        screen.line(screen.styled("bold", .bold))
        #expect(sink.text == "bold\n")
    }

    @Test("a line takes the place of the moving one")
    func live() {
        let sink = Sink()
        let screen = Screen(width: 20, isLive: true, hasColours: false) { sink.add($0) }
        screen.live("moving, and far longer than the screen is wide")
        screen.line("stays")
        #expect(sink.text == "\r\u{1b}[Kmoving, and far lon\r\u{1b}[Kstays\n")
    }

    @Test("every paragraph of the story and every row of the table fits into 80 columns")
    func widths() {
        let sink = Sink()
        let teller = Storyteller(screen: Screen(width: 80, isLive: false, hasColours: false) { sink.add($0) })
        let chapters = Chapter.story(instances: ["web-1", "web-2", "web-3"], migration: "shop")
        for chapter in chapters { teller.heading(chapter, number: 16, of: 16) }
        let report = DemoReport(
            chapters: chapters.map(\.name), visits: [],
            soak: DemoReportTests.soak {
                $0.requests = 1_234_567
                $0.sessions = 1_234_567
            }, failure: "one of the processes ended, and this is a long line about why it did so, longer than 80")
        teller.table(report)
        teller.verdict(report)
        #expect(sink.text.split(separator: "\n").allSatisfy { $0.count <= 80 })
        #expect(chapters.allSatisfy { $0.name.count < 22 })
    }

    @Test(
        "errors are told by kind, the most frequent first",
        arguments: [
            ([:], "no errors"), (["502": 1], "1 error (1 × 502)"),
            (["502": 3, "reset": 1200], "1,203 errors (1,200 × reset, 3 × 502)"),
        ] as [([String: Int], String)])
    func errors(_ kinds: [String: Int], _ words: String) {
        #expect(Storyteller.errors(kinds) == words)
    }

    @Test("a refusal names every gate that did not pass, and no other")
    func refusal() {
        let outcome = OperationOutcome(
            code: .refused, message: "refused",
            gates: [
                GateResult(name: "settled", verdict: .pass, found: "yes", demanded: "yes"),
                GateResult(name: "error-rate", verdict: .refuse, found: "9 %", demanded: "5 %"),
                GateResult(name: "bridges", verdict: .inconclusive, found: "silence", demanded: "answers"),
            ])
        let words = Demonstration.refusal(.mirror, outcome)
        #expect(words.contains("code 3") && words.contains("error-rate") && words.contains("bridges"))
        #expect(!words.contains("settled"))
    }
}

final class Sink: Sendable {
    private let content = Mutex("")
    var text: String { content.withLock(\.self) }
    func add(_ text: String) { content.withLock { $0 += text } }
}
