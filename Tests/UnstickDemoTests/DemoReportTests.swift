import ControlAPI
import Foundation
import Testing
import UnstickSoak

@testable import UnstickDemo

@Suite("The verdict")
struct DemoReportTests {
    static let chapters = ["sticky", "mirror", "kill"]

    static func visits() -> [DemoReport.Visit] {
        chapters.map { DemoReport.Visit(chapter: $0, migrationPhase: "sticky", adminLoggedIn: true) }
    }

    static func soak(_ change: (inout SoakReport) -> Void = { _ in }) -> SoakReport {
        var figures = RunFigures(clients: 4) { _ in "default" }
        for (index, name) in (chapters + [DemoReport.auditName]).enumerated() {
            let start = Int64(index) * 1_000_000_000
            figures.beginStage(name, at: start)
            for number in 0..<100 {
                let fails = name == "kill" && number < 2
                figures.add(
                    RequestRecord(
                        client: 0, key: 0, at: start + Int64(number) * 10_000_000,
                        result: fails ? .error(kind: "502") : .success(latencyMicroseconds: 900)))
            }
        }
        var report = figures.report(at: 4_000_000_000)
        change(&report)
        return report
    }

    @Test("zeros, every chapter visited and the admin logged in pass, whatever failed at the kill")
    func pass() {
        let report = DemoReport(chapters: Self.chapters, visits: Self.visits(), soak: Self.soak(), failure: nil)
        #expect(report.verdict == .pass)
        #expect(report.failures == [])
        #expect(report.adminSession == .kept)
        #expect(report.totals.errors == 2)
    }

    @Test("any wrong answer fails", arguments: ViolationKind.allCases)
    func wrong(_ kind: ViolationKind) {
        let soak = Self.soak { report in
            switch kind {
            case .lost: report.lost = 1
            case .stale: report.stale = 1
            case .repeated: report.repeated = 1
            case .resurrected: report.resurrected = 1
            }
        }
        let report = DemoReport(chapters: Self.chapters, visits: Self.visits(), soak: soak, failure: nil)
        #expect(report.verdict == .fail)
        #expect(report.failures == ["1 answers were \(kind.rawValue)"])
    }

    @Test("a counter that could not be read at the end fails")
    func unaudited() {
        let soak = Self.soak { $0.unaudited = 1 }
        let report = DemoReport(chapters: Self.chapters, visits: Self.visits(), soak: soak, failure: nil)
        #expect(report.verdict == .fail)
    }

    @Test("a chapter that was not visited to its end fails")
    func unvisited() {
        var visits = Self.visits()
        visits.removeLast()
        var report = DemoReport(chapters: Self.chapters, visits: visits, soak: Self.soak(), failure: nil)
        #expect(report.failures == ["chapter kill was not visited"])
        visits.append(DemoReport.Visit(chapter: "kill"))
        report = DemoReport(chapters: Self.chapters, visits: visits, soak: Self.soak(), failure: nil)
        #expect(report.verdict == .fail)
    }

    @Test("a chapter in which nothing succeeded proves nothing and fails")
    func silent() {
        let soak = Self.soak { $0.stages[1].succeeded = 0 }
        let report = DemoReport(chapters: Self.chapters, visits: Self.visits(), soak: soak, failure: nil)
        #expect(report.failures == ["no request succeeded in chapter mirror"])
    }

    @Test("an admin who had to log in again fails, and so does one whom nobody looked at")
    func admin() {
        var visits = Self.visits()
        visits[1].adminLoggedIn = false
        var report = DemoReport(chapters: Self.chapters, visits: visits, soak: Self.soak(), failure: nil)
        #expect(report.adminSession == .lost)
        #expect(report.verdict == .fail)
        for index in visits.indices { visits[index].adminLoggedIn = nil }
        report = DemoReport(chapters: Self.chapters, visits: visits, soak: Self.soak(), failure: nil)
        #expect(report.adminSession == .lost)
        #expect(report.verdict == .fail)
    }

    @Test("what ended the story early is the first reason")
    func early() {
        let report = DemoReport(
            chapters: Self.chapters, visits: Array(Self.visits().prefix(1)), soak: Self.soak(), failure: "web-1 ended")
        #expect(report.verdict == .fail)
        #expect(report.failures == ["web-1 ended"])
    }

    @Test("the JSON object has the names that scripts rely on")
    func json() throws {
        let report = DemoReport(chapters: Self.chapters, visits: Self.visits(), soak: Self.soak(), failure: nil)
        let object = try #require(
            try JSONSerialization.jsonObject(with: ControlJSON.encode(report)) as? [String: Any])
        #expect(object["schema"] as? String == "unstick.demo/v1")
        #expect(object["verdict"] as? String == "pass")
        #expect(object["adminSession"] as? String == "kept")
        let phases = try #require(object["phases"] as? [[String: Any]])
        #expect(phases.map { $0["name"] as? String } == Self.chapters + [DemoReport.auditName])
        for key in ["requests", "errors", "lost", "stale", "resurrected", "longestPauseMs"] {
            #expect(phases.allSatisfy { $0[key] is Int }, "\(key)")
        }
    }
}
