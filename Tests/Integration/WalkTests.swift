import ControlAPI
import ControlClient
import Testing
import UnstickCore
import UnstickSoak

extension Integration {
    @Suite("The walk")
    struct Walk {
        @Test("nothing is lost from mirror to complete, with a kill, a drain and rollbacks on the way")
        func wholeWalk() async throws {
            var shape = DeploymentShape(.notes)
            shape.instances = 3
            try await Deployment.with(shape) { deployment in
                // The instance that is killed takes its connections with it.
                try await deployment.underSoak(mayFail: ["502", "503", "504"]) { soak in
                    func step(_ words: String...) async throws {
                        soak.beginStage(words.joined(separator: " "))
                        let result = try await deployment.run(words)
                        try #require(result.exitCode == 0, "\(result.line): \(result.errors)")
                    }
                    try await step("mirror")
                    try await step("verify")
                    try await step("externalize")
                    try await step("switch", "--percent", "1")
                    try await step("switch", "--percent", "25")
                    try await step("switch", "--percent", "100")

                    soak.beginStage("kill -9 web-1")
                    try await deployment.killHard("web-1")
                    try await deployment.await("web-1", .fenced)
                    soak.beginStage("restart web-1")
                    try deployment.startInstance("web-1")
                    try await deployment.awaitInstance("web-1")
                    try await deployment.await("web-1", .active)

                    try await step("drain", "web-2")
                    try await step("rollback")
                    try await step("rollback", "--to", "mirroring")
                    try await step("undrain", "web-2")
                    try await step("externalize")
                    try await step("switch", "--percent", "100")
                    try await step("complete", "--confirm", DeploymentShape.migration)
                    soak.beginStage("completed")
                    try await moreTraffic(soak)
                }
                #expect(try await deployment.phase() == .completed)
            }
        }

        @Test("two proxies walk forward, back to sticky and forward again, with every client at both")
        func splitWalk() async throws {
            var shape = DeploymentShape(.notes)
            shape.proxies = 2
            try await Deployment.with(shape) { deployment in
                try await deployment.underSoak { soak in
                    func step(_ words: String...) async throws {
                        soak.beginStage(words.joined(separator: " "))
                        let result = try await deployment.run(words)
                        try #require(result.exitCode == 0, "\(result.line): \(result.errors)")
                    }
                    try await step("mirror")
                    let first = try await deployment.control.status().generation
                    try await step("externalize")
                    try await step("switch", "--percent", "50")
                    try await step("switch", "--percent", "100")
                    try await step("rollback")
                    try await step("rollback", "--to", "mirroring")
                    try await step("externalize")
                    try await step("switch", "--percent", "100")
                    try await step("cancel")
                    #expect(try await deployment.phase() == .sticky)
                    try await moreTraffic(soak)
                    try await step("mirror")
                    #expect(try await deployment.control.status().generation > first)
                    try await step("externalize")
                    try await step("switch", "--percent", "100")
                    try await moreTraffic(soak)
                }
            }
        }
    }
}

/// Waits until every client has had a few more answers.
func moreTraffic(_ soak: SoakRun, each: Int = 5) async throws {
    let before = soak.snapshot().succeeded
    _ = try await eventually("more traffic") {
        soak.snapshot().succeeded >= before + each * soak.options.clients ? true : nil
    }
}
