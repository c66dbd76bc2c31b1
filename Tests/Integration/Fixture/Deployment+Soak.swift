import ControlAPI
import Foundation
import Testing
import UnstickSoak

extension Deployment {
    /// Load that leaves the machine some room: what is tested is the order of things, not throughput.
    func soakOptions(clients: Int = 16) -> SoakOptions {
        var options = SoakOptions(urls: addresses, duration: .seconds(600))
        options.clients = clients
        if shape.security.clients == .tls { options.authorityFile = "\(folder)/ca.pem" }
        options.alternateURLs = addresses.count > 1
        options.thinkTime = .milliseconds(80)
        options.logoutProbability = 0.02
        options.seed = UInt64.random(in: 1...(1 << 32))
        return options
    }

    /// Drives clients while the body runs, and demands zeros of the whole run.
    /// - Parameter mayFail: kinds of errors that the body provokes (`503`, `reset`, …); any other fails the test.
    @discardableResult
    func underSoak(
        _ options: SoakOptions? = nil, mayFail: Set<String> = [], sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (SoakRun) async throws -> Void
    ) async throws -> SoakReport {
        let run = SoakRun(options: options ?? soakOptions())
        let task = Task { try await run.run() }
        do {
            // Sessions first, so that there is something to lose.
            _ = try await eventually("the soak to begin") {
                let snapshot = run.snapshot()
                return snapshot.succeeded >= run.options.clients * 3 ? snapshot : nil
            }
            try await body(run)
        } catch {
            run.stop()
            if let report = try? await task.value { Self.show(report) }
            throw error
        }
        run.stop()
        let report = try await task.value
        do {
            try #require(
                report.lost + report.stale + report.repeated + report.resurrected == 0, "\(report.violations)",
                sourceLocation: sourceLocation)
            try #require(report.succeeded > run.options.clients * 3, sourceLocation: sourceLocation)
            try #require(
                report.unaudited == 0, "counters that could not be read at the end", sourceLocation: sourceLocation)
            let unexpected = report.errors.filter { !mayFail.contains($0.key) }
            try #require(unexpected.isEmpty, sourceLocation: sourceLocation)
        } catch {
            Self.show(report)
            throw error
        }
        return report
    }

    private static func show(_ report: SoakReport) {
        var lines = ["-- soak: \(summary(report))"]
        for stage in report.stages {
            lines.append(
                "   \(stage.name): \(stage.succeeded) of \(stage.requests), errors \(stage.errors), lost \(stage.lost), "
                    + "stale \(stage.stale), repeated \(stage.repeated), resurrected \(stage.resurrected)")
        }
        for violation in report.violations { lines.append("   \(violation)") }
        FileHandle.standardError.write(Data((lines.joined(separator: "\n") + "\n").utf8))
    }

    static func summary(_ report: SoakReport) -> String {
        "\(report.succeeded) of \(report.requests) in \(report.durationMs) ms, \(report.sessions) sessions, errors "
            + "\(report.errors), lost \(report.lost), stale \(report.stale), repeated \(report.repeated), "
            + "resurrected \(report.resurrected), unaudited \(report.unaudited), "
            + "longest pause \(report.longestPauseMilliseconds) ms"
    }
}
