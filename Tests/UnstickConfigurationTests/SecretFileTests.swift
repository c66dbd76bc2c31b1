import Foundation
import Testing
import UnstickConfiguration

@Suite("Files on a real file system")
struct SecretFileTests {
    /// Runs the body in a folder of its own and removes it afterwards.
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("unstick-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.path)
    }

    private func write(_ text: String, to path: String, mode: Int) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    private func load(_ folder: String) -> [ConfigurationProblem] {
        do throws(ConfigurationErrors) {
            _ = try Configuration.load(path: folder + "/unstick.yaml")
            return []
        } catch {
            return error.problems
        }
    }

    @Test(
        "a secret that others can read, write or run is refused with its mode and the remedy",
        arguments: [0o604, 0o640, 0o602, 0o610, 0o777]
    )
    func openSecret(mode: Int) throws {
        try withFolder { folder in
            try write(oneInstance, to: folder + "/unstick.yaml", mode: 0o644)
            try write(String(repeating: "x", count: 32), to: folder + "/bridge.key", mode: mode)
            let found = load(folder)
            #expect(found.count == 1)
            #expect(found.first?.keyPath == "bridge.secret-file")
            #expect(found.first?.message.contains("mode 0\(String(mode, radix: 8))") == true)
            #expect(found.first?.suggestion == "run chmod 600 \(folder)/bridge.key")
        }
    }

    @Test("a secret of its owner alone is accepted", arguments: [0o600, 0o400])
    func closedSecret(mode: Int) throws {
        try withFolder { folder in
            try write(oneInstance, to: folder + "/unstick.yaml", mode: 0o644)
            try write(String(repeating: "x", count: 32) + "\n", to: folder + "/bridge.key", mode: mode)
            let configuration = try Configuration.load(path: folder + "/unstick.yaml")
            #expect(configuration.bridge.secretFile == folder + "/bridge.key")
            #expect(configuration.bridge.secret.bytes.count == 32)
        }
    }

    @Test("a secret of 31 bytes is refused, whatever line breaks follow it")
    func shortSecret() throws {
        try withFolder { folder in
            try write(oneInstance, to: folder + "/unstick.yaml", mode: 0o644)
            try write(String(repeating: "x", count: 31) + "\n\n", to: folder + "/bridge.key", mode: 0o600)
            let found = load(folder)
            #expect(found.map(\.keyPath) == ["bridge.secret-file"])
            #expect(found.first?.message == "'bridge.key' holds 31 bytes; expected at least 32")
            #expect(found.first?.description.contains("xxx") == false)
        }
    }

    @Test("a missing secret is named with its place and how to make one")
    func missingSecret() throws {
        try withFolder { folder in
            try write(oneInstance + "bridge: { secret-file: no.key }\n", to: folder + "/unstick.yaml", mode: 0o644)
            let found = load(folder)
            #expect(found.count == 1)
            #expect(found.first?.line == 2)
            #expect(found.first?.column == 24)
            #expect(found.first?.message.contains("'no.key' cannot be read at \(folder)/no.key: No such file") == true)
            #expect(found.first?.suggestion?.contains("openssl rand -hex 32 > \(folder)/no.key") == true)
        }
    }

    @Test("a folder in the secret's place is refused")
    func folderAsSecret() throws {
        try withFolder { folder in
            try write(oneInstance, to: folder + "/unstick.yaml", mode: 0o644)
            try FileManager.default.createDirectory(atPath: folder + "/bridge.key", withIntermediateDirectories: false)
            #expect(load(folder).first?.message.contains("not a regular file") == true)
        }
    }

    @Test("an API token must fit into a header")
    func tokenBytes() {
        let file = ConfigurationHost.FileContent(bytes: Array(repeating: 0x20, count: 32), mode: 0o600)
        let host = machine(files: ["bridge.key": .key, "t": file])
        let found = complaints(oneInstance + "admin-token-file: t\n", on: host)
        #expect(found.count == 1)
        #expect(found.first?.contains("unstick.yaml:2:19: admin-token-file: 't' holds something else") == true)
    }

    @Test("a configuration that is missing or is not text is one problem without a line")
    func unreadableConfiguration() throws {
        try withFolder { folder in
            let missing = load(folder)
            #expect(missing.map(\.line) == [0])
            #expect(missing.first?.description == "\(folder)/unstick.yaml: cannot be read: No such file or directory")
            try Data([0xff, 0xfe, 0xfd]).write(to: URL(fileURLWithPath: folder + "/unstick.yaml"))
            #expect(load(folder).map(\.message) == ["is not UTF-8 text"])
        }
    }
}
