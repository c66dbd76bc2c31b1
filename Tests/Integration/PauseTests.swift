import ControlAPI
import ControlClient
import Foundation
import Testing
import UnstickCore
import UnstickSoak

extension Integration {
    @Suite("A proxy stands still")
    struct ProxyPause {
        @Test("a transition waits for a proxy that stands still for seconds, and completes when it goes on")
        func stopped() async throws {
            var shape = DeploymentShape(.notes)
            shape.proxies = 2
            // Long enough for the gates, so that it is the acknowledgement that is waited for.
            shape.silence = "10s"
            try await Deployment.with(shape) { deployment in
                // A request that waits at the stopped proxy may take longer than a client wants to wait.
                try await deployment.underSoak(mayFail: ["timeout"]) { soak in
                    for kind in [
                        OperationKind.mirror, .externalize, .switchTo(percent: 50), .switchTo(percent: 100),
                        .rollback(to: .externalized), .rollback(to: .mirroring), .rollback(to: .sticky),
                    ] {
                        soak.beginStage("\(kind.command)")
                        let proxy = try deployment["proxy-2"]
                        proxy.send(SIGSTOP)
                        let id = try await deployment.start(kind).id
                        _ = try await eventually("\(kind.command) to wait for proxy-2") {
                            let status = try await deployment.control.operation(id)
                            if let outcome = status.outcome { throw IntegrationFailure("\(kind.command): \(outcome)") }
                            let silence = try await deployment.control.proxies().proxies
                                .first { $0.report.name == "proxy-2" }?.silentMilliseconds
                            let waits = status.progress.contains("proxy-2") && status.progress.contains("acknowledge")
                            return waits && (silence ?? 0) > 2500 ? true : nil
                        }
                        proxy.send(SIGCONT)
                        let outcome = try #require(try await deployment.control.follow(id).outcome)
                        try #require(outcome.code == .done, "\(kind.command): \(outcome.message)")
                    }
                }
                #expect(try await deployment.phase() == .sticky)
            }
        }
    }
}
