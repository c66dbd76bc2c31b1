import Foundation
import Testing

@Suite("Commands against a coordinator")
struct CoordinatorBinaryTests {
    /// Without a proxy, so that gates refuse; the instance's port has nothing.
    private func withCoordinator(
        _ body: (_ run: ([String]) throws -> Binary.Result) throws -> Void
    ) throws -> Int32 {
        let port = Binary.freePort()
        let yaml = """
            admin: 127.0.0.1:\(port)
            instances: [{ name: web-1, url: "http://127.0.0.1:9" }]
            migration: { name: shop }
            log: { level: error }
            """
        var code: Int32 = -1
        try withFolder(["unstick.yaml": yaml, "bridge.key": String(repeating: "k", count: 48)]) { folder in
            let process = Binary.process(["coordinator", "--config", "unstick.yaml"], in: folder)
            let output = Pipe()
            process.standardOutput = output
            process.standardError = FileHandle.nullDevice
            try process.run()
            defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
            // The first thing it prints is that it is ready.
            let ready = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
            #expect(ready == "unstick coordinator: admin http://127.0.0.1:\(port), phase sticky\n")
            try body { arguments in
                try Binary.run(
                    arguments, in: folder, environment: ["UNSTICK_COORDINATOR": "http://127.0.0.1:\(port)"])
            }
            process.terminate()
            process.waitUntilExit()
            code = process.terminationStatus
        }
        return code
    }

    @Test("each kind of refusal has its exit code, gates are listed, and SIGTERM ends the process with 0")
    func refusals() throws {
        let code = try withCoordinator { run in
            let refused = try run(["mirror"])
            #expect(refused.code == 3)
            #expect(refused.output.isEmpty)
            #expect(refused.errors.contains("  ? proxies-alive"))
            #expect(refused.errors.contains("demanded: every registered proxy has reported within"))
            #expect(refused.errors.contains("remedy:   start a proxy"))

            let refusedJSON = try run(["mirror", "--dry-run", "-o", "json"])
            #expect(refusedJSON.code == 3)
            #expect(refusedJSON.output.contains(#""schema":"unstick.operation/v1""#))
            #expect(refusedJSON.output.contains(#""code":3"#))
            #expect(refusedJSON.output.split(separator: "\n").count == 1)

            let misplaced = try run(["externalize", "-o", "json"])
            #expect(misplaced.code == 3)
            #expect(misplaced.output.hasPrefix(#"{"code":3,"#) && misplaced.output.contains("unstick.error/v1"))

            let unknown = try run(["drain", "web-9"])
            #expect(unknown.code == 2 && unknown.errors.contains("known are web-1"))
            let stale = try run(["mirror", "--expected-epoch", "99"])
            #expect(stale.code == 5 && stale.errors.contains("the plan is stale"))
            let forget = try run(["proxies", "forget", "nobody"])
            #expect(forget.code == 2)
            let detached = try run(["mirror", "--no-wait"])
            #expect(detached.code == 0 && detached.output.contains("has begun; `unstick status` shows it"))
        }
        #expect(code == 0)
    }

    @Test("every look names its schema, and the text is for people")
    func looks() throws {
        let code = try withCoordinator { run in
            for (arguments, schema) in [
                (["status"], "unstick.status/v1"), (["gates"], "unstick.gates/v1"),
                (["instances"], "unstick.instances/v1"), (["proxies"], "unstick.proxies/v1"),
                (["journal"], "unstick.journal/v1"), (["sessions", "explain", "abc"], "unstick.session/v1"),
            ] {
                let json = try run(arguments + ["-o", "json"])
                #expect(json.code == 0 && json.output.contains("\"schema\":\"\(schema)\""), "\(arguments)")
                #expect(!json.output.contains("abc"))
                let text = try run(arguments)
                #expect(text.code == 0 && !text.output.isEmpty && text.errors.isEmpty, "\(arguments)")
                #expect(!text.output.contains("\u{1b}"), "no colour in a pipe")
            }
            let status = try run(["status"])
            #expect(status.output.hasPrefix("shop  epoch 1 · generation 0 · "))
            #expect(status.output.contains("[sticky] ── mirroring ── externalized ── stateless ─┃ completed"))
        }
        #expect(code == 0)
    }
}
