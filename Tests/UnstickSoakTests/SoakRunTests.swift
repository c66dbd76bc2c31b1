import NIOCore
import NIOPosix
import Synchronization
import Testing
import UnstickSoak

/// Runs a soak against the application, bounded by requests.
private func soak(
    _ application: CounterApplication, requests: Int = 300, _ change: (inout SoakOptions) -> Void = { _ in }
) async throws -> SoakReport {
    try await withServer(application) { url in
        var options = SoakOptions(urls: [url], duration: .seconds(20))
        options.clients = 4
        options.maxRequests = requests
        options.logoutProbability = 0.05
        options.ghostProbability = 0.05
        options.requestTimeout = .seconds(5)
        change(&options)
        return try await SoakRun(options: options).run()
    }
}

private let modes: [SoakOptions.Parallelism] = [.none, .distinctKeys(4), .sameKey(4)]

@Suite("Soaks against applications", .timeLimit(.minutes(1)))
struct SoakRunTests {
    @Test("a right application: zeros, whatever the parallelism", arguments: modes, [false, true])
    func right(parallel: SoakOptions.Parallelism, reusesIDs: Bool) async throws {
        let application = CounterApplication(reusesIDs: reusesIDs)
        let report = try await soak(application, requests: 500) { $0.parallel = parallel }
        #expect(report.violations == [])
        #expect(report.verdict == .pass)
        #expect(report.errors == [:])
        #expect(report.unknown == 0)
        #expect(report.unaudited == 0)
        #expect(report.requests >= 500)
        #expect(report.requests == application.requests)
        #expect(report.sessions > 4)
        #expect(report.latency.p50Microseconds > 0)
        #expect(report.clientWait.p99Microseconds >= report.latency.p50Microseconds)
        if case .distinctKeys = parallel {
            #expect(application.keys.isSuperset(of: ["k0", "k1", "k2", "k3"]))
        }
    }

    @Test("an end that comes while clients think sends nothing twice")
    func endWhileThinking() async throws {
        // Every client has a wake-up pending; some are due in the very tick in which the end is announced.
        for seed in 0..<5 as Range<UInt64> {
            let report = try await soak(CounterApplication(reusesIDs: false)) {
                $0.clients = 200
                $0.maxRequests = nil
                $0.duration = .milliseconds(250)
                $0.thinkTime = .milliseconds(2)
                $0.seed = seed
            }
            #expect(report.violations == [])
            #expect(report.unaudited == 0)
        }
    }

    @Test("increments that are acknowledged and forgotten are lost", arguments: modes)
    func losesIncrements(parallel: SoakOptions.Parallelism) async throws {
        let report = try await soak(CounterApplication(.losesIncrement(every: 5))) { $0.parallel = parallel }
        #expect(report.lost > 0)
        #expect(report.resurrected == 0)
        #expect(report.repeated == 0)
        #expect(report.verdict == .fail)
        let example = try #require(report.violations.first)
        #expect((0..<4).contains(example.client))
    }

    @Test("a loss after the last increment is seen by the final reading")
    func finalReading() async throws {
        // One client, increments only, and the session forgotten exactly when the final reading comes.
        let report = try await soak(CounterApplication(.forgetsSession(every: 11)), requests: 10) {
            $0.clients = 1
            $0.logoutProbability = 0
            $0.mix = .init(increments: 1, reads: 0)
        }
        #expect(report.requests == 11)
        #expect(report.lost == 1)
    }

    @Test("sessions that are forgotten are lost")
    func forgetsSessions() async throws {
        let report = try await soak(CounterApplication(.forgetsSession(every: 30)))
        #expect(report.lost > 0)
        #expect(report.stale == 0)
        #expect(report.resurrected == 0)
    }

    @Test("answers from a lagging copy are stale", arguments: modes)
    func lags(parallel: SoakOptions.Parallelism) async throws {
        let report = try await soak(CounterApplication(.lagsBehind(every: 7))) {
            $0.parallel = parallel
            $0.logoutProbability = 0
        }
        #expect(report.stale > 0)
        #expect(report.repeated == 0)
        #expect(!report.passed)
    }

    @Test("increments that count twice are repeated", arguments: modes)
    func repeats(parallel: SoakOptions.Parallelism) async throws {
        let report = try await soak(CounterApplication(.repeats(every: 10))) {
            $0.parallel = parallel
            // A first answer of 2 after a session that reached 1 could be either fault.
            $0.logoutProbability = 0
        }
        #expect(report.repeated > 0)
        #expect(report.lost == 0)
        #expect(report.stale == 0)
        #expect(report.resurrected == 0)
        #expect(!report.passed)
    }

    @Test("a session kept after its logout is resurrected", arguments: modes)
    func resurrects(parallel: SoakOptions.Parallelism) async throws {
        let report = try await soak(CounterApplication(.keepsLoggedOutSessions)) { $0.parallel = parallel }
        #expect(report.resurrected > 0)
        #expect(report.lost == 0)
        #expect(report.stale == 0)
        #expect(report.repeated == 0)
        #expect(!report.passed)
    }

    @Test("a logout that does nothing at all is a resurrection too")
    func ignoresLogouts() async throws {
        let report = try await soak(CounterApplication(.ignoresLogouts))
        #expect(report.resurrected > 0)
        #expect(report.lost == 0)
    }

    @Test("updates lost to a race are found by parallel requests on one key")
    func losesUpdates() async throws {
        let report = try await soak(CounterApplication(.losesUpdates)) {
            $0.parallel = .sameKey(2)
            $0.logoutProbability = 0
            $0.requestTimeout = .milliseconds(300)
        }
        #expect(report.lost > 0)
        #expect(!report.passed)
    }

    @Test(
        "unknown outcomes are errors by kind, never violations",
        arguments: [
            (.status(500), "500"), (.status(503), "503"), (.close, "reset"), (.closeInTheMiddle, "reset"),
            (.silence, "timeout"), (.garbage, "protocol"),
        ] as [(CounterApplication.Failure, String)], [false, true])
    func unknown(failure: (CounterApplication.Failure, String), afterEffect: Bool) async throws {
        var unknown = 0
        var errors = 0
        for parallel in modes {
            let application = CounterApplication(.fails(every: 13, failure.0, afterEffect: afterEffect))
            let report = try await soak(application, requests: 110) {
                $0.parallel = parallel
                $0.requestTimeout = failure.0 == .silence ? .milliseconds(400) : .seconds(5)
            }
            #expect(report.violations == [])
            #expect(report.verdict == .pass)
            // Connecting has no more time than a request; on a busy machine the short timeout can strike there too.
            #expect(Set(report.errors.keys).subtracting(failure.0 == .silence ? ["connect"] : []) == [failure.1])
            #expect(report.errorCount >= 5)
            unknown += report.unknown
            errors += report.errorCount
        }
        // Increments are unknown, reads are not.
        #expect(unknown > 0)
        #expect(unknown < errors)
    }

    @Test(
        "a logout of unknown outcome allows either session",
        arguments: [.status(500), .close] as [CounterApplication.Failure], [false, true])
    func unknownLogout(failure: CounterApplication.Failure, afterEffect: Bool) async throws {
        for (parallel, reusesIDs) in [(SoakOptions.Parallelism.none, false), (.none, true), (.distinctKeys(3), false)] {
            let application = CounterApplication(.failsLogouts(failure, afterEffect: afterEffect), reusesIDs: reusesIDs)
            let report = try await soak(application, requests: 300) {
                $0.parallel = parallel
                $0.logoutProbability = 0.1
            }
            #expect(report.violations == [])
            #expect(report.unknown > 0)
            #expect(report.passed)
        }
    }

    @Test("several addresses of one application, alternating")
    func addresses() async throws {
        let application = CounterApplication()
        try await withServer(application) { first in
            try await withServer(application) { second in
                var options = SoakOptions(urls: [first, second], duration: .seconds(20))
                options.clients = 3
                options.maxRequests = 300
                options.alternateURLs = true
                options.eventLoops = 2
                let report = try await SoakRun(options: options).run()
                #expect(report.passed)
                #expect(report.errors == [:])
            }
        }
    }

    @Test("clients that keep to a dead address fail, the others go on")
    func deadAddress() async throws {
        let report = try await withServer(CounterApplication()) { url in
            var options = SoakOptions(urls: [url, try await closedPort()], duration: .seconds(20))
            options.clients = 2
            options.maxRequests = 12
            return try await SoakRun(options: options).run()
        }
        #expect(report.errors == ["connect": 6])
        #expect(report.unknown == 0)
        #expect(report.passed)
        #expect(report.clientWait.maxMicroseconds > 100_000)
    }

    @Test("a run without a single success fails")
    func nothing() async throws {
        var options = SoakOptions(urls: [try await closedPort()], duration: .seconds(20))
        options.clients = 1
        options.maxRequests = 3
        let report = try await SoakRun(options: options).run()
        #expect(report.errors == ["connect": 3])
        #expect(report.verdict == .fail)
        #expect(!report.passed)
    }

    @Test("stop ends a long run, and stages split its figures")
    func stopAndStages() async throws {
        let holder = Holder()
        let application = CounterApplication { number in
            if number == 50 { holder.run?.beginStage("second") }
            if number == 150 { holder.run?.stop() }
        }
        try await withServer(application) { url in
            var options = SoakOptions(urls: [url], duration: .seconds(3600))
            options.clients = 2
            let run = SoakRun(options: options)
            holder.set(run)
            run.beginStage("first")
            let report = try await run.run()
            #expect(report.stages.map(\.name) == ["first", "second"])
            #expect(report.stages.map(\.requests).reduce(0, +) == report.requests)
            #expect((45...50).contains(report.stages[0].requests))
            #expect((150...170).contains(report.requests))
            #expect(report.passed)
            #expect(run.snapshot() == report)
            await #expect(throws: SoakError.alreadyRan) { try await run.run() }
        }
    }

    @Test("a run stopped before it starts is empty and fails")
    func stoppedEarly() async throws {
        let run = SoakRun(options: SoakOptions(urls: [try await closedPort()], duration: .seconds(60)))
        run.stop()
        let report = try await run.run()
        #expect(report.requests == 0)
        #expect(!report.passed)
    }

    @Test("the end is bounded when the application falls silent")
    func boundedEnd() async throws {
        let holder = Holder()
        let application = CounterApplication(.fails(every: 1, .silence, afterEffect: false)) { number in
            if number == 3 { holder.run?.stop() }
        }
        try await withServer(application) { url in
            var options = SoakOptions(urls: [url], duration: .seconds(3600))
            options.clients = 2
            options.requestTimeout = .milliseconds(50)
            let run = SoakRun(options: options)
            holder.set(run)
            let report = try await run.run()
            #expect(Set(report.errors.keys) == ["timeout"])
            #expect(report.durationMs < 2000)
        }
    }

    @Test("counters that cannot be read at the end are named unaudited")
    func unaudited() async throws {
        // The first request succeeds, every other is refused.
        let report = try await soak(CounterApplication(.failsFrom(2)), requests: 1) {
            $0.clients = 1
            $0.logoutProbability = 0
        }
        #expect(report.succeeded == 1)
        #expect(report.unaudited == 1)
        #expect(report.errors == ["503": 3])
    }
}

/// Gives the application the run that is made after it.
private final class Holder: Sendable {
    private let value = Mutex<SoakRun?>(nil)
    var run: SoakRun? { value.withLock { $0 } }
    func set(_ run: SoakRun) { value.withLock { $0 = run } }
}

/// An address on which nobody listens.
private func closedPort() async throws -> String {
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .bind(host: "127.0.0.1", port: 0).get()
    let port = channel.localAddress?.port ?? 0
    try await channel.close()
    return "http://127.0.0.1:\(port)"
}
