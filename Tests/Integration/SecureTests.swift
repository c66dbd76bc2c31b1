import ControlAPI
import Foundation
import Testing
import UnstickCore
import UnstickSoak

extension Integration {
    @Suite("TLS and HTTP/2")
    struct Secure {
        /// Every phase, with other certificates in the middle.
        private func walk(_ deployment: Deployment, _ soak: SoakRun) async throws {
            func step(_ words: String...) async throws {
                soak.beginStage(words.joined(separator: " "))
                let result = try await deployment.run(words)
                try #require(result.exitCode == 0, "\(result.line): \(result.errors)")
            }
            try await step("mirror")
            try await step("externalize")
            if deployment.shape.security.clients != .plain {
                soak.beginStage("reload")
                try await deployment.replaceCertificate()
                try deployment["up"].send(SIGHUP)
                try await moreTraffic(soak, each: 3)
            }
            try await step("switch", "--percent", "50")
            try await step("switch", "--percent", "100")
            try await step("rollback")
            try await step("switch", "--percent", "100")
            try await step("complete", "--confirm", DeploymentShape.migration)
            try await moreTraffic(soak, each: 3)
            #expect(try await deployment.phase() == .completed)
        }

        @Test(
            "nothing is lost through TLS and HTTP/2, with other certificates on the way",
            arguments: [DeploymentShape.Security.Clients.tls, .http2])
        func clients(_ clients: DeploymentShape.Security.Clients) async throws {
            var shape = DeploymentShape(.notes)
            shape.security.clients = clients
            try await Deployment.with(shape) { deployment in
                try await deployment.underSoak { try await walk(deployment, $0) }
            }
        }

        @Test("nothing is lost with instances behind TLS, which proxy, health checks and coordinator reach")
        func instances() async throws {
            var shape = DeploymentShape(.notes)
            shape.security.instances = true
            try await Deployment.with(shape) { deployment in
                try await deployment.underSoak { try await walk(deployment, $0) }
            }
        }

        @Test("a graceful stop under load over HTTP/2 ends in time")
        func stop() async throws {
            var shape = DeploymentShape(.notes)
            shape.security.clients = .tls
            try await Deployment.with(shape) { deployment in
                try await deployment.underSoak(mayFail: ["connect", "reset"]) { soak in
                    try await moreTraffic(soak, each: 2)
                }
                try deployment["up"].send(SIGTERM)
                let end = try await deployment["up"].awaitEnd(within: .seconds(10))
                #expect(end == .exited(0))
            }
        }
    }
}
