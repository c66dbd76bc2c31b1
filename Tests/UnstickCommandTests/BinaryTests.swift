import Foundation
import Testing

private let key = String(repeating: "k", count: 48)
private let broken = """
    instances: [{ name: web-1, url: "htp://127.0.0.1:5001" }]
    session: { concurrency: serialize }
    ballance: random
    """

@Suite("The binary")
struct BinaryTests {
    @Test("check prints every problem like a compiler and exits with 2")
    func checkBroken() throws {
        try withFolder(["unstick.yaml": broken, "bridge.key": key]) { folder in
            let result = try Binary.run(["check", "unstick.yaml"], in: folder)
            let lines = result.output.split(separator: "\n")
            #expect(result.code == 2)
            #expect(lines.count == 3)
            #expect(lines[0].hasPrefix("unstick.yaml:1:"))
            #expect(lines[1].hasPrefix("unstick.yaml:2:25: session.concurrency: 'serialize' is not available yet"))
            #expect(lines[2].hasPrefix("unstick.yaml:3:1: "))
            #expect(result.errors == "unstick.yaml: 3 problems\n")
        }
    }

    @Test("check tells programs the same")
    func checkJSON() throws {
        try withFolder(["unstick.yaml": broken, "bridge.key": key]) { folder in
            let result = try Binary.run(["check", "unstick.yaml", "-o", "json"], in: folder)
            let report = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
            #expect(result.code == 2)
            #expect(report?["schema"] as? String == "unstick.check/v1")
            #expect(report?["ok"] as? Bool == false)
            #expect((report?["problems"] as? [[String: Any]])?.map { $0["line"] as? Int } == [1, 2, 3])
        }
    }

    @Test("a good configuration is summed up, and the secret is not shown")
    func checkGood() throws {
        let good = "instances: [{ name: web-1, url: \"http://127.0.0.1:5001\" }]\nmigration: { name: shop }\n"
        try withFolder(["unstick.yaml": good, "bridge.key": key]) { folder in
            let result = try Binary.run(["check", "unstick.yaml"], in: folder)
            #expect(result.code == 0)
            #expect(
                result.output
                    == "unstick.yaml: ok, listen 127.0.0.1:8080, admin 127.0.0.1:9090, instances web-1, "
                    + "store sqlite:unstick.db, migration shop\n")
            #expect(result.errors.isEmpty)
            let reference = try Binary.run(["check", "--reference"], in: folder)
            #expect(reference.code == 0 && reference.output.contains("| `listen` |"))
        }
    }

    @Test("a key that cannot be read ends the start, with its file")
    func missingKey() throws {
        let yaml = """
            listen: 127.0.0.1:\(Binary.freePort())
            admin: 127.0.0.1:\(Binary.freePort())
            instances: [{ name: web-1, url: "http://127.0.0.1:5001" }]
            store: { url: "memory:" }
            tls: { listen: "127.0.0.1:\(Binary.freePort())", certificates: [{ cert: a.pem, key: a.key }] }
            """
        try withFolder(["unstick.yaml": yaml, "bridge.key": key]) { folder in
            let result = try Binary.run(["up"], in: folder)
            #expect(result.code == 1)
            #expect(result.errors.contains("a.pem' cannot be read: No such file or directory\n"), "\(result)")
        }
    }

    /// Port 9 (discard) has no coordinator; the deadline keeps the test short where packets are dropped.
    private static let nowhere = "http://127.0.0.1:9"

    @Test("without a coordinator status exits with 8 and says where it looked")
    func unreachable() throws {
        try withFolder([:]) { folder in
            let option = try Binary.run(["status", "--coordinator", Self.nowhere, "--timeout", "5s"], in: folder)
            #expect(option.code == 8)
            #expect(option.output.isEmpty)
            #expect(option.errors.hasPrefix("coordinator http://127.0.0.1:9 cannot be reached: "))
            let variable = try Binary.run(
                ["mirror", "-o", "json"], in: folder, environment: ["UNSTICK_COORDINATOR": Self.nowhere])
            #expect(variable.code == 8)
            #expect(
                variable.output.hasPrefix(#"{"code":8,"message":"coordinator http://127.0.0.1:9 cannot be reached"#))
            #expect(variable.output.hasSuffix(#""schema":"unstick.error/v1"}"# + "\n"))
        }
    }

    @Test("complete needs the name where nobody can be asked, whatever --yes says")
    func complete() throws {
        try withFolder([:]) { folder in
            for arguments in [["complete"], ["complete", "--yes"]] {
                let result = try Binary.run(arguments + ["--coordinator", Self.nowhere], in: folder)
                #expect(result.code == 2)
                #expect(result.errors.contains("--confirm NAME"))
            }
            let confirmed = try Binary.run(["complete", "--confirm", "x", "--coordinator", Self.nowhere], in: folder)
            #expect(confirmed.code == 8)
        }
    }

    @Test("what cannot be started says why, with the configuration's key")
    func starting() throws {
        let instances = "instances: [{ name: web-1, url: \"http://127.0.0.1:5001\" }]\n"
        let files = [
            "bridge.key": key, "store.yaml": instances + "store: { url: \"sqlite:nowhere/unstick.db\" }\n",
            "journal.yaml": instances + "coordinator: { journal: nowhere/journal.db }\n",
            "corrupt.yaml": instances + "store: { url: \"sqlite:corrupt.db\" }\n",
            "corrupt.db": String(repeating: "this is not a database ", count: 100),
        ]
        try withFolder(files) { folder in
            let missing = try Binary.run(["up", "--config", "missing.yaml"], in: folder)
            #expect(missing.code == 2)
            #expect(missing.errors == "missing.yaml: cannot be read: No such file or directory\n")
            for (name, beginning) in [
                ("store.yaml", "store.url: the store cannot be opened: nowhere/unstick.db: "),
                ("journal.yaml", "coordinator.journal: cannot create nowhere/journal.db.lock: "),
                ("corrupt.yaml", "store.url: the store cannot be opened: corrupt.db: "),
            ] {
                let result = try Binary.run(["up", "--config", name], in: folder)
                #expect(result.code == 1)
                #expect(result.errors.hasPrefix(beginning), "\(result.errors)")
            }
        }
    }

    @Test("help and version are answers")
    func help() throws {
        try withFolder([:]) { folder in
            let overview = try Binary.run(["--help"], in: folder)
            #expect(overview.code == 0 && overview.output.contains("MIGRATION") && overview.errors.isEmpty)
            let one = try Binary.run(["switch", "--help"], in: folder)
            #expect(one.code == 0 && one.output.contains("--percent"))
            let version = try Binary.run(["--version"], in: folder)
            #expect(version.code == 0 && !version.output.isEmpty && version.errors.isEmpty)
        }
    }
}
