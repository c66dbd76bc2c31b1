public import AsyncHTTPClient
import ControlAPI
import ControlClient
import Foundation
import NIOCore
import NIOHTTP1
import UnstickCore
import UnstickSoak

/// `unstick demo`: starts the shop and the proxy, drives load, walks the whole migration, and judges it.
public struct Demonstration: Sendable {
    let options: DemoOptions
    let teller: Storyteller
    let http: HTTPClient
    let chapters: [Chapter]

    /// - Parameter http: must not follow redirects; the caller shuts it down.
    public init(options: DemoOptions, screen: Screen, http: HTTPClient) {
        self.options = options
        self.teller = Storyteller(screen: screen)
        self.http = http
        chapters = Chapter.story(instances: DemoOptions.instances, migration: DemoOptions.migration)
    }

    /// Gives the whole demonstration. Every process that it starts has ended when it returns, also after an error or
    /// cancellation.
    /// - Throws: ``DemoError`` when it could not begin; `CancellationError`. What goes wrong later is in the report.
    public func run() async throws -> DemoReport {
        try options.validate()
        let site = try DemoSite(options: options)
        let result: Result<DemoReport, any Error>
        do { result = .success(try await run(site)) } catch { result = .failure(error) }
        // A cancelled task cleans up as well.
        await Task { await site.end() }.value
        let report = try result.get()
        teller.table(report)
        teller.verdict(report)
        return report
    }

    private func run(_ site: DemoSite) async throws -> DemoReport {
        teller.opening(site)
        try await watching(site) { try await start(site) }
        let chronicle = Chronicle()
        var soakOptions = SoakOptions(urls: [site.url], duration: .seconds(86_400))
        soakOptions.clients = options.clients
        soakOptions.thinkTime = DemoOptions.thinkTime
        soakOptions.seed = options.seed
        soakOptions.userAgent = "unstick-demo/1"
        let soak = SoakRun(options: soakOptions)
        async let soaked = soak.run()
        var failure: String?
        do {
            try await watching(site) { try await tell(site, soak: soak, chronicle: chronicle) }
            teller.screen.live("  reading every counter a last time")
            soak.beginStage(DemoReport.auditName)
        } catch {
            soak.stop()
            guard !Task.isCancelled else { throw CancellationError() }
            failure = "\(error)"
            teller.screen.clearLive()
        }
        soak.stop()
        let report = try await soaked
        try Task.checkCancellation()
        return DemoReport(
            chapters: chapters.map(\.name), visits: chronicle.visits, soak: report, failure: failure)
    }

    /// Runs `body` until it ends or a process dies that should not.
    private func watching(_ site: DemoSite, _ body: @escaping @Sendable () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await body() }
            group.addTask {
                while true {
                    if let casualty = site.casualty { throw casualty.death }
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    // MARK: Beginning

    private func start(_ site: DemoSite) async throws {
        teller.screen.live("  starting the shop")
        try await site.seed()
        for name in DemoOptions.instances { try site.startInstance(name) }
        for name in DemoOptions.instances {
            try await wait("\(name) to answer", within: .seconds(30)) { try await answers(site.instanceURL(name)) }
        }
        teller.screen.live("  starting unstick up")
        try site.startProxy()
        try await wait("the proxy to answer", within: .seconds(30)) { try await answers(site.url) }
        let control = ControlClient(address: site.adminURL, http: http)
        try await wait("the proxy to find every instance healthy", within: .seconds(30)) {
            let status = try await control.status()
            return status.settled && !status.proxies.isEmpty
                && status.instances.count == DemoOptions.instances.count
                && status.instances.allSatisfy { $0.health == .healthy }
        }
        teller.screen.clearLive()
    }

    private func answers(_ url: String) async throws -> Bool {
        let response = try await http.execute(HTTPClientRequest(url: url + "/healthz"), timeout: .seconds(2))
        _ = try await response.body.collect(upTo: 65_536)
        return response.status == .ok
    }

    /// Asks until the answer is yes; an error counts as no, and is told when time is up.
    func wait(
        _ what: String, within patience: Duration, _ condition: () async throws -> Bool
    ) async throws {
        let clock = ContinuousClock()
        let deadline = clock.now + patience
        while true {
            var problem = ""
            do {
                if try await condition() { return }
            } catch {
                try Task.checkCancellation()
                problem = " (\(error))"
            }
            guard clock.now < deadline else {
                throw DemoError.chapter("waited \(patience.components.seconds) s in vain for \(what)\(problem)")
            }
            try await clock.sleep(for: .milliseconds(100))
        }
    }
}
