import ControlAPI
import ControlClient
import Foundation
import Testing
import UnstickCore
import UnstickSoak

extension Integration {
    @Suite("The coordinator dies")
    struct CoordinatorDeath {
        /// Every transition that has a way back, in an order that ends where it begins.
        static let cycle: [OperationKind] = [
            .mirror, .externalize, .switchTo(percent: 60), .drain(instance: "web-2", deadlineSeconds: 30, force: false),
            .undrain(instance: "web-2"), .rollback(to: .externalized), .rollback(to: .mirroring),
            .rollback(to: .sticky),
        ]

        @Test("killed at any journal entry of any transition, it resumes or undoes, and clients notice nothing")
        func everyEntry() async throws {
            var shape = DeploymentShape(.notes)
            shape.proxies = 1
            shape.allowances = ["--allow-kill-points"]
            try await Deployment.with(shape) { deployment in
                var deaths: [String: Int] = [:]
                let report = try await deployment.underSoak(deployment.soakOptions(clients: 4)) { soak in
                    var entry = 1
                    var hasDied = true
                    while hasDied {
                        hasDied = false
                        for kind in Self.cycle {
                            soak.beginStage("\(kind.command) \(entry)")
                            guard try await deployment.complete(kind, killedAt: entry) else { continue }
                            deaths[kind.command, default: 0] += 1
                            hasDied = true
                        }
                        entry += 1
                        try #require(entry < 100)
                    }
                }
                // Intent, at least one step, one table, outcome.
                for kind in Self.cycle { #expect(deaths[kind.command, default: 0] >= 4, "\(kind.command)") }
                #expect(report.longestPauseMilliseconds < 5000)
            }
        }

        @Test("killed at any journal entry of complete, it completes")
        func everyEntryOfComplete() async throws {
            var shape = DeploymentShape(.notes)
            shape.proxies = 1
            shape.allowances = ["--allow-kill-points"]
            var entry = 1
            var hasDied = true
            while hasDied {
                try await Deployment.with(shape) { deployment in
                    try await deployment.underSoak(deployment.soakOptions(clients: 4)) { _ in
                        for kind in [OperationKind.mirror, .externalize, .switchTo(percent: 100)] {
                            _ = try await deployment.complete(kind, killedAt: nil)
                        }
                        hasDied = try await deployment.complete(
                            .complete(confirm: DeploymentShape.migration), killedAt: entry)
                    }
                    #expect(try await deployment.phase() == .completed)
                }
                entry += 1
                try #require(entry < 50)
            }
            #expect(entry > 4)
        }
    }
}

extension Deployment {
    /// Runs an operation to its end, with a coordinator that dies at one of its journal entries and is started again; when
    /// it comes out undone, runs it again without a death.
    /// - Returns: whether it died, that is, whether there was such an entry.
    func complete(_ kind: OperationKind, killedAt entry: Int?) async throws -> Bool {
        let before = try await control.status()
        let last = try await lastOperation()
        var id = last + 1
        do {
            id = try await start(kind, killAt: entry).id
        } catch ControlClientError.unreachable where entry != nil {
            // It died before it could answer.
        }
        let coordinator = try self["coordinator"]
        let hasDied = try await eventually("\(kind.command) to end or the coordinator to die", within: .seconds(60)) {
            if coordinator.ended != nil { return true }
            return try await control.operation(id).outcome == nil ? nil : false
        }
        if hasDied {
            try #require(coordinator.ended == .signaled(SIGKILL))
            try startCoordinator()
            _ = try await eventually("the coordinator to be back") { try await control.status() }
        }
        let status = try await control.follow(id)
        let outcome = try #require(status.outcome)
        switch outcome.code {
        case .done: break
        case .refused, .timedOut, .rolledBack:
            // Cleanly undone, and the way is free.
            try #require(hasDied, "\(kind.command): \(outcome.message)")
            let after = try await phase()
            try #require(after == before.phase, "\(kind.command) killed at \(entry ?? 0): \(outcome.message)")
            _ = try await complete(kind, killedAt: nil)
        case .failed, .invalid, .locked, .needsRepair:
            throw IntegrationFailure("\(kind.command) killed at \(entry ?? 0): \(outcome)")
        }
        return hasDied
    }

    private func lastOperation() async throws -> Int64 {
        var last: Int64 = 0
        var after: Int64 = 0
        while true {
            let entries = try await control.journal(after: after, limit: 1000).entries
            guard let end = entries.last else { return last }
            last = entries.compactMap(\.operation).reduce(last, max)
            after = end.sequence
        }
    }
}
