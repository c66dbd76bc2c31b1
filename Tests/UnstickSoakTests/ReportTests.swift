import Foundation
import Testing
import UnstickSoak

@Suite("Figures and report")
struct ReportTests {
    private func figures() -> RunFigures { RunFigures(clients: 2) { "k\($0)" } }

    private func success(at milliseconds: Int64, finding: Finding? = nil) -> RequestRecord {
        var record = RequestRecord(
            client: 1, key: 0, at: milliseconds * 1_000_000, result: .success(latencyMicroseconds: 500))
        record.finding = finding
        return record
    }

    @Test("the longest pause is between successes, from the start, and up to now")
    func pause() {
        var figures = figures()
        figures.add(success(at: 30))
        #expect(figures.report(at: 31_000_000).longestPauseMilliseconds == 30)
        figures.add(RequestRecord(client: 0, key: 0, at: 50_000_000, result: .error(kind: "503")))
        figures.add(success(at: 80))
        #expect(figures.report(at: 81_000_000).longestPauseMilliseconds == 50)
        #expect(figures.report(at: 200_000_000).longestPauseMilliseconds == 120)
    }

    @Test("a stage has its own figures; a pause across its begin counts in both")
    func stages() {
        var figures = figures()
        figures.beginStage("sticky", at: 0)
        figures.add(success(at: 10))
        figures.beginStage("mirroring", at: 30_000_000)
        figures.add(RequestRecord(client: 0, key: 0, at: 35_000_000, result: .error(kind: "timeout")))
        figures.add(success(at: 60, finding: Finding(kind: .stale, expected: "2", seen: 1)))
        figures.finish(at: 70_000_000)
        let report = figures.report(at: 500_000_000)
        #expect(report.stages.map(\.name) == ["sticky", "mirroring"])
        #expect(report.stages.map(\.requests) == [1, 2])
        #expect(report.stages.map(\.errorCount) == [0, 1])
        #expect(report.stages.map(\.stale) == [0, 1])
        #expect(report.stages.map(\.longestPauseMilliseconds) == [20, 50])
        #expect(report.stages.map(\.durationMs) == [30, 40])
        #expect(report.errors == ["timeout": 1])
        #expect(report.violations.map(\.stage) == ["mirroring"])
        #expect(report.violations.map(\.client) == [1])
    }

    @Test("at most 20 examples are kept, all are counted")
    func examples() {
        var figures = figures()
        for time in 0..<50 {
            figures.add(success(at: Int64(time), finding: Finding(kind: .lost, expected: "", seen: 0)))
        }
        let report = figures.report(at: 50_000_000)
        #expect(report.lost == 50)
        #expect(report.violations.count == 20)
        #expect(report.verdict == .fail)
    }

    @Test("nothing succeeded is a failed run")
    func nothing() {
        #expect(!figures().report(at: 0).passed)
        var one = figures()
        one.add(success(at: 1))
        #expect(one.report(at: 1_000_000).verdict == .pass)
    }

    @Test("the report survives JSON, under its schema's name")
    func json() throws {
        var figures = figures()
        figures.beginStage("one", at: 0)
        figures.add(success(at: 1, finding: Finding(kind: .repeated, expected: "at most 1", seen: 2)))
        let report = figures.report(at: 2_000_000)
        let data = try JSONEncoder().encode(report)
        #expect(try JSONDecoder().decode(SoakReport.self, from: data) == report)
        #expect(String(decoding: data, as: UTF8.self).contains(#""schema":"unstick.soak\/v1""#))
    }

    @Test("percentiles are at most 7 % too high", arguments: [1, 31, 32, 100, 12_345, 9_999_999])
    func histogram(value: Int) {
        var histogram = LatencyHistogram()
        for _ in 0..<99 { histogram.record(microseconds: value) }
        histogram.record(microseconds: value * 10)
        let p50 = histogram.percentile(0.5)
        #expect(p50 >= value)
        #expect(Double(p50) <= Double(value) * 1.07)
        #expect(histogram.percentile(1) == value * 10)
    }

    @Test(
        "options out of range are refused by name",
        arguments: [
            BadOption("urls") { $0.urls = [] },
            BadOption("clients") { $0.clients = 0 },
            BadOption("clients") { $0.clients = 10_001 },
            BadOption("duration") { $0.duration = .zero },
            BadOption("requestTimeout") { $0.requestTimeout = .milliseconds(1) },
            BadOption("parallel") { $0.parallel = .sameKey(0) },
            BadOption("logoutProbability") { $0.logoutProbability = 1.5 },
            BadOption("mix") { $0.mix = .init(increments: 0, reads: 0) },
            BadOption("targetRate") { $0.targetRate = 0 },
            BadOption("hostHeader") { $0.hostHeader = "a\r\nb" },
        ])
    func options(bad: BadOption) {
        var options = SoakOptions(urls: ["http://localhost"], duration: .seconds(1))
        bad.change(&options)
        let error = #expect(throws: SoakError.self) { try options.validated() }
        guard case .badOption(let named, _, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(named == bad.name)
    }

    struct BadOption: Sendable, CustomTestStringConvertible {
        var name: String
        var change: @Sendable (inout SoakOptions) -> Void
        var testDescription: String { name }

        init(_ name: String, _ change: @escaping @Sendable (inout SoakOptions) -> Void) {
            self.name = name
            self.change = change
        }
    }

    @Test(
        "addresses",
        arguments: [
            ("http://localhost", "localhost", 80, "localhost", ""),
            ("http://127.0.0.1:8080/", "127.0.0.1", 8080, "127.0.0.1:8080", ""),
            ("HTTP://shop.example:81/a/b/", "shop.example", 81, "shop.example:81", "/a/b"),
            ("http://[::1]:8080", "::1", 8080, "[::1]:8080", ""),
        ])
    func address(url: String, host: String, port: Int, authority: String, prefix: String) throws {
        let address = try SoakAddress(url)
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.authority == authority)
        #expect(address.prefix == prefix)
    }

    @Test(
        "addresses that are refused",
        arguments: [
            "", "localhost", "ftp://a", "https://", "http://", "http://:80", "http://a:0", "http://a:x", "http://a/?q",
            "http://u@a", "http://::1", "http://[::1",
        ])
    func badAddress(url: String) {
        #expect(throws: SoakError.self) { try SoakAddress(url) }
    }

    @Test(
        "a counter is one to fifteen digits",
        arguments: [
            ("0", 0), ("12\r\n", 12), (" 7 ", 7), ("", nil), ("-1", nil), ("1 2", nil), ("<html>", nil),
            ("1234567890123456", nil),
        ] as [(String, Int?)])
    func counter(text: String, value: Int?) {
        #expect(counterValue(Array(text.utf8)) == value)
    }
}
