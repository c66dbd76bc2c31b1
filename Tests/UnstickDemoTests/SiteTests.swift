import Foundation
import Testing

@testable import UnstickDemo

@Suite("Folder, processes and pages")
struct SiteTests {
    @Test("folder, configuration and key are for the owner only, and gone at the end")
    func folder() async throws {
        let site = try DemoSite(options: DemoOptions(executable: "/bin/true", python: "/bin/true", shop: "/"))
        func mode(_ path: String) throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        }
        #expect(try mode(site.folder) == 0o700)
        #expect(try mode(site.folder + "/bridge.key") == 0o600)
        let key = try String(contentsOfFile: site.folder + "/bridge.key", encoding: .utf8)
        #expect(key.count == 64)
        await site.end()
        #expect(!FileManager.default.fileExists(atPath: site.folder))
    }

    @Test("two demonstrations have two keys")
    func keys() async throws {
        let options = DemoOptions(executable: "/bin/true", python: "/bin/true", shop: "/")
        let (one, other) = (try DemoSite(options: options), try DemoSite(options: options))
        let keys = try [one, other].map { try String(contentsOfFile: $0.folder + "/bridge.key", encoding: .utf8) }
        #expect(keys[0] != keys[1])
        await one.end()
        await other.end()
    }

    @Test("free ports differ")
    func ports() throws {
        let ports = try DemoSite.freePorts(count: 8)
        #expect(Set(ports).count == 8)
        #expect(ports.allSatisfy { $0 > 1023 })
    }

    @Test("a process that ends by itself is a casualty, with its last lines; one that was ended is not")
    func casualty() async throws {
        let folder = NSTemporaryDirectory()
        let log = folder + "unstick-demo-test-\(UUID().uuidString).log"
        defer { try? FileManager.default.removeItem(atPath: log) }
        let dead = try DemoProcess(
            name: "dead", executable: "/bin/sh", arguments: ["-c", "echo why; exit 3"], environment: [:],
            folder: folder, log: log)
        #expect(await dead.hasEnded(within: .seconds(10)))
        #expect(dead.hasDied)
        #expect(dead.death == .died(process: "dead", status: "exit 3", log: "why"))

        let ended = try DemoProcess(
            name: "ended", executable: "/bin/sh", arguments: ["-c", "exec sleep 60"], environment: [:],
            folder: folder, log: log)
        #expect(!ended.hasDied)
        await ended.end(patience: .seconds(10))
        #expect(!ended.isRunning && !ended.hasDied)
        // By SIGTERM, not by the SIGKILL that follows.
        #expect(ended.statusWords == "signal 15")
    }

    @Test("a process that does not listen to SIGTERM is killed")
    func stubborn() async throws {
        let log = NSTemporaryDirectory() + "unstick-demo-test-\(UUID().uuidString).log"
        defer { try? FileManager.default.removeItem(atPath: log) }
        let stubborn = try DemoProcess(
            name: "stubborn", executable: "/bin/sh", arguments: ["-c", "trap '' TERM; while :; do sleep 0.05; done"],
            environment: [:], folder: NSTemporaryDirectory(), log: log)
        await stubborn.end(patience: .milliseconds(200))
        #expect(!stubborn.isRunning)
    }

    @Test(
        "the form's token is found in Django's markup",
        arguments: [
            ("<input type=\"hidden\" name=\"csrfmiddlewaretoken\" value=\"aB3\">", "aB3" as String?), ("<form>", nil),
            ("name=\"csrfmiddlewaretoken\" value=\"open", nil),
        ])
    func token(_ page: String, _ token: String?) {
        #expect(AdminVisitor.formToken(page) == token)
    }

    @Test("a form is encoded in order, with everything but letters and digits escaped")
    func form() {
        #expect(AdminVisitor.encode(["b": "ä &", "a": "1"]) == "a=1&b=%C3%A4%20%26")
    }

    @Test("the shop is found from a folder below")
    func shop() throws {
        let root = NSTemporaryDirectory() + "unstick-demo-test-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: root) }
        let below = root + "/a/b"
        try FileManager.default.createDirectory(atPath: below, withIntermediateDirectories: true)
        try FileManager.default.createDirectory(
            atPath: root + "/Examples/django-shop", withIntermediateDirectories: true)
        #expect(ShopLocation.shop(executable: "/nowhere/unstick", currentFolder: below) == nil)
        try Data().write(to: URL(fileURLWithPath: root + "/Examples/django-shop/serve.py"))
        #expect(
            ShopLocation.shop(executable: "/nowhere/unstick", currentFolder: below) == root + "/Examples/django-shop")
        #expect(ShopLocation.shop(executable: below + "/unstick", currentFolder: "/") == root + "/Examples/django-shop")
    }
}
