import Synchronization
import Testing
import UnstickConfiguration
import UnstickCoordinator
import UnstickCore

@testable import unstick

@Suite("Watching the file and names")
struct InstanceWatchTests {
    static func configuration(_ instances: String) throws -> Configuration {
        let host = ConfigurationHost(name: "m", cores: 1) { _ throws(ConfigurationHost.FileRefusal) in
            ConfigurationHost.FileContent(bytes: [UInt8](repeating: 0x6b, count: 32), mode: 0o600)
        }
        return try Configuration.parse(
            yaml: "instances: [\(instances)]\ncoordinator: { watch-instances: true }", file: "unstick.yaml", host: host)
    }

    struct Mistake: Error {}

    static let web = "{ name: web-1, url: \"http://127.0.0.1:1\" }"
    static let app = "{ discover: app.internal, port: 5001, name: app }"

    static func names(_ answer: InstanceSource.Answer) -> [String]? {
        guard case .wanted(let instances) = answer else { return nil }
        return instances.map(\.name)
    }

    @Test("the file's instances and every address of a name are wanted; what fails changes nothing")
    func look() async throws {
        let answers = Mutex<[String]?>(nil)
        let file = Mutex(Self.web + ", " + Self.app)
        let watch = InstanceWatch(
            try Self.configuration(file.withLock { $0 }),
            resolve: { _, _ in
                guard let answer = answers.withLock({ $0 }) else { throw Mistake() }
                return answer
            },
            load: { _ in
                let text = file.withLock { $0 }
                guard !text.isEmpty else { throw Mistake() }
                return try Self.configuration(text)
            })
        // Not resolved even once: nobody knows what is there.
        #expect(Self.names(await watch.look()) == nil)
        answers.withLock { $0 = ["10.0.0.2", "10.0.0.1"] }
        #expect(Self.names(await watch.look()) == ["web-1", "app-10.0.0.1", "app-10.0.0.2"])
        answers.withLock { $0 = nil }
        file.withLock { $0 = "" }
        #expect(Self.names(await watch.look()) == ["web-1", "app-10.0.0.1", "app-10.0.0.2"])
        file.withLock { $0 = "{ name: web-2, url: \"http://127.0.0.1:2\" }, " + Self.app }
        answers.withLock { $0 = ["10.0.0.1"] }
        #expect(Self.names(await watch.look()) == ["web-2", "app-10.0.0.1", "app-10.0.0.2"])
        for _ in 0..<2 { _ = await watch.look() }
        #expect(Self.names(await watch.look()) == ["web-2", "app-10.0.0.1"])
        file.withLock { $0 = Self.web }
        #expect(Self.names(await watch.look()) == ["web-1"])
    }

    @Test("nothing to look at, no source")
    func source() throws {
        var configuration = try Self.configuration(Self.web)
        #expect(InstanceWatch.source(configuration) != nil)
        configuration.coordinator.watchInstances = false
        #expect(InstanceWatch.source(configuration) == nil)
        configuration.discoveries = try Self.configuration(Self.app).discoveries
        #expect(InstanceWatch.source(configuration) != nil)
    }

    @Test("the system's resolver knows this machine, and says why it does not know another")
    func resolver() async throws {
        let found = try await InstanceWatch.systemResolver("localhost", 1)
        #expect(found.contains("127.0.0.1") || found.contains("::1"))
        await #expect(throws: InstanceWatch.ResolverError.self) {
            try await InstanceWatch.systemResolver("no-such-name.invalid", 1)
        }
    }
}
