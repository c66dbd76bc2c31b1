import Testing
import UnstickConfiguration
import UnstickCore
import UnstickProxy

@testable import unstick

@Suite("TLS from configuration to the proxy")
struct TLSOptionsTests {
    private func configuration(_ yaml: String) throws -> Configuration {
        let host = ConfigurationHost(name: "web", cores: 1) { _ throws(ConfigurationHost.FileRefusal) in
            ConfigurationHost.FileContent(bytes: Array(repeating: 0x6b, count: 32), mode: 0o600)
        }
        return try Configuration.parse(
            yaml: "instances: [{ name: a, url: \"https://127.0.0.1:5001\" }]\n" + yaml, file: "c.yaml", host: host)
    }

    @Test("the defaults of both are the same")
    func defaults() throws {
        let configuration = try configuration("tls: { listen: \"127.0.0.1:1\", certificates: [{ cert: a, key: b }] }\n")
        let plain = ProxyOptions.TLS(
            listenHost: "127.0.0.1", listenPort: 1, certificates: [.init(chainFile: "a", keyFile: "b")])
        #expect(configuration.tlsOptions == plain)
        #expect(configuration.http2Options == ProxyOptions.HTTP2())
        #expect(configuration.upstreamTLSOptions == ProxyOptions.UpstreamTLS())
        #expect(configuration.tableInstances.map(\.url) == ["https://127.0.0.1:5001"])
    }

    @Test("no listener, no options")
    func nothing() throws {
        let configuration = try configuration("")
        #expect(configuration.tlsOptions == nil)
    }

    @Test("every cipher suite that can be named can be used")
    func ciphers() {
        #expect(
            Configuration.TLS.CipherSuite.allCases.map(\.rawValue)
                == ProxyOptions.TLS.CipherSuite.allCases.map(\.rawValue))
    }
}
