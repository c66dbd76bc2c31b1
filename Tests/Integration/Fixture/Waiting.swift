/// Why a test cannot go on.
struct IntegrationFailure: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// Asks again until there is an answer.
/// - Throws: ``IntegrationFailure`` at the deadline, with the last error that `ask` threw; or at once, when `ask` throws
///   one, because there is no hope.
func eventually<Value>(
    _ what: String, within patience: Duration = .seconds(30), every pause: Duration = .milliseconds(50),
    _ ask: () async throws -> Value?
) async throws -> Value {
    let clock = ContinuousClock()
    let deadline = clock.now + patience
    var problem: (any Error)?
    while true {
        do {
            if let value = try await ask() { return value }
            problem = nil
        } catch let failure as IntegrationFailure {
            throw failure
        } catch {
            problem = error
        }
        guard clock.now < deadline, !Task.isCancelled else {
            throw IntegrationFailure("\(what): not within \(patience)" + (problem.map { "; last: \($0)" } ?? ""))
        }
        try await clock.sleep(for: pause)
    }
}
