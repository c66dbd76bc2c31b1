import BridgeContract
import NIOHTTP1
import SessionStore
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Affinity of real traffic")
struct AffinityLiveTests {
    static func adopting(_ format: AdoptedAffinity.Format, cookie: String) -> ProxyOptions.Affinity {
        var affinity = ProxyOptions.Affinity()
        affinity.adopt = [
            AdoptedAffinity(
                cookie: cookie, format: format,
                servers: [.init(name: "s1", instance: "web-1"), .init(name: "s2", instance: "web-2")])
        ]
        return affinity
    }

    static func get(_ path: String, _ fields: String = "") -> String {
        "GET \(path) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n"
    }

    @Test("a client of another balancer stays with its instance and gets our cookie, which wins from then on")
    func adopted() async throws {
        let affinity = Self.adopting(.haproxyInsert, cookie: "SERVERID")
        try await ProxyFixture.with(phase: .sticky, configure: { $0.affinity = affinity }) { fixture in
            let browser = Browser(fixture)
            browser.cookies = ["SERVERID": "s2"]
            for _ in 0..<4 { try await browser.increment() }
            #expect(fixture.upstreams.map(\.requests.count) == [0, 4])
            #expect(browser.cookies["UNSTICK"]?.hasPrefix("web-2~") == true)
            browser.cookies["SERVERID"] = "s1"
            let answer = try await browser.increment()
            #expect(answer.count == 5 && answer.headers["Set-Cookie"].allSatisfy { !$0.hasPrefix("UNSTICK") })
            #expect(fixture.upstreams.map(\.requests.count) == [0, 5])
        }
    }

    @Test("HAProxy's prefix does not reach the application, in any request of a connection; nothing else is missing")
    func prefix() async throws {
        let affinity = Self.adopting(.haproxyPrefix, cookie: "session")
        try await ProxyFixture.with(phase: .sticky, configure: { $0.affinity = affinity }) { fixture in
            let fields = [
                "Cookie: a=1; session=s2~abc; b=2\r\nX-Last: y\r\n", "Cookie: session=s2~abc\r\n",
                "X-First: z\r\nCookie: session=gone~abc; UNSTICK=x\r\n", "Cookie: b=s2~\r\n",
            ]
            let text =
                fields.map { Self.get("/value", $0) }.joined() + Self.get("/value", "Connection: close\r\n")
            _ = try await fixture.raw(text)
            let second = fixture.upstreams[1].requests
            #expect(second.prefix(2).map { $0.headers["Cookie"] } == [["a=1; session=abc; b=2"], ["session=abc"]])
            #expect(second.first?.headers["X-Last"] == ["y"])
            let all = fixture.upstreams.flatMap(\.requests)
            #expect(
                all.contains { $0.headers["Cookie"] == ["session=abc; UNSTICK=x"] && $0.headers["X-First"] == ["z"] })
            #expect(all.contains { $0.headers["Cookie"] == ["b=s2~"] })
        }
    }

    @Test("by address: each client has its instance whatever the connection, all have one, and nobody gets a cookie")
    func addresses() async throws {
        try await ProxyFixture.with(
            phase: .sticky, threads: 2, configure: { $0.affinity.method = .ipHash }
        ) { fixture in
            for host in 1...16 {
                for _ in 1...2 {
                    let answers = try await fixture.converse(
                        [Self.get("/client/\(host)"), Self.get("/client/\(host)")], from: "127.0.0.\(host)")
                    #expect(answers.allSatisfy { $0.status == 200 && $0.field("Set-Cookie") == nil })
                }
            }
            let served = fixture.upstreams.map { $0.requests.map(\.uri) }
            #expect(Set(served[0]).isDisjoint(with: served[1]))
            #expect(served.reduce(0) { $0 + $1.count } == 64 && served.allSatisfy { !$0.isEmpty })
        }
    }

    @Test("by address: behind a trusted proxy the client that it names counts, from a stranger it does not")
    func forwardedAddresses() async throws {
        for isTrusted in [true, false] {
            try await ProxyFixture.with(
                phase: .sticky,
                configure: {
                    $0.affinity.method = .ipHash
                    if isTrusted { $0.forwarding.trustedProxies = [.init(bytes: [127, 0, 0, 1], prefixLength: 32)!] }
                }
            ) { fixture in
                try await fixture.converse(
                    (1...16).map { Self.get("/\($0)", "X-Forwarded-For: 192.0.2.\($0)\r\n") })
                #expect(fixture.upstreams.contains { $0.requests.isEmpty } == !isTrusted)
            }
        }
    }

    @Test("by parameter: in the path or the query, signed; a forged one and the cookie pin nobody")
    func parameter() async throws {
        try await ProxyFixture.with(
            phase: .sticky,
            configure: {
                $0.affinity.method = .urlParameter
                $0.affinity.parameter = "node"
                $0.balance = .roundRobin
            }
        ) { fixture in
            let second = fixture.affinity("web-2")
            let answers = try await fixture.converse([
                Self.get("/a?x=1&node=\(second)"), Self.get("/a;node=\(second)"), Self.get("/a;node=\(second)/b?c"),
            ])
            #expect(fixture.upstreams.map(\.requests.count) == [0, 3])
            #expect(answers.allSatisfy { $0.field("Set-Cookie") == nil })
            try await fixture.converse(
                [Self.get("/a?node=web-2~forged"), Self.get("/a?node=web-2~forged")]
                    + [
                        Self.get("/a", "Cookie: UNSTICK=\(second)\r\n"),
                        Self.get("/a", "Cookie: UNSTICK=\(second)\r\n"),
                    ])
            #expect(fixture.upstreams.map(\.requests.count) == [2, 5])
        }
    }

    @Test("a session that a header names is mirrored, and given to an instance that lost it")
    func sessionHeader() async throws {
        try await ProxyFixture.with(
            phase: .mirroring, applications: 0,
            configure: {
                $0.session.cookie = nil
                $0.session.header = "X-Session"
            }
        ) { fixture in
            let application = CounterApplication(incarnation: "h1")
            let upstream = try await TestUpstream(group: fixture.group) { request in
                var request = request
                if let id = request.headers.first(name: "x-session") {
                    request.headers.replaceOrAdd(name: "Cookie", value: "session=\(id)")
                }
                return application.answer(request)
            }
            await fixture.use([.init(name: "web-1", url: upstream.url)])
            let post = "POST /increment HTTP/1.1\r\nHost: a\r\nx-session: h1-1\r\n\r\n"
            try await fixture.converse([MetricsLiveTests.post])
            #expect(try await fixture.stored("h1-1")?.version.version == 1)
            application.memory.withLock { $0.sessions = [:] }
            let answers = try await fixture.converse([post, post])
            #expect(answers.map(\.body) == ["2", "3"])
            #expect(try await fixture.stored("h1-1")?.version.version == 3)
            await upstream.close()
        }
    }

    @Test("the cookie is Secure where the client used https at a trusted proxy, and only there")
    func secure() async throws {
        for isTrusted in [true, false] {
            try await ProxyFixture.with(
                phase: .sticky, applications: 1,
                configure: {
                    if isTrusted { $0.forwarding.trustedProxies = [.init(bytes: [127, 0, 0, 1], prefixLength: 32)!] }
                }
            ) { fixture in
                let answers = try await fixture.converse([
                    Self.get("/", "X-Forwarded-Proto: https\r\n"), Self.get("/", "X-Forwarded-Proto: http\r\n"),
                    Self.get("/"),
                ])
                let cookies = answers.map { $0.field("Set-Cookie") ?? "" }
                #expect(cookies.allSatisfy { $0.hasPrefix("UNSTICK=web-1~") && $0.contains("; HttpOnly") })
                #expect(cookies.map { $0.hasSuffix("; Secure") } == [isTrusted, false, false])
            }
        }
    }

    @Test("in completed the cookie expires, with the path and domain that it was set with, where the client has it")
    func expires() async throws {
        try await ProxyFixture.with(
            phase: .completed, applications: 1,
            configure: {
                $0.affinity.cookieAttributes.path = "/shop"
                $0.affinity.cookieAttributes.domain = "example.org"
            }
        ) { fixture in
            let answers = try await fixture.converse([
                Self.get("/", "Cookie: UNSTICK=\(fixture.affinity("web-1"))\r\n"), Self.get("/"),
            ])
            let cookie = answers[0].field("Set-Cookie") ?? ""
            #expect(cookie.hasPrefix("UNSTICK=; Path=/shop") && cookie.hasSuffix("; Max-Age=0"))
            #expect(cookie.contains("; Domain=example.org"))
            #expect(answers[1].field("Set-Cookie") == nil)
        }
    }
}
