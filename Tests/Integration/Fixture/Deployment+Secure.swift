import Foundation

/// TLS of a deployment: an authority, the certificates that it signs, and nghttpx where somebody has to speak TLS or HTTP/2
/// who does not know how.
extension Deployment {
    var instanceAddresses: [String] {
        shape.security.instances
            ? instanceFrontPorts.map { "https://127.0.0.1:\($0)" } : instancePorts.map { "http://127.0.0.1:\($0)" }
    }

    var secureConfiguration: String {
        var text = ""
        if shape.security.clients != .plain {
            text += """
                tls:
                  listen: 127.0.0.1:\(securePort)
                  certificates: [{ cert: server.pem, key: server.key }]
                  reload-interval: 1s

                """
        }
        if shape.security.instances {
            let name = shape.security.serverName.map { ", server-name: \($0)" } ?? ""
            text += "upstream-tls: { ca-file: ca.pem\(name) }\n"
        }
        return text
    }

    func makeCertificates() async throws {
        try await openssl(
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key"]
                + ["-out", "ca.pem", "-days", "30", "-subj", "/CN=Test Authority"])
        try await issue("server")
    }

    /// Makes NAME.pem and NAME.key.
    func issue(_ name: String) async throws {
        try await openssl(
            ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "\(name).key"]
                + ["-out", "\(name).csr", "-subj", "/CN=\(name)"])
        let subject = shape.security.serverName.map { "DNS:\($0)" } ?? "IP:127.0.0.1"
        try write("subjectAltName=\(subject)\n", to: "\(name).ext")
        try await openssl(
            [
                "x509", "-req", "-in", "\(name).csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                "9",
            ]
                + ["-out", "\(name).pem", "-extfile", "\(name).ext"])
    }

    /// Puts another certificate in the server's place, as a renewal does.
    func replaceCertificate() async throws {
        try await issue("next")
        for ending in ["key", "pem"] {
            guard rename("\(folder)/next.\(ending)", "\(folder)/server.\(ending)") == 0 else {
                throw IntegrationFailure("server.\(ending) cannot be replaced")
            }
        }
    }

    private func openssl(_ arguments: [String]) async throws {
        let line = "cd '\(folder)' && exec openssl \(arguments.map { "'\($0)'" }.joined(separator: " "))"
        let process = try launch("openssl", "/bin/sh", ["-c", line])
        let end = try await process.awaitEnd(within: .seconds(20))
        guard end == .exited(0) else { throw IntegrationFailure("openssl \(arguments): \(end)") }
    }

    private static let program = "/usr/sbin/nghttpx"
    private static let common = [
        "--conf=/dev/null", "--single-process", "--workers=2", "--accesslog-file=/dev/null", "--insecure",
        "--backend-keep-alive-timeout=30s",
    ]

    func startFront() async throws {
        try launch(
            "front", Self.program,
            Self.common + [
                "--frontend=127.0.0.1,\(frontPort);no-tls", "--backend=127.0.0.1,\(securePort);;tls;proto=h2",
            ])
        try await awaitPort(frontPort)
    }

    func startInstanceFronts() async throws {
        for (index, port) in instanceFrontPorts.enumerated() {
            try launch(
                "front-\(index + 1)", Self.program,
                Self.common + [
                    "--frontend=127.0.0.1,\(port)", "--npn-list=http/1.1",
                    "--backend=127.0.0.1,\(instancePorts[index]);;proto=http/1.1", "\(folder)/server.key",
                    "\(folder)/server.pem",
                ])
            try await awaitPort(port)
        }
    }

    private func awaitPort(_ port: Int) async throws {
        _ = try await eventually("port \(port) to be listened on") { try Ports.refuses(port) ? nil : true }
    }
}
