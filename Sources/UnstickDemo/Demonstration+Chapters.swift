import ControlAPI
import ControlClient
import Foundation
import Synchronization
import UnstickCore
import UnstickSoak

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What has been visited so far; kept when the story ends early.
final class Chronicle: Sendable {
    private let entries = Mutex<[DemoReport.Visit]>([])

    var visits: [DemoReport.Visit] { entries.withLock(\.self) }

    func begin(_ chapter: String) { entries.withLock { $0.append(DemoReport.Visit(chapter: chapter)) } }

    func change(_ body: (inout DemoReport.Visit) -> Void) {
        entries.withLock { entries in
            if !entries.isEmpty { body(&entries[entries.count - 1]) }
        }
    }
}

extension Demonstration {
    /// How long one operation may take before the demonstration gives up on it.
    private static let operationLimit = 120

    /// Every chapter in order.
    /// - Throws: ``DemoError/chapter(_:)`` for the first that does not end as it should.
    func tell(_ site: DemoSite, soak: SoakRun, chronicle: Chronicle) async throws {
        let control = ControlClient(address: site.adminURL, http: http)
        let visitor = AdminVisitor(url: site.url, http: http)
        try await visitor.logIn(user: "admin", password: "unstick-demo")
        for (index, chapter) in chapters.enumerated() {
            if options.pausesBetweenChapters {
                try await waitForEnter("Enter begins chapter \(index + 1): \(chapter.title)")
            }
            teller.heading(chapter, number: index + 1, of: chapters.count)
            chronicle.begin(chapter.name)
            soak.beginStage(chapter.name)
            let words = LiveWords()
            let status = try await showingProgress(words, soak) {
                let outcome = try await perform(chapter, site, control, words)
                chronicle.change { $0.outcome = outcome }
                words.set("")
                try await Task.sleep(for: options.chapterDuration)
                return try await control.status()
            }
            guard status.phase == chapter.phase, status.phase != .stateless || status.rampPercent == chapter.rampPercent
            else {
                throw DemoError.chapter(
                    "chapter \(chapter.name) ended in \(status.phase) at \(status.rampPercent) %, not in "
                        + "\(chapter.phase) at \(chapter.rampPercent) %")
            }
            let look = try await visitor.look()
            chronicle.change { visit in
                visit.migrationPhase = status.phase.name
                visit.rampPercent = status.phase == .stateless ? status.rampPercent : nil
                visit.adminLoggedIn = look == .loggedIn
            }
            if let outcome = chronicle.visits.last?.outcome { teller.outcome(outcome, isGood: true) }
            if let stage = soak.snapshot().stages.last {
                teller.figures(stage, coverage: status.phase.mirrors ? status.coverage : nil, admin: look)
            }
        }
        if options.pausesBetweenChapters { try await waitForEnter("Enter ends the demonstration") }
    }

    // MARK: Actions

    /// - Returns: what happened, in a sentence; nil where nothing was done.
    private func perform(
        _ chapter: Chapter, _ site: DemoSite, _ control: ControlClient, _ words: LiveWords
    ) async throws -> String? {
        switch chapter.action {
        case .drive: return nil
        case .operate(let kind):
            let outcome = try await operate(kind, control, words)
            if kind == .mirror { try await awaitBackfill(control, words) }
            return outcome
        case .kill(let instance):
            await site.kill(instance: instance)
            words.set("waiting until \(instance) is out")
            let seconds = try await measure {
                try await wait("\(instance) to be fenced", within: .seconds(60)) {
                    guard try await state(of: instance, control)?.state == .fenced else { return false }
                    return try await isSettled(control)
                }
            }
            return "\(instance) is out after \(seconds); its sessions are served by the others"
        case .restart(let instance):
            try site.startInstance(instance)
            words.set("waiting until \(instance) is back")
            let seconds = try await measure { try await waitUntilActive(instance, control) }
            return "\(instance) serves again after \(seconds)"
        case .undrain(let instance):
            let outcome = try await operate(.undrain(instance: instance), control, words)
            words.set("waiting until \(instance) serves")
            try await waitUntilActive(instance, control)
            return outcome
        }
    }

    /// Runs one operation to its end. It begins when the table has settled and every instance in service is healthy:
    /// gates would refuse before, and rightly.
    private func operate(
        _ kind: OperationKind, _ control: ControlClient, _ words: LiveWords
    ) async throws -> String {
        words.set("waiting for a settled table")
        try await wait("every proxy to acknowledge the routing table", within: .seconds(30)) {
            try await isSettled(control)
        }
        let request = OperationRequest(
            kind: kind, by: "demo", reason: "unstick demo", timeoutSeconds: Self.operationLimit)
        let started = try await control.start(request)
        let ended = try await withDeadline(.seconds(Self.operationLimit + 30), of: kind.command) {
            try await control.follow(started.id) { words.set($0.progress) }
        }
        guard let outcome = ended.outcome, outcome.code == .done else {
            throw DemoError.chapter(Self.refusal(kind, ended.outcome))
        }
        return outcome.message
    }

    /// Sessions that nobody changes are saved in the background; until then `verify` refuses, and rightly.
    private func awaitBackfill(_ control: ControlClient, _ words: LiveWords) async throws {
        words.set("waiting until the store has what nobody changes")
        try await wait("every session to be in the store", within: .seconds(60)) {
            guard let coverage = try await control.status().coverage else { return false }
            return coverage.isComplete && coverage.externalized == coverage.sessions
        }
    }

    /// The outcome's sentence and every gate that did not pass.
    static func refusal(_ kind: OperationKind, _ outcome: OperationOutcome?) -> String {
        guard let outcome else { return "\(kind.command) has no outcome" }
        let gates = outcome.gates.filter { $0.verdict != .pass }.map { gate in
            "\n\(gate.name) (\(gate.verdict.rawValue)): \(gate.found); demanded: \(gate.demanded)"
        }
        return "\(kind.command) ended with code \(outcome.code.rawValue): \(outcome.message)" + gates.joined()
    }

    private func isSettled(_ control: ControlClient) async throws -> Bool {
        let status = try await control.status()
        return status.settled && status.operation == nil && status.proxies.allSatisfy(\.isAlive)
    }

    private func state(of instance: String, _ control: ControlClient) async throws -> InstanceStatus? {
        try await control.status().instances.first { $0.name == instance }
    }

    private func waitUntilActive(_ instance: String, _ control: ControlClient) async throws {
        try await wait("\(instance) to be active and healthy", within: .seconds(60)) {
            guard let found = try await state(of: instance, control), found.state == .active, found.health == .healthy
            else { return false }
            return try await isSettled(control)
        }
    }

    // MARK: Time

    private func measure(_ body: () async throws -> Void) async throws -> String {
        let clock = ContinuousClock()
        let start = clock.now
        try await body()
        let (seconds, attoseconds) = (clock.now - start).components
        return "\(seconds).\(attoseconds / 100_000_000_000_000_000) s"
    }

    private func withDeadline<Value: Sendable>(
        _ limit: Duration, of what: String, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withThrowingTaskGroup(of: Value.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: limit)
                throw DemoError.chapter("\(what) did not end within \(limit.components.seconds) s")
            }
            defer { group.cancelAll() }
            guard let value = try await group.next() else { throw CancellationError() }
            return value
        }
    }

    /// Keeps the moving line fresh while `body` runs.
    private func showingProgress<Value>(
        _ words: LiveWords, _ soak: SoakRun, _ body: () async throws -> Value
    ) async throws -> Value {
        let teller = teller
        let ticker = Task {
            while !Task.isCancelled {
                teller.progress(words.text, soak.snapshot().stages.last)
                try? await Task.sleep(for: .milliseconds(250))
            }
        }
        let result: Result<Value, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        ticker.cancel()
        await ticker.value
        teller.screen.clearLive()
        return try result.get()
    }

    /// Looks at standard input ten times a second instead of blocking in a read, so that Ctrl-C is heard.
    private func waitForEnter(_ prompt: String) async throws {
        teller.screen.line()
        teller.screen.line(teller.screen.styled("  \(prompt)", .notice))
        var byte: UInt8 = 0
        while true {
            try Task.checkCancellation()
            var request = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            guard poll(&request, 1, 0) > 0 else {
                try await Task.sleep(for: .milliseconds(100))
                continue
            }
            // The end of the input goes on as Enter does.
            guard read(STDIN_FILENO, &byte, 1) == 1, byte != UInt8(ascii: "\n") else { return }
        }
    }
}

/// What is being waited for, for the moving line.
final class LiveWords: Sendable {
    private let words = Mutex("")
    var text: String { words.withLock(\.self) }
    func set(_ text: String) { words.withLock { $0 = text } }
}
