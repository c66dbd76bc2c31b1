import ControlAPI
import ControlClient
import Foundation
import Testing
import UnstickCore

extension Integration {
    /// What must refuse, refuses: exit 3, same epoch, same phase, and a message that says what is missing and what to do.
    @Suite("Gates refuse")
    struct GateRefusals {
        @Test("externalize refuses while an instance does not answer, and names it")
        func unreachableInstance() async throws {
            try await Deployment.with(DeploymentShape(.notes)) { deployment in
                try await deployment.visit(4)
                try await deployment.succeed("mirror")
                try await deployment.awaitCoverage()
                // Otherwise the instance is fenced meanwhile, which is another story.
                try await deployment.pauseAutomation(true)
                try deployment["web-2"].send(SIGSTOP)
                let message = try await deployment.refuse("externalize")
                #expect(message.contains("web-2"))
                #expect(message.contains("bridge"))
                try deployment["web-2"].send(SIGCONT)
                try await deployment.succeed("externalize")
            }
        }

        @Test("externalize refuses while a proxy is silent, names it, and says how to forget it")
        func silentProxy() async throws {
            var shape = DeploymentShape(.notes)
            shape.proxies = 2
            try await Deployment.with(shape) { deployment in
                try await deployment.visit(4)
                try await deployment.succeed("mirror")
                try await deployment.awaitCoverage()
                try await deployment.pauseAutomation(true)
                try deployment["proxy-2"].send(SIGSTOP)
                _ = try await eventually("proxy-2 to be missed") {
                    try await deployment.control.proxies().proxies.first { $0.report.name == "proxy-2" && !$0.isAlive }
                }
                let message = try await deployment.refuse("externalize")
                #expect(message.contains("proxy-2"))
                #expect(message.contains("proxies forget proxy-2"))
                try deployment["proxy-2"].send(SIGCONT)
                try await deployment.succeed("externalize")
            }
        }

        @Test("externalize refuses while an attribute cannot be serialized, and names the attribute")
        func unserializableAttribute() async throws {
            try await Deployment.with(DeploymentShape(.laboratory)) { deployment in
                try await deployment.visit(4)
                var visitor = Browser(deployment.address)
                #expect(try await visitor.post("/unserializable").status == 200)
                try await deployment.succeed("mirror")
                let message = try await deployment.refuse("externalize")
                #expect(message.contains("pair"))
                #expect(message.contains("1 of 5"))
                #expect(!message.contains(try #require(visitor.cookies["session"])))
                #expect(try await visitor.post("/serializable").status == 200)
                try await deployment.succeed("externalize")
            }
        }

        @Test("rollback to mirroring refuses while a home lacks sessions and does not take them, and names it")
        func homeRefuses() async throws {
            let flag = FileManager.default.temporaryDirectory.path + "/refuse-import-\(UUID().uuidString)"
            defer { try? FileManager.default.removeItem(atPath: flag) }
            var shape = DeploymentShape(.laboratory)
            shape.environment["web-1"] = ["LABORATORY_REFUSE_IMPORT": flag]
            try await Deployment.with(shape) { deployment in
                var visitors = try await deployment.visit(8)
                try await deployment.succeed("mirror")
                try await deployment.succeed("externalize")
                // Otherwise the sessions get another home.
                try await deployment.pauseAutomation(true)
                try await deployment.killHard("web-1")
                try deployment.startInstance("web-1")
                try await deployment.awaitInstance("web-1")
                try await deployment.awaitReady()
                #expect(FileManager.default.createFile(atPath: flag, contents: nil))
                let refusal = try await deployment.refuse("rollback", "--to", "mirroring")
                #expect(refusal.contains("web-1"))
                #expect(refusal.contains("413"))
                try FileManager.default.removeItem(atPath: flag)

                try deployment["web-1"].send(SIGSTOP)
                let silence = try await deployment.refuse("rollback", "--to", "mirroring")
                #expect(silence.contains("web-1"))
                try deployment["web-1"].send(SIGCONT)
                try await deployment.awaitReady()
                try await deployment.succeed("rollback", "--to", "mirroring")
                for index in visitors.indices { #expect(try await visitors[index].get("/value").body == "1") }
            }
        }

        @Test("mirror refuses while an instance has another bridge secret, and says which")
        func wrongSecret() async throws {
            let key = FileManager.default.temporaryDirectory.path + "/other-\(UUID().uuidString).key"
            defer { try? FileManager.default.removeItem(atPath: key) }
            let other = Data("another secret that is long enough 0123456789".utf8)
            #expect(
                FileManager.default.createFile(atPath: key, contents: other, attributes: [.posixPermissions: 0o600]))
            var shape = DeploymentShape(.notes)
            shape.environment["web-2"] = ["UNSTICK_SECRET_FILE": key]
            try await Deployment.with(shape) { deployment in
                let message = try await deployment.refuse("mirror")
                #expect(message.contains("web-2"))
                #expect(!message.contains("web-1:"))
                #expect(message.contains("key"))
            }
        }
    }
}
