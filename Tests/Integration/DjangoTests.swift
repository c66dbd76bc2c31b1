import Foundation
import Testing

extension Integration {
    @Suite("Django")
    struct Django {
        @Test("who logged in to /admin/ before the migration stays logged in through every phase and back")
        func adminLogin() async throws {
            try await Deployment.with(DeploymentShape(.shop)) { deployment in
                var admin = Browser(deployment.address)
                let form = try await admin.get("/admin/login/?next=/admin/")
                try #require(form.status == 200)
                let token = try #require(form.body.firstMatch(of: /name="csrfmiddlewaretoken" value="([^"]+)"/)).1
                let login = try await admin.post(
                    "/admin/login/?next=/admin/",
                    form: [
                        ("csrfmiddlewaretoken", String(token)), ("username", "admin"), ("password", "unstick-demo"),
                        ("next", "/admin/"),
                    ])
                try #require(login.status == 302)
                var servedBy: Set<String> = []
                func isLoggedIn(_ after: String) async throws {
                    for _ in 0..<6 {
                        let page = try await admin.get("/admin/")
                        try #require(page.status == 200, "after \(after): \(page.headers)")
                        try #require(page.body.contains("Log out"), "after \(after)")
                        if let name = page.servedBy { servedBy.insert(name) }
                    }
                }
                try await isLoggedIn("login")
                #expect(servedBy.count == 1, "sticky: \(servedBy)")
                for words in [
                    ["mirror"], ["externalize"], ["switch", "--percent", "50"], ["switch", "--percent", "100"],
                    ["rollback"], ["rollback", "--to", "mirroring"], ["rollback", "--to", "sticky"], ["mirror"],
                    ["externalize"], ["switch", "--percent", "100"],
                    ["complete", "--confirm", DeploymentShape.migration],
                ] {
                    let result = try await deployment.run(words)
                    try #require(result.exitCode == 0, "\(result.line): \(result.errors)")
                    try await isLoggedIn(words.joined(separator: " "))
                }
                #expect(servedBy == Set(deployment.instances), "stateless: \(servedBy)")
            }
        }
    }
}
