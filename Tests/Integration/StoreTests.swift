import ControlAPI
import ControlClient
import Foundation
import NIOHTTP1
import Testing
import UnstickCore
import UnstickSoak

extension Integration {
    @Suite("The store fails")
    struct StoreFailure {
        @Test("away in mirroring: the application serves on, the gates are red, and well when it is back")
        func awayInMirroring() async throws {
            try await Deployment.with(DeploymentShape(.notes)) { deployment in
                var visitors = try await deployment.visit(4)
                try await deployment.succeed("mirror")
                try await deployment.awaitCoverage()
                try deployment.moveStore(away: true)
                for index in visitors.indices {
                    let answer = try await visitors[index].post("/increment")
                    #expect(answer.status == 200)
                    #expect(answer.body == "2")
                }
                // A session that begins now is in memory only.
                visitors += try await deployment.visit(1)
                #expect(try await visitors[4].post("/increment").body == "2")
                _ = try await eventually("dirty sessions to be reported") {
                    try await deployment.control.proxies().proxies.first { $0.report.dirtySessions > 0 }
                }
                let message = try await deployment.refuse("externalize")
                #expect(message.contains("store-reachable"))
                #expect(message.contains("unstick.db"))
                // Whether each home has all of its sessions is not known without the store.
                #expect(try await deployment.refuse("cancel").contains("store-reachable"))

                try deployment.moveStore(away: false)
                _ = try await eventually("dirty sessions to be repaired") {
                    try await deployment.control.proxies().proxies.allSatisfy { $0.report.dirtySessions == 0 }
                        ? true : nil
                }
                for words in [["externalize"], ["switch", "--percent", "100"]] {
                    let result = try await deployment.run(words)
                    try #require(result.exitCode == 0, "\(result.line): \(result.errors)")
                    for index in visitors.indices { #expect(try await visitors[index].get("/value").body == "2") }
                }
            }
        }

        @Test(
            "away in externalized and stateless: 503 with Retry-After, never a stale answer, and well when it is back")
        func awayLater() async throws {
            try await Deployment.with(DeploymentShape(.notes)) { deployment in
                try await deployment.underSoak(mayFail: ["503"]) { soak in
                    try await deployment.succeed("mirror")
                    try await deployment.succeed("externalize")
                    var visitor = try await deployment.visit(1)[0]
                    for phase in [Phase.externalized, .stateless] {
                        soak.beginStage("\(phase)")
                        if phase == .stateless { try await deployment.succeed("switch", "--percent", "100") }
                        try deployment.moveStore(away: true)
                        for _ in 0..<4 {
                            let answer = try await visitor.get("/value")
                            #expect(answer.status == 503)
                            #expect(answer.headers.first(name: "Retry-After").flatMap { Int($0) } ?? 0 > 0)
                        }
                        try deployment.moveStore(away: false)
                        _ = try await eventually("the store to be back") {
                            try await visitor.get("/value").status == 200 ? true : nil
                        }
                        #expect(try await visitor.get("/value").body == "1")
                        try await moreTraffic(soak)
                    }
                }
            }
        }

        @Test("a full disk: mirroring serves on and recovers, externalized answers 503, and nothing is lost")
        func fullDisk() async throws {
            var shape = DeploymentShape(.notes)
            shape.store = "sqlite:disk/unstick.db"
            shape.allowances = ["--allow-volatile-store"]
            try await Deployment.with(shape, prepare: { try await $0.mount("disk", "size=4m") }) { deployment in
                try await deployment.underSoak(mayFail: ["503"]) { soak in
                    try await deployment.succeed("mirror")
                    try await deployment.awaitCoverage()
                    soak.beginStage("full in mirroring")
                    try deployment.fillDisk()
                    _ = try await eventually("dirty sessions to be reported") {
                        try await deployment.control.proxies().proxies.first { $0.report.dirtySessions > 0 }
                    }
                    #expect(soak.snapshot().errors == [:])
                    try await deployment.refuse("externalize")
                    try deployment.emptyDisk()
                    _ = try await eventually("dirty sessions to be repaired") {
                        try await deployment.control.proxies().proxies.allSatisfy { $0.report.dirtySessions == 0 }
                            ? true : nil
                    }
                    try await deployment.succeed("externalize")

                    soak.beginStage("full in externalized")
                    try deployment.fillDisk()
                    let errors = soak.snapshot().errors["503", default: 0]
                    _ = try await eventually("requests to be refused") {
                        soak.snapshot().errors["503", default: 0] > errors + 5 ? true : nil
                    }
                    try deployment.emptyDisk()
                    try await moreTraffic(soak)
                    try await deployment.succeed("switch", "--percent", "100")
                }
            }
        }

        @Test("a logout that a full disk did not take stays a logout, on every connection and afterwards")
        func logoutWhileFull() async throws {
            var shape = DeploymentShape(.notes)
            shape.store = "sqlite:disk/unstick.db"
            shape.allowances = ["--allow-volatile-store"]
            try await Deployment.with(shape, prepare: { try await $0.mount("disk", "size=4m") }) { deployment in
                var visitors = try await deployment.visit(8)
                try await deployment.succeed("mirror")
                try await deployment.awaitCoverage()
                try deployment.fillDisk()
                let before = visitors
                for index in visitors.indices { #expect(try await visitors[index].post("/logout").status == 200) }
                func stayOut(_ when: String) async throws {
                    try await withThrowingTaskGroup(of: String.self) { tasks in
                        for visitor in before + before {
                            tasks.addTask {
                                var ghost = visitor
                                return try await ghost.get("/value").body
                            }
                        }
                        for try await value in tasks { #expect(value == "0", "\(when)") }
                    }
                }
                try await stayOut("while the disk is full")
                try deployment.emptyDisk()
                _ = try await eventually("the tombstones to be saved") {
                    try await deployment.control.proxies().proxies.allSatisfy { $0.report.dirtySessions == 0 }
                        ? true : nil
                }
                try await stayOut("in mirroring")
                try await deployment.succeed("externalize")
                try await stayOut("in externalized")
            }
        }

        @Test("a store that cannot be written is refused at the start, with its path and the reason")
        func unwritable() async throws {
            try await Deployment.with(DeploymentShape(.notes)) { deployment in
                try await deployment.mount("frozen", "ro")
                for (store, reason) in [
                    ("sqlite:frozen/unstick.db", "Read-only file system"),
                    ("sqlite:missing/unstick.db", "No such file"),
                ] {
                    let path = "\(deployment.folder)/other.yaml"
                    let text = try String(contentsOfFile: deployment.configurationPath, encoding: .utf8)
                        .replacing("sqlite:unstick.db", with: store)
                        .replacing(
                            "listen: 127.0.0.1:\(deployment.proxyPorts[0])",
                            with: "listen: 127.0.0.1:\(try Ports.free())"
                        )
                        .replacing(
                            "admin: 127.0.0.1:\(deployment.adminPort)", with: "admin: 127.0.0.1:\(try Ports.free())")
                    try deployment.write(text, to: "other.yaml")
                    let process = try deployment.launch(
                        "other", deployment.installation.unstick, ["up", "--config", path])
                    #expect(try await process.awaitEnd(within: .seconds(10)) == .exited(1))
                    let said = process.lastLines()
                    #expect(said.contains(String(store.dropFirst("sqlite:".count))))
                    #expect(said.contains(reason))
                }
            }
        }
    }
}

extension Deployment {
    private var storeFiles: [String] { ["", "-wal", "-shm"].map { "\(folder)/unstick.db\($0)" } }

    /// To the processes it is deleted; and it can come back.
    func moveStore(away: Bool) throws {
        for path in storeFiles {
            let (from, to) = away ? (path, path + ".away") : (path + ".away", path)
            if FileManager.default.fileExists(atPath: from) {
                try FileManager.default.moveItem(atPath: from, toPath: to)
            }
        }
    }

    /// A file system of its own, in memory; unmounted when the deployment ends. Needs root.
    func mount(_ name: String, _ options: String) async throws {
        let path = "\(folder)/\(name)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        let process = try ChildProcess(
            name: "mount", "/bin/mount", ["-t", "tmpfs", "-o", options, "unstick-test", path],
            environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"], output: "\(folder)/mount.log")
        let end = try await process.awaitEnd(within: .seconds(10))
        guard end == .exited(0) else {
            throw IntegrationFailure("this test mounts a small file system, which needs root: \(process.lastLines())")
        }
        unmountLater(path)
    }

    private var ballast: String { "\(folder)/disk/ballast" }

    func fillDisk() throws {
        let descriptor = open(ballast, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        guard descriptor >= 0 else { throw IntegrationFailure("\(ballast): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        for size in [65536, 4096, 1] {
            let block = [UInt8](repeating: 0x20, count: size)
            while Foundation.write(descriptor, block, size) == size {}
        }
        guard errno == ENOSPC else { throw IntegrationFailure("\(ballast): \(String(cString: strerror(errno)))") }
    }

    func emptyDisk() throws { try FileManager.default.removeItem(atPath: ballast) }
}
