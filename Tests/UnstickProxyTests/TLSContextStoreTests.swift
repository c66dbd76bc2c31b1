import Foundation
import Logging
import NIOSSL
import Synchronization
import Testing

@testable import UnstickProxy

@Suite("Server names")
struct ServerNameTableTests {
    private let table: ServerNameTable<Int> = {
        var table = ServerNameTable<Int>()
        table.fallback = 0
        table.insert("example.com", 1)
        table.insert("*.example.com", 2)
        table.insert("API.example.com", 3)
        table.insert("example.com", 4)
        return table
    }()

    @Test(
        "the exact name, else a wildcard of one label, else the default",
        arguments: [
            ("example.com", 1), ("EXAMPLE.Com", 1), ("example.com.", 1), ("api.example.com", 3), ("www.example.com", 2),
            ("a.b.example.com", 0), (".example.com", 0), ("example.org", 0), ("", 0), (nil, 0), ("com", 0),
        ])
    func choice(_ name: String?, _ expected: Int) {
        #expect(table.value(for: name) == expected)
    }

    @Test("strictness leaves no default", arguments: ["example.org", "", nil, "a.b.example.com"])
    func strict(_ name: String?) {
        #expect(table.value(for: name, isStrict: true) == nil)
        #expect(table.value(for: "example.com", isStrict: true) == 1)
    }
}

@Suite("Certificates from files")
struct TLSContextStoreTests {
    private let logger = Logger(label: "test")

    private func options(_ authority: TLSTestAuthority, _ names: [String]) -> ProxyOptions.TLS {
        ProxyOptions.TLS(
            listenHost: "127.0.0.1", listenPort: 0,
            certificates: names.map {
                .init(chainFile: authority.path("\($0).pem"), keyFile: authority.path("\($0).key"))
            })
    }

    private func failure(_ options: ProxyOptions.TLS) -> String? {
        do throws(TLSFileError) {
            _ = try TLSContextStore(options: options, logger: logger)
            return nil
        } catch {
            return error.description
        }
    }

    @Test("names and expiry are read from the certificate")
    func status() async throws {
        try await TLSTestAuthority.with { authority in
            try await authority.issue("a", subject: "/CN=x", alternatives: "DNS:a.test,DNS:*.a.test,IP:127.0.0.1")
            try await authority.issue("b", subject: "/O=Old/CN=b.test", days: 40)
            let store = try TLSContextStore(options: options(authority, ["a", "b"]), logger: logger)
            let certificates = store.certificates
            #expect(certificates.map(\.names) == [["a.test", "*.a.test"], ["b.test"]])
            #expect(certificates.map(\.file) == [authority.path("a.pem"), authority.path("b.pem")])
            let now = Int64(time(nil))
            for (certificate, days) in zip(certificates, [20, 40] as [Int64]) {
                #expect((0...120).contains(now + days * 86_400 - certificate.expiry))
                #expect(certificate.daysLeft(at: certificate.expiry - 3 * 86_400) == 3)
                #expect(certificate.daysLeft(at: certificate.expiry - 3 * 86_400 + 1) == 2)
                #expect(certificate.daysLeft(at: certificate.expiry) == 0)
                #expect(certificate.daysLeft(at: certificate.expiry + 1) == -1)
            }
            #expect(store.context(serverName: "A.test") !== store.context(serverName: "b.test"))
            #expect(store.context(serverName: "www.a.test") === store.context(serverName: nil))
        }
    }

    @Test("bad files are named with what is wrong with them")
    func badFiles() async throws {
        try await TLSTestAuthority.with { authority in
            try await authority.issue("a", subject: "/CN=a")
            try await authority.issue("b", subject: "/CN=b")
            try await authority.openssl(["pkcs8", "-topk8", "-in", "a.key", "-out", "locked.key", "-passout", "pass:x"])
            try authority.write("empty.pem", "")
            try authority.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            func options(_ chain: String, _ key: String) -> ProxyOptions.TLS {
                ProxyOptions.TLS(
                    listenHost: "", listenPort: 0,
                    certificates: [.init(chainFile: authority.path(chain), keyFile: authority.path(key))])
            }
            let path = authority.folder
            #expect(
                failure(options("none.pem", "a.key"))
                    == "'\(path)/none.pem' cannot be read: No such file or directory")
            #expect(failure(options("empty.pem", "a.key")) == "'\(path)/empty.pem' holds no certificate in PEM form")
            #expect(
                failure(options("broken.pem", "a.key"))
                    == "'\(path)/broken.pem' holds a certificate that cannot be read")
            #expect(failure(options("a.pem", "a.pem")) == "'\(path)/a.pem' holds no private key in PEM form")
            #expect(
                failure(options("a.pem", "locked.key"))
                    == "'\(path)/locked.key' holds an encrypted key; expected one without a passphrase")
            #expect(
                failure(options("a.pem", "b.key"))
                    == "'\(path)/b.key' does not fit the certificate in '\(path)/a.pem'")
            #expect(failure(options("..", "b.key")) == "'\(path)/..' is not a regular file")
            #expect(failure(options("a.pem", "a.key")) == nil)
        }
    }

    @Test("files are looked at once an interval", arguments: [(1, "a"), (2, "new")])
    func watching(sleeps: Int, name: String) async throws {
        try await TLSTestAuthority.with { authority in
            for name in ["a", "new"] { try await authority.issue(name, subject: "/CN=\(name)") }
            let store = try TLSContextStore(options: options(authority, ["a"]), logger: logger)
            try authority.replace("a.pem", with: "new.pem")
            try authority.replace("a.key", with: "new.key")
            await store.watch(clock: CountedClock(sleeps: sleeps))
            #expect(store.certificates.map(\.names) == [[name]])
        }
    }

    @Test("a change is loaded once it has settled, a broken one leaves the old certificate")
    func reload() async throws {
        try await TLSTestAuthority.with { authority in
            for name in ["a", "b", "new"] { try await authority.issue(name, subject: "/CN=\(name)") }
            let store = try TLSContextStore(options: options(authority, ["a", "b"]), logger: logger)
            #expect(store.reloadIfChanged() == .unchanged)
            let (first, second) = (store.context(serverName: "a"), store.context(serverName: "b"))

            // Only the certificate has been exchanged yet: nothing is read, then the pair does not fit.
            try authority.replace("a.pem", with: "new.pem")
            #expect(store.reloadIfChanged() == .settling)
            let broken = TLSFileError(
                authority.path("a.key"), "does not fit the certificate in '\(authority.path("a.pem"))'")
            #expect(store.reloadIfChanged() == .failed([broken]))
            #expect(store.context(serverName: "a") === first)
            #expect(store.certificates.map(\.names) == [["a"], ["b"]])
            // The other one was loaded anew beside it.
            #expect(store.context(serverName: "b") !== second)
            // What is broken is not tried, and not logged, again and again.
            #expect(store.reloadIfChanged() == .unchanged)

            try authority.replace("a.key", with: "new.key")
            #expect(store.reloadIfChanged() == .settling)
            #expect(store.reloadIfChanged() == .reloaded)
            #expect(store.context(serverName: "new") !== first)
            #expect(store.certificates.map(\.names) == [["new"], ["b"]])

            try FileManager.default.removeItem(atPath: authority.path("b.pem"))
            #expect(store.reloadIfChanged() == .settling)
            let missing = TLSFileError(authority.path("b.pem"), "cannot be read: No such file or directory")
            #expect(store.reloadIfChanged() == .failed([missing]))
            #expect(store.certificates.map(\.names) == [["new"], ["b"]])
        }
    }
}

/// A clock that never waits and is over after some sleeps.
private final class CountedClock: Clock {
    private let rest: Mutex<Int>
    private let source = ContinuousClock()
    init(sleeps: Int) { rest = Mutex(sleeps) }
    var now: ContinuousClock.Instant { source.now }
    var minimumResolution: Duration { .zero }
    func sleep(until deadline: ContinuousClock.Instant, tolerance: Duration?) async throws {
        try rest.withLock { rest in
            guard rest > 0 else { throw CancellationError() }
            rest -= 1
        }
    }
}

@Suite("Addresses of instances")
struct InstanceOriginTests {
    @Test(
        "scheme, host and port",
        arguments: [
            ("http://127.0.0.1:5001", false, "127.0.0.1", 5001, "127.0.0.1:5001"),
            ("https://web-1.internal:8443", true, "web-1.internal", 8443, "web-1.internal:8443"),
            ("HTTPS://a", true, "a", 443, "a:443"), ("http://a/", false, "a", 80, "a:80"),
            ("https://[::1]:8443", true, "::1", 8443, "[::1]:8443"), ("https://[::1]", true, "::1", 443, "[::1]:443"),
            ("http://a:x", false, "a", 0, "a:0"), ("http://a:70000", false, "a", 0, "a:0"),
        ])
    func parts(_ url: String, _ isSecure: Bool, _ host: String, _ port: Int, _ authority: String) {
        let origin = InstanceOrigin(url: url)
        #expect(origin.isSecure == isSecure)
        #expect(origin.host == host)
        #expect(origin.port == port)
        #expect(origin.authority == authority)
    }
}

@Suite("Fields about a client's certificate")
struct ClientCertificateFieldsTests {
    @Test(
        "clients cannot claim one",
        arguments: [
            ("Client-Cert", true), ("client-cert", true), ("CLIENT_CERT", true), ("Client-Cert-Chain", true),
            ("Client_Cert-chain", true), ("X-Client-Cert-Subject", true), ("x_client_cert_serial", true),
            ("X-Client-Cert-", true), ("Client-Certs", false), ("X-Client-Cer", false), ("Client-Cert-Chains", false),
            ("Accept", false), ("", false),
        ])
    func reserved(_ name: String, _ expected: Bool) {
        #expect(ClientCertificateFields.isReserved(Array(name.utf8)) == expected)
    }

    @Test("base64 with its padding", arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")])
    func base64(_ text: String, _ expected: String) {
        #expect(ClientCertificateFields.base64(Array(text.utf8)) == expected)
    }

    @Test("base64 has the letters that base64url replaces")
    func base64Letters() {
        #expect(ClientCertificateFields.base64([0xfb, 0xff, 0xfe]) == "+//+")
    }

    @Test("a subject cannot break out of its field")
    func names() {
        let name = ClientCertificateFields.distinguishedName([
            .init("Ex, Inc.\r\nX: y", .organization), .init(" #ü\"", .commonName),
        ])
        #expect(name == "CN=\\ #\\c3\\bc\\\",O=Ex\\, Inc.\\0d\\0aX: y")
    }
}
