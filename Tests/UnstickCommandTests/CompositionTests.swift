import BridgeContract
import Foundation
import Logging
import Testing
import UnstickConfiguration
import UnstickCoordinator
import UnstickCore
import UnstickProxy

@testable import unstick

private let key = ConfigurationHost.FileContent(bytes: Array(repeating: UInt8(ascii: "k"), count: 32), mode: 0o600)

private func configuration(
    _ yaml: String, role: ProcessRole = .up, hasCoordinator: Bool = false
) throws(ConfigurationErrors) -> Configuration {
    let host = ConfigurationHost(name: "web", cores: 4) { path throws(ConfigurationHost.FileRefusal) in
        guard path == "bridge.key" else { throw ConfigurationHost.FileRefusal(reason: "No such file") }
        return key
    }
    return try Configuration.parse(
        yaml: "instances: [{ name: a, url: \"http://127.0.0.1:5001\", weight: 7 }]\n" + yaml, file: "unstick.yaml",
        host: host
    ) { $0.restrictions(for: role, hasCoordinator: hasCoordinator) }
}

private func complaints(_ yaml: String, role: ProcessRole = .up, hasCoordinator: Bool = false) -> [String] {
    do throws(ConfigurationErrors) {
        _ = try configuration(yaml, role: role, hasCoordinator: hasCoordinator)
        return []
    } catch {
        return error.problems.map(\.description)
    }
}

@Suite("From configuration to processes")
struct CompositionTests {
    @Test("every key of the data plane arrives")
    func proxy() throws {
        let configuration = try configuration(
            """
            listen: 127.0.0.1:8181
            affinity: { method: ip-hash, cookie: PIN, secure: true, same-site: Strict, path: /shop, domain: shop.example }
            session: { cookie: sid, url-parameter: jsessionid, concurrency: overwrite }
            balance: round-robin
            health: { path: /up, interval: 3s, timeout: 2s, rise: 4, fall: 5 }
            limits: { head: 32KiB, target: 4KiB, fields: 64, body: 1MiB, replay: 64KiB, connections: 99, \
            upstream-connections: 20, state: 1MiB }
            timeouts: { connect: 1s, response: 11s, idle: 12s, client-head: 13s, store: 4s, shutdown: 14s }
            proxy: { name: edge-1, threads: 3 }
            """)
        let options = configuration.proxyOptions(secret: try configuration.bridgeSecret())
        #expect(options.name == "edge-1" && options.threads == 3)
        #expect(options.listenHost == "127.0.0.1" && options.listenPort == 8181)
        #expect(options.instances.map(\.name) == ["a"] && options.instances[0].weight == 7)
        #expect(options.instances[0].url == "http://127.0.0.1:5001")
        #expect(options.affinity.method == .ipHash && options.affinity.cookie == "PIN")
        #expect(
            options.affinity.attributes == "; Path=/shop; HttpOnly; SameSite=Strict; Domain=shop.example; Secure")
        #expect(options.session.cookie == "sid" && options.session.urlParameter == "jsessionid")
        #expect(options.session.concurrency == .overwrite && options.balance == .roundRobin)
        #expect(options.health.path == "/up" && options.health.interval == .seconds(3))
        #expect(options.health.timeout == .seconds(2) && options.health.rise == 4 && options.health.fall == 5)
        #expect(options.limits.headBytes == 32 << 10 && options.limits.targetBytes == 4 << 10)
        #expect(options.limits.headFields == 64 && options.limits.bodyBytes == 1 << 20)
        #expect(options.limits.replayBytes == 64 << 10 && options.limits.connections == 99)
        #expect(options.limits.stateBytes == 1 << 20)
        #expect(options.limits.upstreamConnections == 6, "20 for the process, on 3 event loops")
        #expect(options.timeouts.connect == .seconds(1) && options.timeouts.response == .seconds(11))
        #expect(options.timeouts.idle == .seconds(12) && options.timeouts.clientHead == .seconds(13))
        #expect(options.timeouts.store == .seconds(4) && options.timeouts.shutdown == .seconds(14))
    }

    @Test("without keys the affinity cookie is Lax and not Secure, and bodies are not limited")
    func proxyDefaults() throws {
        let configuration = try configuration("")
        let options = configuration.proxyOptions(secret: try configuration.bridgeSecret())
        #expect(options.affinity.attributes == "; Path=/; HttpOnly; SameSite=Lax")
        #expect(options.affinity.cookie == "UNSTICK" && options.affinity.method == .cookie)
        #expect(options.limits.bodyBytes == nil && options.session.concurrency == .merge)
    }

    @Test("every key of the control plane arrives")
    func coordinator() throws {
        let options = try configuration(
            """
            migration: { name: shop }
            coordinator: { acknowledge-timeout: 7s, verify-passes: 9, silence: 11s, soak-time: 13s }
            """
        ).coordinatorOptions
        #expect(options.migration == "shop" && options.instances.map(\.name) == ["a"])
        #expect(options.acknowledgementTimeout == .seconds(7) && options.verificationPasses == 9)
        #expect(options.silenceLimit == .seconds(11) && options.soak == .seconds(13))
        #expect(!options.acceptsVolatileStore && !options.allowsKillPoints)
    }

    @Test(
        "what is not available yet is refused with its place",
        arguments: [
            (
                "session: { concurrency: serialize }",
                "unstick.yaml:2:25: session.concurrency: 'serialize' is not "
                    + "available yet; expected merge or overwrite"
            ),
            (
                "migration: { on-store-error: refuse }",
                "unstick.yaml:2:30: migration.on-store-error: 'refuse' is not "
                    + "available yet; expected serve"
            ),
            (
                "coordinator: { require-rehearsal: true }",
                "unstick.yaml:2:35: coordinator.require-rehearsal: 'true' is "
                    + "not available yet; expected false"
            ),
        ])
    func unavailable(yaml: String, complaint: String) {
        #expect(complaints(yaml) == [complaint])
        #expect(complaints(yaml, role: .check) == [complaint])
    }

    @Test("a proxy of its own needs a coordinator, and processes of their own a store that they share")
    func roles() {
        #expect(complaints("", role: .proxy).first?.contains("proxy.coordinator: is missing") == true)
        #expect(complaints("", role: .proxy, hasCoordinator: true).isEmpty)
        #expect(complaints("proxy: { coordinator: \"http://127.0.0.1:9090\" }", role: .proxy).isEmpty)
        let memory = "store: { url: \"memory:\" }"
        #expect(complaints(memory).isEmpty)
        #expect(
            complaints(memory, role: .coordinator).first?.contains("store.url: 'memory:' is a store of one process")
                == true)
        #expect(complaints(memory, role: .proxy, hasCoordinator: true).count == 1)
    }

    @Test("a log line is one line, whatever the event says")
    func logLines() {
        let time = Date(timeIntervalSince1970: 1_795_502_682.5)
        let metadata: Logger.Metadata = ["path": "/a b", "n": "1", "x": "\u{1b}[2J\n", "level": "fake"]
        #expect(
            LineLogHandler.line(
                .text, time: time, level: .info, label: "unstick", message: "one\ntwo", metadata: metadata)
                == #"2026-11-24T06:44:42.500Z info     unstick: one\ntwo level=fake n=1 path="/a b" x=\u{1b}[2J\n"#)
        #expect(
            LineLogHandler.line(
                .json, time: time, level: .warning, label: "unstick", message: "one\ntwo",
                metadata: ["n": "1", "level": "fake"])
                == #"{"label":"unstick","level":"warning","message":"one\ntwo","n":"1","time":"2026-11-24T06:44:42.500Z"}"#
        )
    }
}
