import ControlAPI
import Testing
import UnstickCore

@testable import UnstickTerminal

@Suite("Status page")
struct StatusPageTests {
    @Test("the page shows what the screen shows, needs nothing from elsewhere, and escapes what is not ours")
    func page() {
        var report = Reports.status(.mirroring)
        report.migration = "<script>alert(1)</script>"
        let page = StatusPage.html(report)
        #expect(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"))
        #expect(!page.contains("<script"))
        #expect(page.contains("default-src 'none'"))
        for instance in report.instances { #expect(page.contains(instance.name)) }
    }
}
