import ControlAPI
import Foundation
import Testing
@testable import UnstickSoak

@testable import UnstickDemo

@Suite("The verdict")
struct DemoReportTests {
    static let chapters = ["sticky", "mirror", "kill"]

    static func visits() -> [DemoReport.Visit] {
        chapters.map { DemoReport.Visit(chapter: $0, migrationPhase: "sticky", adminLoggedIn: true) }
    }

    static func soak(_ change: (inout SoakReport) -> Void = { _ in }) -> SoakReport {
        let latency = SoakReport.Percentiles(p50Microseconds: 900, p99Microseconds: 12_000, maxMicroseconds: 30_000)
        var report = SoakReport(
            schema: SoakReport.schemaName, clients: 4, durationMs: 3000, requests: 300, succeeded: 298,
            errors: ["502": 2], errorCount: 2, unknown: 1, lost: 0, stale: 0, repeated: 0, resurrected: 0,
            longestPauseMilliseconds: 40, latency: latency, clientWait: latency, sessions: 5, unaudited: 0,
            stages: (chapters + [DemoReport.auditName]).map { name in
                StageReport(
                    name: name, startMs: 0, durationMs: 1000, requests: 100, succeeded: 99,
                    errors: name == "kill" ? ["502": 2] : [:], errorCount: name == "kill" ? 2 : 0, unknown: 0, lost: 0,
                    stale: 0, repeated: 0, resurrected: 0, longestPauseMilliseconds: 40, latency: latency, sessions: 1)
            }, violations: [], verdict: .pass)
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

    @Test("any wrong answer fails", arguments: [
        \SoakReport.lost as any WritableKeyPath<SoakReport, Int> & Sendable, \.stale, \.repeated, \.resurrected, \.unaudited,
    ])
    func wrong(_ figure: any WritableKeyPath<SoakReport, Int> & Sendable) {
        let soak = Self.soak { $0[keyPath: figure] = 1 }
        let report = DemoReport(chapters: Self.chapters, visits: Self.visits(), soak: soak, failure: nil)
        #expect(report.verdict == .fail)
        #expect(report.failures.count == 1)
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
