import ControlAPI
import ControlClient
import Foundation
import NIOHTTP1
import Testing
import UnstickCore

extension Integration {
    @Suite("Observation")
    struct Observation {
        @Test("a walk with traffic, seen in metrics, access log and spans; no session id stands in any of them")
        func walk() async throws {
            try await SpanCollector.with { collector in
                var shape = DeploymentShape(.notes)
                shape.extra = """
                    access-log: { to: access.log }
                    request-id: { header: X-Request-ID, response: true }
                    tracing: { endpoint: "\(collector.endpoint)", sample: 1 }
                    """
                try await Deployment.with(shape) { deployment in
                    var visitors = try await deployment.visit(3)
                    var count = 1
                    for step in [["mirror"], ["externalize"], ["switch", "--percent", "100"]] {
                        let result = try await deployment.run(step)
                        try #require(result.exitCode == 0, "\(result.line): \(result.errors)")
                        count += 1
                        for index in visitors.indices {
                            let answer = try await visitors[index].post("/increment")
                            #expect(answer.status == 200 && answer.body == "\(count)")
                            #expect(answer.headers["X-Request-ID"].count == 1)
                        }
                    }
                    try await expectMetrics(of: deployment)
                    try await expectLog(of: deployment)
                    _ = try await eventually("spans of the last phase") {
                        Self.contains(collector.received, "unstick.store.read") ? true : nil
                    }
                    try await expectNoSecrets(visitors, collector, deployment)
                }
            }
        }

        private func expectMetrics(of deployment: Deployment) async throws {
            let page = try await Browser.get("http://127.0.0.1:\(deployment.adminPort)/metrics")
            #expect(page.status == 200)
            var values: [Substring: Double] = [:]
            for line in page.body.split(separator: "\n") where line.hasPrefix("unstick_proxy_") {
                guard let space = line.lastIndex(of: " ") else { continue }
                values[line[..<space]] = Double(line[line.index(after: space)...])
            }
            let posts = values.filter {
                $0.key.hasPrefix("unstick_proxy_requests_total{") && $0.key.contains("\"POST\"")
            }
            #expect(posts.values.reduce(0, +) == 12)
            #expect(posts.filter { $0.key.contains("code=\"2xx\"") }.values.reduce(0, +) == 12)
            #expect(values["unstick_proxy_phase"] == 3 && values["unstick_proxy_dirty_sessions"] == 0)
            // From mirroring on every change is written.
            #expect(values["unstick_proxy_mirror_lag_seconds_count"].map { $0 >= 9 } == true)
            #expect(values["unstick_proxy_store_up"] == 1)
            #expect(values["unstick_proxy_response_bytes_total"].map { $0 > 0 } == true)
        }

        private func expectLog(of deployment: Deployment) async throws {
            let path = "\(deployment.folder)/access.log"
            let entries = try await eventually("all lines of the log") { () -> [[String: Any]]? in
                let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
                guard lines.count >= 12 else { return nil }
                return try lines.compactMap { try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] }
            }
            #expect(entries.count == 12)
            let phases = ["sticky", "mirroring", "externalized", "stateless"].flatMap { Array(repeating: $0, count: 3) }
            #expect(entries.map { $0["phase"] as? String } == phases)
            #expect(entries.allSatisfy { $0["status"] as? Int == 200 && $0["path"] as? String == "/increment" })
            #expect(entries.allSatisfy { deployment.instances.contains($0["instance"] as? String ?? "") })
            #expect(Set(entries.compactMap { $0["request_id"] as? String }).count == 12)
            #expect(Set(entries.compactMap { $0["trace_id"] as? String }).count == 12)
            // The first request of each visitor had no session yet; then each has the same hash throughout.
            #expect(Set(entries.dropFirst(3).map { $0["session"] as? String }).count == 3)
        }

        /// Of every file that is not the store or the application's own.
        private func expectNoSecrets(
            _ visitors: [Browser], _ collector: SpanCollector, _ deployment: Deployment
        ) async throws {
            let ids = visitors.compactMap { $0.cookies["session"] }
            try #require(ids.count == 3)
            let metrics = try await Browser.get("http://127.0.0.1:\(deployment.adminPort)/metrics").body
            var texts = [("metrics", Array(metrics.utf8)), ("spans", collector.received)]
            let names = try FileManager.default.contentsOfDirectory(atPath: deployment.folder)
            for name in names where !name.hasPrefix("unstick.db") && !name.hasPrefix("web-") {
                let data = FileManager.default.contents(atPath: "\(deployment.folder)/\(name)") ?? Data()
                texts.append((name, Array(data)))
            }
            for name in ["access.log", "unstick-journal.db", "up.log"] { #expect(names.contains(name)) }
            for (name, text) in texts {
                for id in ids { #expect(!Self.contains(text, id), "\(name) has a session id") }
            }
        }

        private static func contains(_ bytes: [UInt8], _ text: String) -> Bool {
            Data(bytes).range(of: Data(text.utf8)) != nil
        }
    }
}
