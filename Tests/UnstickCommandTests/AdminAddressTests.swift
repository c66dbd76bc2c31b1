import Foundation
import Testing

/// The admin addresses of real processes.
@Suite("Metrics and readiness over HTTP", .timeLimit(.minutes(2)))
struct AdminAddressTests {
    private struct Answer {
        var status: Int
        var text: String
    }

    private static func get(_ url: String, _ options: [String] = []) throws -> Answer {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        process.arguments = ["-s", "-m", "10", "-w", "\n%{http_code}"] + options + [url]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let end = try #require(text.lastIndex(of: "\n"))
        return Answer(status: Int(text[text.index(after: end)...]) ?? 0, text: String(text[..<end]))
    }

    private static func promtool(_ text: String) throws -> String {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("metrics-\(UUID().uuidString)")
        try Data(text.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/promtool")
        process.arguments = ["check", "metrics"]
        process.standardInput = try FileHandle(forReadingFrom: file)
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let answer = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return answer
    }

    /// Starts the binary and waits for its first line.
    private static func serve(
        _ command: String, _ yaml: String, files: [String: String] = [:], _ body: (_ folder: String) throws -> Void
    ) throws -> Int32 {
        var code: Int32 = -1
        var files = files
        files["unstick.yaml"] = yaml
        files["bridge.key"] = String(repeating: "k", count: 48)
        try withFolder(files) { folder in
            let process = Binary.process([command, "--config", "unstick.yaml"], in: folder)
            let output = Pipe()
            process.standardOutput = output
            process.standardError = FileHandle.nullDevice
            try process.run()
            defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
            #expect(!output.fileHandleForReading.availableData.isEmpty)
            try body(folder)
            // What reopens the access log must not end the process.
            kill(process.processIdentifier, SIGHUP)
            process.terminate()
            process.waitUntilExit()
            code = process.terminationStatus
        }
        return code
    }

    @Test("`unstick up` shows coordinator, proxy and process together, each family once")
    func up() throws {
        let (listen, admin) = (Binary.freePort(), Binary.freePort())
        let code = try Self.serve(
            "up",
            """
            listen: 127.0.0.1:\(listen)
            admin: 127.0.0.1:\(admin)
            instances: [{ name: web-1, url: "http://127.0.0.1:9" }]
            log: { level: error }
            access-log: { to: access.log }
            tracing: { endpoint: "http://127.0.0.1:1" }
            """
        ) { folder in
            let metrics = try Self.get("http://127.0.0.1:\(admin)/metrics")
            #expect(metrics.status == 200)
            for line in [
                "unstick_phase 0", "unstick_proxy_phase 0", "unstick_proxies 1",
                #"unstick_proxy_requests_in_flight 0"#,
                #"unstick_proxy_upstream_requests_in_flight{instance="web-1"} 0"#,
            ] { #expect(metrics.text.contains("\n\(line)\n"), "\(line)") }
            #expect(metrics.text.contains("\nunstick_proxy_spans_exported_total 0\n"))
            #expect(metrics.text.contains("\nprocess_resident_memory_bytes "))
            let names = metrics.text.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }
            #expect(Set(names).count == names.count)
            #expect(try Self.promtool(metrics.text + "\n") == "")
            #expect(try Self.get("http://127.0.0.1:\(admin)/healthz").text == "ok\n")
            let ready = try Self.get("http://127.0.0.1:\(admin)/readyz")
            #expect([200, 503].contains(ready.status))
            #expect(FileManager.default.fileExists(atPath: folder + "/access.log"))
        }
        #expect(code == 0)
    }

    @Test("`unstick proxy` has an admin address of its own, with a token for what it shows")
    func proxy() throws {
        let (listen, admin) = (Binary.freePort(), Binary.freePort())
        let token = String(repeating: "t", count: 40)
        let code = try Self.serve(
            "proxy",
            """
            listen: 127.0.0.1:\(listen)
            instances: [{ name: web-1, url: "http://127.0.0.1:9" }]
            log: { level: error }
            health: { interval: 100ms, timeout: 50ms }
            admin-token-file: token
            proxy: { name: p1, coordinator: "http://127.0.0.1:1", admin: "127.0.0.1:\(admin)" }
            """, files: ["token": token]
        ) { _ in
            let address = "http://127.0.0.1:\(admin)"
            #expect(try Self.get("\(address)/metrics").status == 401)
            let metrics = try Self.get("\(address)/metrics", ["-H", "Authorization: Bearer \(token)"])
            #expect(metrics.status == 200)
            // It does not know the coordinator's table, and behaves as phase 0 with a store that has no generation.
            #expect(metrics.text.contains("unstick_proxy_info{name=\"p1\"} 1\n"))
            #expect(metrics.text.contains("\nunstick_proxy_epoch{state=\"acknowledged\"} 0\n"))
            #expect(try Self.promtool(metrics.text + "\n") == "")
            #expect(try Self.get("\(address)/healthz").text == "ok\n")
            #expect(try Self.get("\(address)/nothing").status == 404)
            #expect(try Self.get("\(address)/metrics", ["-X", "POST"]).status == 405)
            // Nothing answers at the instance: not ready, once the checks have said so three times.
            var ready = try Self.get("\(address)/readyz")
            let deadline = ContinuousClock.now + .seconds(10)
            while ready.status != 503, ContinuousClock.now < deadline { ready = try Self.get("\(address)/readyz") }
            #expect(ready.status == 503 && ready.text == "no instance is healthy\n")
        }
        #expect(code == 0)
    }

    @Test("without a token only this machine's names are answered")
    func rebinding() throws {
        let (listen, admin) = (Binary.freePort(), Binary.freePort())
        _ = try Self.serve(
            "proxy",
            """
            listen: 127.0.0.1:\(listen)
            instances: [{ name: web-1, url: "http://127.0.0.1:9" }]
            log: { level: error }
            proxy: { coordinator: "http://127.0.0.1:1", admin: "127.0.0.1:\(admin)" }
            """
        ) { _ in
            let own = try Self.get("http://127.0.0.1:\(admin)/metrics")
            let foreign = try Self.get("http://127.0.0.1:\(admin)/metrics", ["-H", "Host: evil.example"])
            #expect(own.status == 200 && foreign.status == 403)
        }
    }

    @Test("an access log that cannot be opened refuses the start, with its place")
    func accessLog() throws {
        try withFolder([
            "unstick.yaml": """
            instances: [{ name: web-1, url: "http://127.0.0.1:9" }]
            access-log: { to: nowhere/access.log }
            """, "bridge.key": String(repeating: "k", count: 48),
        ]) { folder in
            let result = try Binary.run(["up", "--config", "unstick.yaml"], in: folder)
            #expect(result.code == 1)
            #expect(result.errors.contains("access-log.to: the access log 'nowhere/access.log' cannot be opened"))
        }
    }
}
