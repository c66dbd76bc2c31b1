import ControlAPI
import ControlClient
import Testing
import UnstickCore

extension Deployment {
    /// Makes sessions with a counter of 1.
    @discardableResult
    func visit(_ count: Int) async throws -> [Browser] {
        var visitors: [Browser] = []
        for _ in 0..<count {
            var visitor = Browser(address)
            let answer = try await visitor.post("/increment")
            try #require(answer.status == 200 && answer.body == "1", "\(answer)")
            visitors.append(visitor)
        }
        return visitors
    }

    /// Until deaths are covered: every session is in the store, and the coordinator has told everybody.
    func awaitCoverage() async throws {
        _ = try await eventually("every session to be covered") {
            let table = try await control.table(newerThan: nil, patience: .zero)
            let status = try await control.status()
            return table?.hydrates == true && status.settled && status.operation == nil ? true : nil
        }
    }

    func pauseAutomation(_ paused: Bool) async throws {
        let status = try await control.setAutomation(paused: paused, by: Self.operatorName)
        try #require(status.paused == paused)
    }
}
