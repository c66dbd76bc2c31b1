import BridgeContract
import HTTPWire
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Session and home of a request")
struct RequestMarksTests {
    static let secret = BridgeSecret(fileBytes: Array(repeating: UInt8(ascii: "k"), count: 32))!
    static let names = ["web-1", "web-2", "web-3"]
    static let own = names.map { "\($0)~\(secret.affinitySignature(instance: $0))" }

    static func table(_ affinity: ProxyOptions.Affinity, states: [RoutingTable.Instance.State] = []) -> LoopTable {
        let instances = names.enumerated().map { index, name in
            RoutingTable.Instance(
                name: name, url: "http://127.0.0.1:\(5001 + index)",
                state: index < states.count ? states[index] : .active)
        }
        return LoopTable(
            table: RoutingTable(
                epoch: Epoch(1), phase: .sticky, generation: .none, instances: instances),
            isProvisional: false, pools: [], affinityValues: own.map { Array($0.utf8) }, affinity: affinity)
    }

    struct Found: Equatable {
        var session: String?
        var home: Int?
        var hasOwnCookie = false
        var isAdopted = false
        var hidden: String?
    }

    static func read(
        _ fields: [String], target: String = "/", affinity: ProxyOptions.Affinity = .init(),
        session: ProxyOptions.Session = .init(), states: [RoutingTable.Instance.State] = []
    ) throws -> Found {
        let text = "GET \(target) HTTP/1.1\r\nHost: a\r\n" + fields.map { "\($0)\r\n" }.joined() + "\r\n"
        let table = table(affinity, states: states)
        return try Array(text.utf8).withUnsafeBytes { bytes in
            var head = RequestHead()
            let isComplete = try head.parse(bytes)
            #expect(isComplete)
            let marks = MarkReader(session: session, affinity: affinity).read(
                head, in: bytes, table: table, addressHash: AddressAffinity.hash("10.1.2.3".utf8))
            return Found(
                session: marks.session?.text(in: bytes), home: marks.home, hasOwnCookie: marks.hasOwnCookie,
                isAdopted: marks.isAdopted, hidden: marks.hidden?.text(in: bytes))
        }
    }

    static func adopting(_ rules: AdoptedAffinity..., method: ProxyOptions.Affinity.Method = .cookie)
        -> ProxyOptions.Affinity
    {
        var affinity = ProxyOptions.Affinity()
        affinity.method = method
        affinity.adopt = rules
        return affinity
    }

    @Test("our own cookie names the home; a forged, foreign or cut one names nobody")
    func ownCookie() throws {
        #expect(
            try Self.read(["Cookie: a=b; UNSTICK=\(Self.own[1]); session=s"])
                == Found(session: "s", home: 1, hasOwnCookie: true))
        for wrong in ["web-2~AAAAAAAAAAAAAAAAAAAAAA", "web-2", String(Self.own[1].dropLast()), Self.own[1] + "A", ""] {
            #expect(try Self.read(["Cookie: UNSTICK=\(wrong)"]) == Found(hasOwnCookie: true), "\(wrong)")
        }
        #expect(try Self.read(["Cookie: unstick=\(Self.own[1])"]) == Found())
    }

    @Test("of two of our cookies the first counts, as of two session cookies")
    func firstWins() throws {
        #expect(
            try Self.read(["Cookie: UNSTICK=x; UNSTICK=\(Self.own[0])", "Cookie: session=1; session=2"])
                == Found(session: "1", hasOwnCookie: true))
    }

    @Test("an adopted cookie names the home where ours does not, and then ours is issued")
    func adopted() throws {
        let affinity = Self.adopting(
            AdoptedAffinity(cookie: "SERVERID", format: .haproxyInsert, servers: [.init(name: "s3", instance: "web-3")])
        )
        #expect(try Self.read(["Cookie: SERVERID=s3"], affinity: affinity) == Found(home: 2, isAdopted: true))
        #expect(
            try Self.read(["Cookie: SERVERID=s3; UNSTICK=\(Self.own[0])"], affinity: affinity)
                == Found(home: 0, hasOwnCookie: true))
        #expect(
            try Self.read(["Cookie: SERVERID=s3; UNSTICK=forged"], affinity: affinity)
                == Found(home: 2, hasOwnCookie: true, isAdopted: true))
        #expect(try Self.read(["Cookie: SERVERID=s4"], affinity: affinity) == Found())
    }

    @Test("among adopted ones the rule that is configured first wins, wherever its cookie stands")
    func order() throws {
        let affinity = Self.adopting(
            AdoptedAffinity(cookie: "a", format: .value), AdoptedAffinity(cookie: "b", format: .value))
        #expect(
            try Self.read(["Cookie: b=web-2; a=web-1"], affinity: affinity) == Found(home: 0, isAdopted: true))
        #expect(
            try Self.read(["Cookie: b=web-2; a=unknown"], affinity: affinity) == Found(home: 1, isAdopted: true))
    }

    @Test("HAProxy's prefix is kept from the application, also one that names nobody")
    func prefix() throws {
        let affinity = Self.adopting(AdoptedAffinity(cookie: "JSESSIONID", format: .haproxyPrefix))
        var session = ProxyOptions.Session()
        session.cookie = "JSESSIONID"
        #expect(
            try Self.read(["Cookie: a=1; JSESSIONID=web-2~abc"], affinity: affinity, session: session)
                == Found(session: "abc", home: 1, isAdopted: true, hidden: "web-2~"))
        #expect(
            try Self.read(["Cookie: JSESSIONID=gone~abc"], affinity: affinity, session: session)
                == Found(session: "abc", hidden: "gone~"))
        #expect(
            try Self.read(["Cookie: JSESSIONID=abc; UNSTICK=\(Self.own[2])"], affinity: affinity, session: session)
                == Found(session: "abc", home: 2, hasOwnCookie: true))
        #expect(
            try Self.read(
                ["Cookie: JSESSIONID=web-1~abc; UNSTICK=\(Self.own[2])"], affinity: affinity, session: session)
                == Found(session: "abc", home: 2, hasOwnCookie: true, hidden: "web-1~"))
    }

    @Test("Tomcat's route counts in the cookie and in the path, and stays part of the id")
    func route() throws {
        let affinity = Self.adopting(AdoptedAffinity(cookie: "JSESSIONID", parameter: "jsessionid", format: .route))
        var session = ProxyOptions.Session()
        session.cookie = "JSESSIONID"
        session.urlParameter = "jsessionid"
        #expect(
            try Self.read(["Cookie: JSESSIONID=AB.web-3"], affinity: affinity, session: session)
                == Found(session: "AB.web-3", home: 2, isAdopted: true))
        #expect(
            try Self.read([], target: "/shop;jsessionid=AB.web-2?x=1", affinity: affinity, session: session)
                == Found(session: "AB.web-2", home: 1, isAdopted: true))
        #expect(
            try Self.read([], target: "/shop?y=2&jsessionid=AB.web-2&z", affinity: affinity, session: session)
                == Found(session: "AB.web-2", home: 1, isAdopted: true))
    }

    @Test("the method url-parameter reads the signed value from path or query, with `~` encoded or not")
    func urlParameter() throws {
        var affinity = ProxyOptions.Affinity()
        affinity.method = .urlParameter
        affinity.parameter = "home"
        let value = Self.own[1]
        for target in ["/a;home=\(value)/b", "/a?home=\(value)&c=d", "/a?home=\(value.replacing("~", with: "%7e"))"] {
            #expect(try Self.read([], target: target, affinity: affinity) == Found(home: 1), "\(target)")
        }
        #expect(try Self.read([], target: "/a?home=web-2", affinity: affinity) == Found())
        #expect(try Self.read(["Cookie: UNSTICK=\(value)"], affinity: affinity) == Found())
    }

    @Test("a session id from a header counts where cookie and parameter lack it; names in any case")
    func header() throws {
        var session = ProxyOptions.Session()
        session.header = "X-Session"
        #expect(try Self.read(["x-session:  abc "], session: session) == Found(session: "abc"))
        #expect(try Self.read(["X-Session: abc", "Cookie: session=d"], session: session) == Found(session: "d"))
        #expect(try Self.read(["X-Session:"], session: session) == Found())
    }

    @Test("ip-hash: an address has one home, which keeps it while it drains; other marks go first")
    func ipHash() throws {
        let affinity = Self.adopting(AdoptedAffinity(cookie: "a", format: .value), method: .ipHash)
        let home = try #require(try Self.read([], affinity: affinity).home)
        var states: [RoutingTable.Instance.State] = [.active, .active, .active]
        states[home] = .draining
        #expect(try Self.read([], affinity: affinity, states: states).home == home)
        #expect(try Self.read(["Cookie: a=web-1"], affinity: affinity) == Found(home: 0, isAdopted: true))
        #expect(try Self.read(["Cookie: UNSTICK=\(Self.own[(home + 1) % 3])"], affinity: affinity) == Found(home: home))
    }

    @Test("addresses: IPv4 in IPv6's clothes is IPv4, and of IPv6 only the network counts")
    func addresses() {
        #expect(AddressAffinity.hash("::ffff:10.1.2.3".utf8) == AddressAffinity.hash("10.1.2.3".utf8))
        #expect(AddressAffinity.hash("2001:db8:1:2::a".utf8) == AddressAffinity.hash("2001:db8:1:2:ffff::b".utf8))
        #expect(AddressAffinity.hash("2001:db8:1:3::a".utf8) != AddressAffinity.hash("2001:db8:1:2::a".utf8))
        #expect(AddressAffinity.hash("10.1.2.3".utf8) != AddressAffinity.hash("10.1.2.4".utf8))
    }
}

@Suite("Values and lines of the affinity")
struct AffinityTableTests {
    @Test("a thousand values are told apart, and what is not among them is nobody")
    func thousand() {
        let values = (0..<1000).map { (value: Array("web-\($0)~\($0 * 7919)".utf8), instance: $0) }
        let index = ValueIndex(values + [(value: [], instance: 3), (value: values[5].value, instance: 6)])
        #expect(index.count == 1000)
        for (value, instance) in values {
            #expect(value.withUnsafeBytes { index.instance($0) } == instance)
            #expect((value + [0]).withUnsafeBytes { index.instance($0) } == nil)
            #expect(value.dropFirst().withUnsafeBytes { index.instance($0) } == nil)
        }
        #expect([UInt8]().withUnsafeBytes { index.instance($0) } == nil)
    }

    @Test("a value that differs in one byte only, wherever, is nobody's")
    func everyByte() {
        let value = Array(RequestMarksTests.own[0].utf8)
        let index = ValueIndex([(value: value, instance: 0)])
        #expect(value.withUnsafeBytes { index.instance($0) } == 0)
        for position in value.indices {
            var other = value
            other[position] ^= 1
            #expect(other.withUnsafeBytes { index.instance($0) } == nil, "\(position)")
        }
    }

    @Test("an empty index knows nobody")
    func empty() {
        let index = ValueIndex([])
        #expect([1, 2].withUnsafeBytes { index.instance($0) } == nil)
    }

    static func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test("`Secure` follows the connection, and `SameSite=None` never goes without it")
    func attributes() {
        var attributes = CookieAttributes()
        attributes.sameSite = .none
        attributes.domain = "shop.example"
        attributes.maxAgeSeconds = 3600
        let lines = SetCookieLines(cookie: "U", values: [Array("a".utf8), Array("b".utf8)], attributes: attributes)
        #expect(
            Self.text(lines.line(for: 1, isSecure: true))
                == "Set-Cookie: U=b; Path=/; HttpOnly; SameSite=None; Domain=shop.example; Secure; Max-Age=3600\r\n")
        #expect(
            Self.text(lines.line(for: 0, isSecure: false))
                == "Set-Cookie: U=a; Path=/; HttpOnly; Domain=shop.example; Max-Age=3600\r\n")
        #expect(
            Self.text(lines.expiring(isSecure: true))
                == "Set-Cookie: U=; Path=/; HttpOnly; SameSite=None; Domain=shop.example; Secure; Max-Age=0\r\n")
        attributes.secure = .always
        #expect(attributes.text(isSecure: false).contains("; SameSite=None; Domain=shop.example; Secure"))
        attributes.secure = .never
        attributes.sameSite = .strict
        #expect(
            attributes.text(isSecure: true) == "; Path=/; HttpOnly; SameSite=Strict; Domain=shop.example; Max-Age=3600")
    }
}
