import HTTPWire
import Testing

@Suite("Request targets")
struct RequestTargetTests {
    static let reservedTable: [String] = [
        "/.well-known/unstick", "/.well-known/unstick/", "/.well-known/unstick/v1/sessions", "/.well-known/unstick?x",
        "/.WELL-Known/UnStick/v1", "//.well-known/unstick/", "/.well-known//unstick/v1", "/./.well-known/./unstick/v1",
        "/a/../.well-known/unstick/v1", "/a/b/../../.well-known/unstick", "/../../.well-known/unstick",
        "/.well-known/x/../unstick/v1",
        "/.well-known;a=b/unstick/v1", "/.well-known/unstick;jsessionid=1/v1", "/.well-known/unstick;x",
        "/;x/.well-known/unstick",
        "/a/..;/.well-known/unstick", "/a/..;x=y/.well-known/unstick", "\\.well-known\\unstick\\v1",
        "/.well-known\\unstick",
        "/%2ewell-known/unstick", "/.well-known%2funstick", "/.well-known%2Funstick%2fv1", "/%2Ewell%2Dknown/%75nstick",
        "/.well-known/unstic%6B",
        "/.well-known/unstick%3fx", "/.well-known/unstick%23x", "/.well-known/unstick%3bx/y",
        "/.well-known/unstick%00.html",
        "/%252ewell-known/unstick", "/.well-known/%2575nstick", "/%25252ewell-known/unstick",
        "/a/%2e%2e/.well-known/unstick",
        "/a/%252e%252e/.well-known/unstick", "/.well-known%5cunstick", "http://a/.well-known/unstick/v1",
        "HTTPS://a:1//.well-known/unstick",
        "//host/.well-known/unstick", "/.well-known/unstick/../x", "/x%3f/../.well-known/unstick",
        "/.well-known/unstick/%", "http://a/%2ewell-known/unstick",
        "/.well-known/%20/../unstick",
    ]

    @Test("every disguise of the reserved place is recognised", arguments: reservedTable)
    func reserved(target: String) {
        #expect(octets(target).withUnsafeBytes { RequestTarget.isReservedPath($0) })
    }

    static let freeTable: [String] = [
        "/", "", "*", "/index.html", "/a?x=/.well-known/unstick", "/.well-known/acme-challenge/x", "/.well-known",
        "/.well-known/",
        "/.well-known/unsticky", "/.well-known/unstick.txt", "/docs/.well-known/unstick", "/well-known/unstick",
        "/.well-known/un/stick",
        "/.well-known/x/unstick", "/a%20b/c", "/%", "/%zz", "/%2", "/.hidden", "/.well-known/../unstick",
        "/a?%2ewell-known/unstick", "host:443",
        "http://a/x", "http://a", "http://.well-known/unstick", "/100%25/.well", "/.well-known/%2575nstic",
    ]

    @Test("other targets are free", arguments: freeTable)
    func free(target: String) {
        #expect(!octets(target).withUnsafeBytes { RequestTarget.isReservedPath($0) })
    }

    static let sessionsTable: [(String, String?)] = [
        ("/a;jsessionid=X1", "X1"), ("/a;jsessionid=X1?q", "X1"), ("/a;jsessionid=X1/b;c", "X1"),
        ("/a;jsessionid=X1;v=2", "X1"), ("/a;v=2;jsessionid=X1#f", "X1"),
        ("/a;jsessionid=A;jsessionid=B", "A"), ("/a;JSESSIONID=X1", nil), ("/a;jsessionid=", nil),
        ("/a;jsessionid", nil), ("/a?;jsessionid=X1", nil),
        ("/a;jsessionidx=X1", nil), ("/a;xjsessionid=X1", nil), ("/jsessionid=X1", nil),
        ("http://h/a;jsessionid=X.1-2", "X.1-2"), ("/a;;jsessionid=X1", "X1"),
        ("/a;", nil),
    ]

    @Test("the session parameter of the path is found", arguments: sessionsTable)
    func session(target: String, value: String?) throws {
        let name = try #require(CookieName("jsessionid"))
        octets("GET " + target + ";jsessionid=behind").withUnsafeBytes { bytes in
            let slice = ByteSlice(start: 4, end: 4 + target.unicodeScalars.count)
            #expect(
                RequestTarget.sessionID(in: slice, of: bytes, parameter: name).map { latin1($0, in: bytes) } == value)
        }
    }
}
