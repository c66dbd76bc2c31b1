import Testing

@testable import UnstickTerminal

@Suite("Text for terminals")
struct TextTests {
    @Test(
        "durations are read with their units",
        arguments: [
            ("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("250ms", 250), ("2d", 172_800_000), ("0s", 0),
            ("1m500ms", 60_500), ("400d", 34_560_000_000),
        ])
    func durations(text: String, milliseconds: Int64) {
        #expect(TimeSpan(parsing: text)?.duration == .milliseconds(milliseconds))
    }

    @Test(
        "what is no duration is refused",
        arguments: [
            "", "30", "s", "5 m", "-5s", "1.5h", "5M", "1m1h", "1s1s", "5sec", "401d", "99999999999999999999s", "٣s",
        ])
    func noDurations(text: String) { #expect(TimeSpan(parsing: text) == nil) }

    @Test("seconds for the coordinator are rounded up", arguments: [("1500ms", 2), ("1s", 1), ("1ms", 1), ("2m", 120)])
    func seconds(text: String, seconds: Int) { #expect(TimeSpan(parsing: text)?.wholeSeconds == seconds) }

    @Test(
        "durations in words",
        arguments: [
            (0, "0 ms"), (999, "999 ms"), (1000, "1 s"), (59_999, "59 s"), (60_000, "1 min"), (65_000, "1 min 5 s"),
            (3_600_000, "1 h"), (4_800_000, "1 h 20 min"), (90_000_000, "1 d 1 h"), (-5, "0 ms"),
        ] as [(Int64, String)])
    func words(milliseconds: Int64, words: String) { #expect(TimeSpan.words(milliseconds: milliseconds) == words) }

    @Test(
        "numbers are grouped",
        arguments: [(0, "0"), (999, "999"), (1204, "1,204"), (1_234_567, "1,234,567"), (-1204, "-1,204")])
    func groups(number: Int, text: String) { #expect(TerminalText.count(number) == text) }

    @Test("names and notes cannot steer the terminal")
    func control() {
        let hostile = ScreenLine("a\u{1b}[2Jb\u{7}\u{9b}31m\u{202e}c\nd\u{7f}")
        #expect(hostile.plain == "a\u{fffd}[2Jb\u{fffd}\u{fffd}31m\u{fffd}c d\u{fffd}")
        #expect(ScreenLine("é–日").plain == "é–日")
    }

    @Test("a line is cut with an ellipsis, and colours do not count")
    func fitting() {
        let line = ScreenLine("abc", .good).appending("defgh")
        #expect(line.fitted(to: 8).plain == "abcdefgh")
        #expect(line.fitted(to: 7).plain == "abcdef…")
        #expect(line.fitted(to: 3).plain == "ab…")
        #expect(line.fitted(to: 0).plain == "")
        #expect(line.rendered(colour: false) == "abcdefgh")
        #expect(line.rendered(colour: true) == "\u{1b}[32mabc\u{1b}[0mdefgh")
    }

    @Test("words are wrapped at spaces, long ones anywhere")
    func wrapping() {
        #expect(TerminalText.wrap("one two three", width: 7) == ["one two", "three"])
        #expect(TerminalText.wrap("abcdefghij kl", width: 4) == ["abcd", "efgh", "ij", "kl"])
        #expect(TerminalText.wrap("", width: 4) == [])
    }
}
