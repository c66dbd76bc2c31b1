import Logging
import Synchronization
import Testing

@testable import unstick

/// A part that serves until it is stopped, and writes down what happens to it.
private final class Script: Sendable {
    private let lines = Mutex<[String]>([])

    var log: [String] { lines.withLock { $0 } }

    func note(_ line: String) { lines.withLock { $0.append(line) } }

    /// - Parameter failure: thrown at once instead of serving.
    func part(_ name: String, isAsked: Bool, failure: CommandFailure? = nil) -> Serving.Part {
        let (stream, end) = AsyncStream<Void>.makeStream()
        let stop: @Sendable () -> Void = {
            self.note("\(name) asked")
            end.finish()
        }
        let run: @Sendable (@escaping @Sendable () -> Void) async throws -> Void = { ready in
            if let failure { throw failure }
            ready()
            for await _ in stream {}
            self.note("\(name) ended\(Task.isCancelled ? ", cancelled" : "")")
        }
        return Serving.Part(name: name, address: nil, run: run, stop: isAsked ? stop : nil)
    }
}

@Suite("Serving")
struct ServingTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test("the first failure stops the others in order, then cancels the rest, and is the result")
    func failure() async {
        let script = Script()
        let serving = Serving(
            parts: [
                script.part("listen", isAsked: true), script.part("admin", isAsked: true),
                script.part("coordinator", isAsked: false),
                script.part("broken", isAsked: false, failure: CommandFailure(.failed, "no port")),
            ], logger: logger)
        await #expect {
            try await serving.run { script.note("ready") }
        } throws: {
            ($0 as? CommandFailure)?.message == "no port"
        }
        #expect(
            script.log == [
                "listen asked", "listen ended", "admin asked", "admin ended", "coordinator ended, cancelled",
            ])
    }

    @Test("it is ready once, when every part is; a part that ends by itself is a failure")
    func readiness() async {
        let script = Script()
        let (gate, open) = AsyncStream<Void>.makeStream()
        let slow = Serving.Part(
            name: "slow", address: nil,
            run: { ready in
                script.note("slow ready")
                ready()
                ready()
                for await _ in gate {}
            }, stop: nil)
        let serving = Serving(parts: [script.part("listen", isAsked: true), slow], logger: logger)
        await #expect {
            try await serving.run {
                script.note("ready")
                open.finish()
            }
        } throws: {
            ($0 as? CommandFailure)?.message == "slow has ended by itself"
        }
        #expect(script.log == ["slow ready", "ready", "listen asked", "listen ended"])
    }
}
