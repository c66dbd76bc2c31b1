import ControlAPI
import Foundation
import NIOCore
import NIOPosix
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("The TLS listener, live")
struct TLSListenerTests {
    @Test(
        "clients of both versions of TLS and of HTTP are served, and plain ones beside them",
        arguments: [
            ("--http1.1", "--tlsv1.3", "1.1"), ("--http2", "--tlsv1.3", "2"), ("--http1.1", "--tls-max", "1.1"),
            ("--http2", "--tls-max", "2"),
        ])
    func versions(_ http: String, _ tls: String, _ version: String) async throws {
        try await SecureFixture.with { fixture in
            let limit = tls == "--tls-max" ? [tls, "1.2"] : [tls]
            let first = try await fixture.curl([http, "-X", "POST", "-c", "jar", "-w", " %{http_version}"] + limit)
            #expect(first.output == "1 \(version)", "\(first)")
            let second = try await fixture.curl([http, "-X", "POST", "-b", "jar", "-w", " %{http_version}"] + limit)
            #expect(second.output == "2 \(version)", "\(second)")
            let plain = try await fixture.proxy.raw("GET /value HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(plain.hasPrefix("HTTP/1.1 200 OK\r\n"))
        }
    }

    @Test("the certificate is the named server's")
    func serverNames() async throws {
        try await SecureFixture.with(configure: { authority, options in
            try await authority.issue("b", subject: "/CN=b.test", alternatives: "DNS:b.test")
            options.tls = tlsOptions(authority, "a", "b")
        }) { fixture in
            for host in ["a.test", "b.test"] {
                let result = try await fixture.curl(["-w", " %{ssl_verify_result}"], host: host, path: "/value")
                #expect(result.output == "0 0", "\(result)")
            }
            let wrong = try await fixture.curl(host: "c.test")
            #expect(wrong.code == 60, "\(wrong)")
        }
    }

    @Test("instances are told that the client used https", arguments: ["--http1.1", "--http2"])
    func scheme(_ http: String) async throws {
        try await SecureFixture.with { fixture in
            let upstream = try await EchoUpstream(group: fixture.proxy.group)
            await fixture.route(to: [upstream.url])
            let result = try await fixture.curl([http], path: "/who")
            #expect(result.output.contains("X-Forwarded-Proto: https\r\n"), "\(result)")
            await upstream.close()
        }
    }

    @Test("a body that ends with the connection ends well in HTTP/1.1 and HTTP/2", arguments: ["--http1.1", "--http2"])
    func untilClose(_ http: String) async throws {
        try await SecureFixture.with { fixture in
            let upstream = try await EchoUpstream(group: fixture.proxy.group)
            await fixture.route(to: [upstream.url])
            let result = try await fixture.curl([http], path: "/until-close")
            #expect(result.code == 0 && result.output.hasPrefix("GET /until-close HTTP/1.1\r\n"), "\(result)")
            await upstream.close()
        }
    }

    @Test("a WebSocket's upgrade passes through TLS, and bytes in both directions after it")
    func upgrade() async throws {
        try await SecureFixture.with { fixture in
            let upstream = try await EchoUpstream(group: fixture.proxy.group)
            await fixture.route(to: [upstream.url])
            let client = try await RawClient(port: fixture.port, group: fixture.proxy.group, tls: true)
            client.send(
                "GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
            #expect(await client.waitForText("101 Switching Protocols"))
            client.send("hello through the tunnel")
            #expect(await client.waitForText("hello through the tunnel"))
            client.close()
            await upstream.close()
        }
    }

    @Test("a client that does not shake hands is closed when the time is up")
    func slowHandshake() async throws {
        try await SecureFixture.with(configure: { _, options in
            options.tls?.handshakeTimeout = .milliseconds(300)
        }) { fixture in
            let client = try await RawClient(port: fixture.port, group: fixture.proxy.group)
            client.send([22, 3, 1])
            #expect(await client.waitForEnd())
        }
    }

    @Test("a certificate that cannot be used is refused at the start, with its file")
    func badCertificate() async throws {
        await #expect {
            try await SecureFixture.with(configure: { authority, options in
                try authority.write("a.key", "nothing")
            }) { _ in }
        } throws: { error in
            (error as? TLSFileError)?.reason == "holds no private key in PEM form"
        }
    }

    @Test("a TLS address in use is refused at the start, with its key")
    func addressInUse() async throws {
        try await SecureFixture.with { fixture in
            await #expect {
                try await SecureFixture.with(configure: { _, options in
                    options.tls?.listenPort = fixture.port
                }) { _ in }
            } throws: { error in
                (error as? ListenFailure)?.key == "tls.listen"
            }
        }
    }

    @Test(
        "clients with and without certificates",
        arguments: [
            (ProxyOptions.TLS.ClientAuthentication.required, true, true), (.required, false, false),
            (.optional, true, true), (.optional, false, true), (.none, false, true),
        ])
    func clientCertificates(
        _ wanted: ProxyOptions.TLS.ClientAuthentication, _ shows: Bool, _ isServed: Bool
    ) async throws {
        try await SecureFixture.with(configure: { authority, options in
            try await authority.issue("client", subject: "/CN=somebody")
            options.tls?.clientAuthentication = wanted
            options.tls?.clientAuthorityFile = authority.path("ca.pem")
            options.tls?.clientCertificateHeader = .xClientCert
        }) { fixture in
            let upstream = try await EchoUpstream(group: fixture.proxy.group)
            await fixture.route(to: [upstream.url])
            let certificate = shows ? ["--cert", "client.pem", "--key", "client.key"] : []
            for http in ["--http1.1", "--http2"] {
                let result = try await fixture.curl(
                    [http, "-H", "X-Client-Cert-Subject: CN=admin", "-H", "x_client_cert_serial: 1"] + certificate,
                    path: "/who")
                guard isServed else {
                    #expect(result.code != 0 && result.output.isEmpty, "\(result)")
                    continue
                }
                let text = result.output.lowercased()
                #expect(text.hasPrefix("get /who "), "\(result)")
                #expect(!text.contains("cn=admin") && !text.contains("cert_serial"), "\(result)")
                #expect(text.contains("x-client-cert-subject: cn=somebody\r\n") == shows, "\(result)")
            }
            await upstream.close()
        }
    }

    @Test("certificates are exchanged under load without a lost request")
    func reloadUnderLoad() async throws {
        try await SecureFixture.with(threads: 2) { fixture in
            let authority = fixture.authority
            try await authority.issue("next", subject: "/CN=a.test", alternatives: "DNS:a.test", days: 9)
            async let old = loadRun(fixture, ["-n", "6000", "-c", "8", "-m", "4"])
            async let many = loadRun(fixture, ["-n", "300", "-c", "1", "-m", "1", "--h1"])
            try authority.replace("a.key", with: "next.key")
            try authority.replace("a.pem", with: "next.pem")
            await fixture.proxy.proxy.reloadCertificates()
            let results = try await [old, many]
            for result in results { #expect(result.code == 0 && result.succeeds, "\(result.text)") }
            #expect(fixture.proxy.proxy.certificates.first?.daysLeft(at: Self.now) ?? 99 <= 9)
            let after = try await fixture.curl(["-w", " %{http_version}"], path: "/value")
            #expect(after.output == "0 2", "\(after)")
        }
    }

    private static var now: Int64 { Int64(Date().timeIntervalSince1970) }

    @Test("h2load gets every answer, in HTTP/2 and HTTP/1.1", arguments: [[], ["--h1"]])
    func load(_ options: [String]) async throws {
        try await SecureFixture.with(applications: 2, threads: 2) { fixture in
            let result = try await loadRun(fixture, ["-n", "5000", "-c", "10", "-m", "10"] + options)
            #expect(result.succeeds, "\(result.text)")
        }
    }

    struct LoadResult: Sendable {
        var code: Int32
        var text: String
        /// Every request has got a 2xx.
        var succeeds: Bool {
            text.contains(" 0 failed, 0 errored, 0 timeout") && text.contains(" 2xx, 0 3xx, 0 4xx, 0 5xx")
        }
    }

    private func loadRun(_ fixture: SecureFixture, _ arguments: [String]) async throws -> LoadResult {
        let result = try await run(
            "h2load", ["-T", "10", "-N", "10"] + arguments + ["https://127.0.0.1:\(fixture.port)/value"])
        return LoadResult(code: result.code, text: result.output + result.errors)
    }
}
