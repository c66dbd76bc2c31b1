import ControlAPI
import ControlClient
import Foundation
import Testing

extension Integration {
    @Suite("Stopping")
    struct Stopping {
        @Test("SIGTERM lets a slow request finish and refuses new connections meanwhile")
        func gracefulStop() async throws {
            try await Deployment.with(DeploymentShape(.laboratory)) { deployment in
                var visitor = try await deployment.visit(1)[0]
                let slow = Task { try await visitor.get("/slow?seconds=4") }
                _ = try await eventually("the request to be in flight") {
                    try await deployment.control.status().instances.contains { $0.inFlight == 1 } ? true : nil
                }
                let up = try deployment["up"]
                up.send(SIGTERM)
                _ = try await eventually("new connections to be refused", within: .seconds(3)) {
                    try Ports.refuses(deployment.proxyPorts[0]) ? true : nil
                }
                #expect(up.ended == nil)
                let answer = try await slow.value
                #expect(answer.status == 200)
                #expect(answer.body == "slow")
                #expect(try await up.awaitEnd(within: .seconds(10)) == .exited(0))
            }
        }
    }
}
