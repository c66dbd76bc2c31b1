import Foundation
import NIOCore
import NIOPosix
import Testing

@testable import UnstickProxy

/// Options with the named certificates of an authority.
func tlsOptions(_ authority: TLSTestAuthority, _ names: String...) -> ProxyOptions.TLS {
    ProxyOptions.TLS(
        listenHost: "127.0.0.1", listenPort: 0,
        certificates: names.map { .init(chainFile: authority.path("\($0).pem"), keyFile: authority.path("\($0).key")) })
}

@Suite("TLS towards clients")
struct TLSServingTests {
    private func curl(
        _ authority: TLSTestAuthority, _ server: TLSTestServer, host: String = "a.test", path: String = "/echo",
        _ arguments: [String] = [], input: String? = nil
    ) async throws -> ProgramResult {
        try await run(
            "curl",
            ["-sS", "--noproxy", "*", "--max-time", "20", "--cacert", authority.path("ca.pem")]
                + ["--resolve", "\(host):\(server.port):127.0.0.1"] + arguments
                + ["https://\(host):\(server.port)\(path)"],
            in: authority.folder, input: input)
    }

    private func withAuthority<Result>(_ body: (TLSTestAuthority) async throws -> Result) async throws -> Result {
        try await TLSTestAuthority.with { authority in
            try await authority.issue("a", subject: "/CN=a.test", alternatives: "DNS:a.test,IP:127.0.0.1")
            return try await body(authority)
        }
    }

    @Test(
        "ALPN chooses between HTTP/2 and HTTP/1.1",
        arguments: [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")])
    func protocols(_ option: String, _ version: String) async throws {
        try await withAuthority { authority in
            try await TLSTestServer.with(tls: tlsOptions(authority, "a")) { server in
                let result = try await curl(authority, server, [option, "-w", "%{http_version}", "-H", "X-A: b"])
                #expect(result.code == 0, "\(result.errors)")
                #expect(result.output.hasSuffix("\r\n\r\n\(version)"), "\(result.output)")
                #expect(server.log.requests.count == 1)
                let request = try #require(server.log.requests.first)
                #expect(request.hasPrefix("GET /echo HTTP/1.1\r\n"))
                #expect(request.lowercased().contains("host: a.test:\(server.port)\r\n"))
                #expect(request.lowercased().contains("x-a: b\r\n"))
                #expect(server.log.securities == [.init(version: .tls13, isHTTP2: version == "2")])
            }
        }
    }

    @Test("uploads keep their length, or become chunks without one, over HTTP/2")
    func uploads() async throws {
        try await withAuthority { authority in
            try await TLSTestServer.with(tls: tlsOptions(authority, "a")) { server in
                let body = String(repeating: "0123456789", count: 30_000)
                let counted = try await curl(authority, server, ["--http2", "--data-binary", "@-"], input: body)
                #expect(counted.code == 0, "\(counted.errors)")
                #expect(server.log.requests.last?.contains("content-length: 300000\r\n") == true)
                #expect(server.log.requests.last?.hasSuffix("\r\n\r\n" + body) == true)
                let chunked = try await curl(authority, server, ["--http2", "-T", "-"], input: body)
                #expect(chunked.code == 0, "\(chunked.errors)")
                #expect(server.log.requests.last?.contains("transfer-encoding: chunked\r\n") == true)
                #expect(server.log.requests.last?.hasSuffix("\r\n0\r\n\r\n") == true)
            }
        }
    }

    @Test("an exchange that does not read holds the client back, and gets everything later")
    func backPressure() async throws {
        try await withAuthority { authority in
            try await TLSTestServer.with(tls: tlsOptions(authority, "a")) { server in
                let body = String(repeating: "0123456789", count: 200_000)
                let result = try await curl(
                    authority, server, path: "/slow", ["--http2", "--data-binary", "@-"], input: body)
                #expect(result.code == 0, "\(result.errors)")
                let stalled = try #require(server.log.requests.first)
                let bytes = try #require(Int(stalled.dropFirst("STALLED ".count)))
                #expect(bytes < 300_000, "\(stalled)")
                #expect(server.log.requests.last?.hasSuffix(body) == true)
            }
        }
    }

    @Test("responses of every kind arrive over HTTP/2")
    func responses() async throws {
        try await withAuthority { authority in
            try await TLSTestServer.with(tls: tlsOptions(authority, "a")) { server in
                let chunked = try await curl(authority, server, path: "/chunked", ["--http2", "-i"])
                #expect(chunked.output == "HTTP/2 200 \r\n\r\nhellochecksum: 7\r\n", "\(chunked)")
                let until = try await curl(authority, server, path: "/until-close", ["--http2"])
                #expect(until.output == "abc" && until.code == 0, "\(until)")
                let hints = try await curl(authority, server, path: "/hints", ["--http2", "-i"])
                #expect(hints.output == "HTTP/2 103 \r\nlink: </a.css>\r\n\r\nHTTP/2 204 \r\n\r\n", "\(hints)")
                let head = try await curl(authority, server, ["--http2", "-I"])
                #expect(head.output.hasPrefix("HTTP/2 200 \r\ncontent-length: "), "\(head)")
                let large = try await curl(authority, server, path: "/large", ["--http2"])
                #expect(large.output.utf8.count == 1 << 20)
                let abort = try await curl(authority, server, path: "/abort", ["--http2"])
                #expect(abort.code == 92 && abort.errors.contains("INTERNAL_ERROR"), "\(abort)")
                let early = try await curl(
                    authority, server, path: "/early", ["--http2", "-w", "%{http_code}", "-T", "-"],
                    input: String(repeating: "x", count: 2 << 20))
                #expect(early.output == "413", "\(early)")
            }
        }
    }

    @Test("each name gets its certificate, an unknown one the first")
    func serverNames() async throws {
        try await withAuthority { authority in
            try await authority.issue("b", subject: "/CN=b", alternatives: "DNS:b.test,DNS:*.b.test")
            try await TLSTestServer.with(tls: tlsOptions(authority, "a", "b")) { server in
                for host in ["a.test", "b.test", "www.b.test", "B.TEST"] {
                    let result = try await curl(authority, server, host: host)
                    #expect(result.code == 0, "\(host): \(result.errors)")
                }
                let other = try await curl(authority, server, host: "c.test")
                #expect(other.code == 60, "\(other)")
                let address = try await run(
                    "curl",
                    [
                        "-sS", "--noproxy", "*", "--cacert", authority.path("ca.pem"),
                        "https://127.0.0.1:\(server.port)/echo",
                    ])
                #expect(address.code == 0, "\(address.errors)")
            }
        }
    }

    @Test("strictness refuses names without a certificate, with an alert")
    func strictServerNames() async throws {
        try await withAuthority { authority in
            var options = tlsOptions(authority, "a")
            options.strictServerName = true
            try await TLSTestServer.with(tls: options) { server in
                let good = try await curl(authority, server)
                #expect(good.code == 0, "\(good.errors)")
                let bad = try await curl(authority, server, host: "c.test", ["-k"])
                #expect(bad.code == 35 && bad.errors.contains("unrecognized name"), "\(bad)")
                #expect(
                    server.log.events.contains(.handshakeFailed(reason: "no certificate for the server name 'c.test'")))
            }
        }
    }

    @Test("a reload serves new handshakes and leaves connections alone")
    func reload() async throws {
        try await withAuthority { authority in
            try await authority.issue("b", subject: "/CN=b.test", alternatives: "DNS:b.test")
            try await TLSTestServer.with(tls: tlsOptions(authority, "a")) { server in
                let client = try await HTTP2RawClient(port: server.port, group: server.group)
                try await client.write(HTTP2RawClient.request(stream: 1))
                #expect(await client.wait { $0.isAnswered(1) })
                try authority.replace("a.pem", with: "b.pem")
                try authority.replace("a.key", with: "b.key")
                #expect(server.contexts?.reload() == .reloaded)
                let new = try await curl(authority, server, host: "b.test")
                #expect(new.code == 0, "\(new.errors)")
                try await client.write(HTTP2RawClient.request(stream: 3))
                #expect(await client.wait { $0.isAnswered(3) })
                try await client.channel.close()
            }
        }
    }

    @Test("old versions are refused, and TLS 1.2 can be", arguments: [ProxyOptions.TLS.Version.tls12, .tls13])
    func versions(minimum: ProxyOptions.TLS.Version) async throws {
        try await withAuthority { authority in
            var options = tlsOptions(authority, "a")
            options.minimumVersion = minimum
            try await TLSTestServer.with(tls: options) { server in
                func connect(_ option: String) async throws -> Bool {
                    try await run(
                        "openssl",
                        ["s_client", "-connect", "127.0.0.1:\(server.port)", option, "-cipher", "ALL:@SECLEVEL=0"],
                        input: ""
                    ).code == 0
                }
                let check1 = try await connect("-tls1_1")
                #expect(!check1)
                let check2 = try await connect("-tls1_2") == (minimum == .tls12)
                #expect(check2)
                let check3 = try await connect("-tls1_3")
                #expect(check3)
            }
        }
    }

    @Test(
        "sessions are resumed, with client certificates too",
        arguments: [ProxyOptions.TLS.ClientAuthentication.none, .optional, .required], ["-tls1_2", "-tls1_3"])
    func resumption(authentication: ProxyOptions.TLS.ClientAuthentication, version: String) async throws {
        try await withAuthority { authority in
            try await authority.issue("client", subject: "/CN=someone")
            var options = tlsOptions(authority, "a")
            options.clientAuthentication = authentication
            options.clientAuthorityFile = authority.path("ca.pem")
            options.clientCertificateHeader = .xClientCert
            try await TLSTestServer.with(tls: options) { server in
                let arguments = [
                    "s_client", "-connect", "127.0.0.1:\(server.port)", version, "-cert", "client.pem", "-key",
                    "client.key", "-alpn", "http/1.1", "-ign_eof",
                ]
                // A request, so that tickets of TLS 1.3, which come after the handshake, are read.
                let request = "GET /until-close HTTP/1.1\r\nHost: a.test\r\n\r\n"
                let first = try await run(
                    "openssl", arguments + ["-sess_out", "session"], in: authority.folder, input: request)
                #expect(first.output.contains("New, TLSv1"), "\(first)")
                let second = try await run(
                    "openssl", arguments + ["-sess_in", "session"], in: authority.folder, input: request)
                #expect(second.output.contains("Reused, TLSv1"), "\(second)")
                let lines = server.log.securities.map { String(decoding: $0.certificateLines, as: UTF8.self) }
                #expect(lines.count == 2)
                for line in lines {
                    #expect(line.contains("X-Client-Cert-Subject: CN=someone\r\n") == (authentication != .none))
                }
            }
        }
    }

    @Test("client certificates", arguments: [ProxyOptions.TLS.ClientAuthentication.none, .optional, .required])
    func clientCertificates(authentication: ProxyOptions.TLS.ClientAuthentication) async throws {
        try await withAuthority { authority in
            try await authority.issue("client", subject: "/O=Ex, Inc./CN=someone")
            try await authority.openssl(
                ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout"]
                    + ["foreign.key", "-out", "foreign.pem", "-subj", "/CN=foreign"])
            var options = tlsOptions(authority, "a")
            options.clientAuthentication = authentication
            options.clientAuthorityFile = authority.path("ca.pem")
            options.clientCertificateHeader = .clientCert
            try await TLSTestServer.with(tls: options) { server in
                func connect(_ name: String?) async throws -> Bool {
                    let arguments = name.map { ["--cert", "\($0).pem", "--key", "\($0).key"] } ?? []
                    return try await curl(authority, server, ["--http2"] + arguments).code == 0
                }
                let check4 = try await connect("client")
                #expect(check4)
                let lines = String(decoding: server.log.securities.last?.certificateLines ?? [], as: UTF8.self)
                if authentication == .none {
                    #expect(lines == "")
                } else {
                    let base64 = try authority.read("client.pem").split(separator: "\n").dropFirst().dropLast().joined()
                    #expect(lines == "Client-Cert: :\(base64):\r\n")
                }
                let check5 = try await connect(nil) == (authentication != .required)
                #expect(check5)
                let check6 = try await connect("foreign") == (authentication == .none)
                #expect(check6)
            }
        }
    }

    @Test("a client that says nothing is closed when the handshake's time is over")
    func handshakeTimeout() async throws {
        try await withAuthority { authority in
            var options = tlsOptions(authority, "a")
            options.handshakeTimeout = .milliseconds(100)
            try await TLSTestServer.with(tls: options) { server in
                let client = try await ClientBootstrap(group: server.group)
                    .connect(host: "127.0.0.1", port: server.port).get()
                try await client.closeFuture.get()
                #expect(server.log.events == [.handshakeTimedOut])
            }
        }
    }

    @Test("plain HTTP to the TLS port fails the handshake", arguments: [true, false])
    func plainText(needsServerName: Bool) async throws {
        try await withAuthority { authority in
            var options = tlsOptions(authority, "a")
            options.strictServerName = needsServerName
            try await TLSTestServer.with(tls: options) { server in
                let result = try await run(
                    "curl", ["-sS", "--noproxy", "*", "--max-time", "9", "http://127.0.0.1:\(server.port)/"])
                #expect(result.code != 0 && result.code != 28, "\(result)")
                #expect(server.log.requests.isEmpty)
            }
        }
    }

    @Test("without TLS the same pipeline serves plain HTTP/1.1")
    func plain() async throws {
        try await TLSTestServer.with(tls: nil) { server in
            let result = try await run(
                "curl", ["-sS", "--noproxy", "*", "--max-time", "9", "http://127.0.0.1:\(server.port)/echo"])
            #expect(result.output.hasPrefix("GET /echo HTTP/1.1\r\n"))
            #expect(server.log.securities == [.plaintext])
        }
    }
}
