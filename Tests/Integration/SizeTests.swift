import ControlAPI
import ControlClient
import Testing
import UnstickCore

extension Integration {
    @Suite("Size")
    struct Size {
        @Test("a session of 1 MiB goes through every phase and back, unharmed")
        func largeSession() async throws {
            try await Deployment.with(DeploymentShape(.laboratory)) { deployment in
                var visitor = try await deployment.visit(1)[0]
                let fill = try await visitor.post("/fill?bytes=1048576")
                try #require(fill.status == 200)
                var digest = fill.body
                for words in [
                    ["mirror"], ["externalize"], ["switch", "--percent", "50"], ["switch", "--percent", "100"],
                    ["rollback"], ["rollback", "--to", "mirroring"], ["cancel"], ["mirror"], ["externalize"],
                    ["switch", "--percent", "100"], ["complete", "--confirm", DeploymentShape.migration],
                ] {
                    let result = try await deployment.run(words)
                    try #require(result.exitCode == 0, "\(result.line): \(result.errors)")
                    for _ in 0..<3 { #expect(try await visitor.get("/digest").body == digest, "after \(words)") }
                    let refill = try await visitor.post("/fill?bytes=1048576")
                    #expect(refill.status == 200)
                    #expect(refill.body != digest)
                    digest = refill.body
                    for _ in 0..<3 { #expect(try await visitor.get("/digest").body == digest, "after \(words)") }
                }
                #expect(try await visitor.get("/value").body == "1")
            }
        }

        @Test("10,000 sessions are verified and externalized, and each is found afterwards")
        func manySessions() async throws {
            try await Deployment.with(DeploymentShape(.laboratory)) { deployment in
                // Through the proxy, over many connections; the others as if they had been there before the proxy.
                var ids = try await withThrowingTaskGroup(of: [Browser].self) { tasks in
                    for _ in 0..<50 { tasks.addTask { try await deployment.visit(20) } }
                    return try await tasks.reduce(into: []) { $0 += $1 }
                }.map { (id: $0.cookies["session"], value: "1") }
                for port in deployment.instancePorts {
                    var instance = Browser("http://127.0.0.1:\(port)")
                    let answer = try await instance.post("/seed?count=4500")
                    try #require(answer.status == 200)
                    ids += answer.body.split(separator: "\n").enumerated().map { ("\($1)", "\($0)") }
                }
                try #require(ids.count == 10_000)
                try await deployment.succeed("mirror")
                try await deployment.succeed("externalize")
                let coverage = try #require(try await deployment.control.status().coverage)
                #expect(coverage.sessions == 10_000)
                #expect(coverage.externalized == 10_000)
                try await deployment.succeed("switch", "--percent", "100")
                for (id, value) in ids.shuffled().prefix(200) {
                    var visitor = Browser(deployment.address)
                    visitor.cookies["session"] = id
                    let answer = try await visitor.get("/value")
                    try #require(answer.status == 200)
                    try #require(answer.body == value)
                }
            }
        }
    }
}
