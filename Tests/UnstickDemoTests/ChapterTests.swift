import ControlAPI
import Testing
import UnstickCore

@testable import UnstickDemo

@Suite("The story's chapters")
struct ChapterTests {
    let chapters = Chapter.story(instances: ["web-1", "web-2", "web-3"], migration: "shop")

    @Test("the story visits everything that it promises, in order")
    func order() {
        #expect(
            chapters.map(\.action) == [
                .drive, .operate(.mirror), .operate(.verify), .operate(.externalize), .operate(.switchTo(percent: 1)),
                .operate(.switchTo(percent: 25)), .operate(.switchTo(percent: 100)), .kill(instance: "web-2"),
                .restart(instance: "web-2"),
                .operate(.drain(instance: "web-3", deadlineSeconds: 60, force: false)), .undrain(instance: "web-3"),
                .operate(.rollback(to: .externalized)), .operate(.rollback(to: .mirroring)), .operate(.externalize),
                .operate(.switchTo(percent: 100)), .operate(.complete(confirm: "shop")),
            ])
        #expect(chapters.last?.phase == .completed)
    }

    @Test("every chapter's name is its own, because figures and verdict go by it")
    func names() {
        #expect(Set(chapters.map(\.name)).count == chapters.count)
        #expect(!chapters.map(\.name).contains(DemoReport.auditName))
    }

    @Test("no chapter is further than one phase from the one before")
    func neighbours() {
        for (before, after) in zip(chapters, chapters.dropFirst()) {
            #expect(before.phase.canCoexist(with: after.phase), "\(before.name) to \(after.name)")
        }
    }
}

@Suite("What the demonstration is asked for")
struct DemoOptionsTests {
    @Test(
        "what is not this machine's own address is refused",
        arguments: [
            "0.0.0.0:8080", "192.168.1.1:80", ":8080", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:+80",
            "shop.example:80",
        ])
    func foreign(_ address: String) {
        var options = DemoOptions(executable: "/bin/true", python: "/bin/true", shop: "/")
        options.listen = address
        #expect(throws: DemoError.self) { try options.validate() }
        options.listen = nil
        options.admin = address
        #expect(throws: DemoError.self) { try options.validate() }
    }

    @Test("one address cannot serve both")
    func twice() {
        var options = DemoOptions(executable: "/bin/true", python: "/bin/true", shop: "/")
        options.listen = "127.0.0.1:8080"
        options.admin = "127.0.0.1:8080"
        #expect(throws: DemoError.self) { try options.validate() }
        options.admin = "127.0.0.1:9090"
        #expect(throws: Never.self) { try options.validate() }
    }

    @Test("shoppers outside of the range are refused", arguments: [0, -1, 1001])
    func clients(_ count: Int) {
        var options = DemoOptions(executable: "/bin/true", python: "/bin/true", shop: "/")
        options.clients = count
        #expect(throws: DemoError.self) { try options.validate() }
    }
}
