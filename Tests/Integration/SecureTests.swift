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

        @Test(
            "nothing is lost with instances behind TLS, which proxy, health checks and coordinator reach",
            arguments: [nil, "app.test"])
        func instances(serverName: String?) async throws {
            var shape = DeploymentShape(.notes)
            shape.security.instances = true
            shape.security.serverName = serverName
            try await Deployment.with(shape) { deployment in
                try await deployment.underSoak { try await walk(deployment, $0) }
            }
        }

        @Test("a restart under load over HTTP/2 ends in time and loses nothing")
        func restart() async throws {
            var shape = DeploymentShape(.notes)
            shape.security.clients = .http2
            try await Deployment.with(shape) { deployment in
                // While nobody listens behind it, nghttpx answers 502 or closes.
                try await deployment.underSoak(mayFail: ["502", "503", "reset"]) { soak in
                    let old = try deployment["up"]
                    old.send(SIGTERM)
                    let end = try await old.awaitEnd(within: .seconds(10))
                    #expect(end == .exited(0))
                    try deployment.startUp()
                    try await deployment.awaitReady()
                    try await moreTraffic(soak, each: 3)
                }
            }
        }
    }
}
