import Testing
import UnstickConfiguration

@Suite("TLS and HTTP/2 in the configuration")
struct TLSConfigurationTests {
    private static let one = "{ listen: \"127.0.0.1:8443\", certificates: [{ cert: a.pem, key: a.key }]"

    @Test("without the sections there is no TLS")
    func defaults() throws {
        let configuration = try parse(oneInstance)
        #expect(configuration.tls.listen == nil)
        #expect(configuration.http2.maximumConcurrentStreams == 100)
        #expect(configuration.upstreamTLS.verification == .full)
        #expect(configuration.instances.map(\.url) == ["http://127.0.0.1:5001"])
    }

    @Test("everything can be given, files are relative to the configuration's folder")
    func everything() throws {
        let yaml = """
            instances: [{ name: a, url: "https://app.internal:5001/" }, { name: b, url: "http://127.0.0.1:5002" }]
            tls:
              listen: 0.0.0.0:443
              certificates:
                - { cert: tls/a.pem, key: tls/a.key }
                - { cert: /etc/b.pem, key: /etc/b.pem }
              min-version: 1.2
              max-version: "1.3"
              ciphers: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
              alpn: [http/1.1]
              strict-sni: true
              client-auth: optional
              client-ca: ca.pem
              client-cert-header: x-client-cert
              handshake-timeout: 3s
              reload-interval: 1m
            http2:
              max-concurrent-streams: 50
              stream-window: 1MiB
              connection-window: 2MiB
              resets: 100
              control-frames: 300
              rate-window: 10s
              max-age: 1h
            upstream-tls:
              verify: chain
              ca-file: up.pem
              server-name: app.internal
              cert: c.pem
              key: c.key
              min-version: 1.3

            """
        let host = machine(files: ["conf/bridge.key": .key])
        let configuration = try parse(yaml, file: "conf/unstick.yaml", on: host)
        var tls = Configuration.TLS()
        tls.listen = SocketEndpoint(host: "0.0.0.0", port: 443)
        tls.certificates = [
            .init(chain: "conf/tls/a.pem", key: "conf/tls/a.key"), .init(chain: "/etc/b.pem", key: "/etc/b.pem"),
        ]
        tls.cipherSuites = [.ecdheRsaAes128]
        tls.applicationProtocols = [.http11]
        tls.strictServerName = true
        tls.clientAuthentication = .optional
        tls.clientAuthorityFile = "conf/ca.pem"
        tls.clientCertificateHeader = .xClientCert
        tls.handshakeTimeout = .seconds(3)
        tls.reloadInterval = .seconds(60)
        #expect(configuration.tls == tls)
        var http2 = Configuration.HTTP2()
        http2.maximumConcurrentStreams = 50
        http2.streamWindow = 1 << 20
        http2.connectionWindow = 2 << 20
        http2.resets = 100
        http2.controlFrames = 300
        http2.rateWindow = .seconds(10)
        http2.maximumAge = .seconds(3600)
        #expect(configuration.http2 == http2)
        var upstream = Configuration.UpstreamTLS()
        upstream.verification = .chain
        upstream.authorityFile = "conf/up.pem"
        upstream.serverName = "app.internal"
        upstream.certificateFile = "conf/c.pem"
        upstream.keyFile = "conf/c.key"
        upstream.minimumVersion = .tls13
        #expect(configuration.upstreamTLS == upstream)
        #expect(configuration.instances.map(\.url) == ["https://app.internal:5001", "http://127.0.0.1:5002"])
    }

    @Test(
        "mistakes are named with their place",
        arguments: [
            ("tls: { listen: \"127.0.0.1:8443\" }", "unstick.yaml:2:6: tls.certificates: is empty"),
            ("tls: { certificates: [{ cert: a, key: b }] }", "2:22: tls.certificates: is of no use without tls.listen"),
            (
                "tls: \(one.replacing("8443", with: "8080")) }",
                "tls.listen: '127.0.0.1:8080' cannot be bound: 'tls.listen' and 'listen' need different ports"
            ),
            (
                "tls: \(one.replacing("8443", with: "9090")) }",
                "tls.listen: '127.0.0.1:9090' cannot be bound: 'tls.listen' and 'admin' need different ports"
            ),
            (
                "tls: \(one.replacing("8443", with: "5001")) }",
                "tls.listen: '127.0.0.1:5001' is the address of the instance 'a'"
            ),
            ("tls: { certificates: [{ cert: a }] }", "tls.certificates[0]: has no key"),
            ("tls: { certificates: [{ key: a }] }", "tls.certificates[0]: has no cert"),
            ("tls: { certificates: [a.pem] }", "tls.certificates[0]: is 'a.pem'; expected { cert: FILE, key: FILE }"),
            ("tls: { certificates: a.pem }", "tls.certificates: is 'a.pem'; expected a list"),
            ("tls: { certificates: [{ cert: a, kee: b }] }", "tls.certificates[0].kee: unknown key 'kee'"),
            ("tls: \(one), min-version: 1.1 }", "tls.min-version: '1.1' is not known here; expected one of 1.2, 1.3"),
            ("tls: \(one), min-version: 1.3, max-version: 1.2 }", "tls.min-version, '1.3', is above tls.max-version"),
            ("tls: \(one), ciphers: [RC4] }", "tls.ciphers[0]: 'RC4' is not known here"),
            ("tls: \(one), ciphers: [] }", "tls.ciphers: is empty"),
            ("tls: \(one), alpn: [h2, h2] }", "tls.alpn: names one twice"),
            ("tls: \(one), client-auth: required }", "tls.client-auth: 'required' needs tls.client-ca"),
            (
                "tls: \(one), client-cert-header: client-cert }",
                "tls.client-cert-header: 'client-cert' needs tls.client-auth"
            ),
            ("tls: \(one), reload-interval: 0 }", "tls.reload-interval: '0' is outside 1s to 1h"),
            ("http2: { max-concurrent-streams: 0 }", "http2.max-concurrent-streams: '0' is outside 1 to 10000"),
            ("http2: { stream-window: 1KiB }", "http2.stream-window: '1KiB' is outside 64KiB to 16MiB"),
            ("upstream-tls: { verify: maybe }", "upstream-tls.verify: 'maybe' is not known here"),
            ("upstream-tls: { cert: c.pem }", "upstream-tls.cert: needs upstream-tls.key"),
            ("upstream-tls: { key: c.pem }", "upstream-tls.key: needs upstream-tls.cert"),
        ])
    func mistakes(_ yaml: String, _ expected: String) {
        let complaints = complaints(oneInstance + yaml + "\n")
        #expect(complaints.contains { $0.contains(expected) }, "\(complaints)")
    }
}
