import HTTPWire
import Testing

@Suite("Request heads")
struct RequestHeadTests {
    static let fullText =
        "POST /shop/cart;jsessionid=A1?x=1 HTTP/1.1\r\nHost: shop.example:8080\r\nCookie:\t a=1; b=2 \t\r\n"
        + "Connection: keep-alive, Upgrade, X-Drop\r\nUpgrade: websocket\r\nX-Drop: 1\r\nExpect: 100-Continue\r\n"
        + "X-Empty:\r\nX-Tab: a\tb\r\nX-High: \u{e9}\r\nContent-Length: 12\r\n\r\nHello, World"

    @Test("a full head is read with all that it says")
    func full() throws {
        let head = try #require(parseRequest(Self.fullText).value)
        #expect(head.method == .post)
        #expect(head.target == "/shop/cart;jsessionid=A1?x=1")
        #expect(head.pathAndQuery == head.target)
        #expect(head.form == .origin)
        #expect(head.host == "shop.example:8080")
        #expect(head.minor == 1)
        #expect(head.framing == .length(12))
        #expect(head.keepAlive)
        #expect(head.expectsContinue)
        #expect(head.wantsUpgrade)
        #expect(
            head.fields == [
                "Host:shop.example:8080", "Cookie:a=1; b=2", "Connection:keep-alive, Upgrade, X-Drop",
                "Upgrade:websocket",
                "X-Drop:1", "Expect:100-Continue", "X-Empty:", "X-Tab:a\tb", "X-High:\u{e9}", "Content-Length:12",
            ]
        )
        #expect(head.lines[1] == "Cookie:\t a=1; b=2 \t\r\n")
        #expect(head.headLength == Self.fullText.unicodeScalars.count - 12)
    }

    static let splittable: [String] = [
        fullText,
        "\r\nGET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\n\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET / FOO\r\nHost: a\r\n\r\n",
        "BREW /pot HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /\u{7} HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\rX: y\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
    ]

    @Test("the result is the same wherever the bytes are split", arguments: splittable)
    func split(text: String) {
        let bytes = octets(text)
        let whole = parseRequest(bytes)
        #expect(whole != .incomplete)
        for first in 0...bytes.count {
            #expect(parseRequest(bytes, arrivals: [first]) == whole, "split at \(first)")
        }
        #expect(parseRequest(bytes, arrivals: Array(0...bytes.count)) == whole)
        for first in stride(from: 0, to: bytes.count, by: 7) {
            for second in stride(from: first, to: bytes.count, by: 5) {
                #expect(parseRequest(bytes, arrivals: [first, second]) == whole, "split at \(first) and \(second)")
            }
        }
    }

    @Test("a head is incomplete before its last byte")
    func incomplete() {
        let bytes = octets("GET /a HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n")
        for count in 0..<bytes.count { #expect(parseRequest(Array(bytes[..<count])) == .incomplete) }
        #expect(parseRequest(bytes).value?.headLength == bytes.count)
    }

    @Test("a value is reused for the next head on the connection")
    func reuse() throws {
        var head = RequestHead()
        let first = octets(Self.fullText)
        let second = octets("GET /b HTTP/1.0\r\n\r\n")
        let firstComplete = try first.withUnsafeBytes { (bytes) throws(HTTPWireError) in try head.parse(bytes) }
        #expect(firstComplete)
        head.reset()
        try second.withUnsafeBytes { bytes in
            let complete = try head.parse(bytes)
            #expect(complete)
            #expect(RequestSnapshot(head, bytes) == parseRequest(second).value)
        }
    }

    @Test(
        "methods are told apart, case counts",
        arguments: [
            ("GET", RequestMethod.get), ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete),
            ("OPTIONS", .options), ("TRACE", .trace), ("PATCH", .patch), ("get", .other), ("GETS", .other),
            ("PROPFIND", .other), ("M-SEARCH", .other), ("OPTION", .other), ("CONNECTS", .other),
        ]
    )
    func methods(text: String, method: RequestMethod) {
        let head = parseRequest("\(text) / HTTP/1.1\r\nHost: a\r\n\r\n").value
        #expect(head?.method == method)
        #expect(head?.methodText == text)
        // Too short for a word to be loaded behind the method.
        #expect(parseRequest("\(text) /").error == nil)
    }

    @Test(
        "targets are told apart",
        arguments: [
            ("GET /a/b?c", TargetForm.origin, "/a/b?c", "h"), ("OPTIONS *", .asterisk, "", "h"),
            ("GET http://b.example/x?y", .absolute, "/x?y", "b.example"), ("GET HTTPS://b", .absolute, "", "b"),
            ("GET http://b:81?q", .absolute, "?q", "b:81"), ("CONNECT b:443", .authority, "", "b:443"),
            ("GET //b/c", .origin, "//b/c", "h"), ("CONNECT [::1]:1", .authority, "", "[::1]:1"),
        ]
    )
    func targets(line: String, form: TargetForm, path: String, host: String) {
        let head = parseRequest("\(line) HTTP/1.1\r\nHost: h\r\n\r\n").value
        #expect(head?.form == form)
        #expect(head?.pathAndQuery == path)
        #expect(head?.host == host)
    }

    @Test(
        "the connection persists as version and options say",
        arguments: [
            ("1.1", "", true), ("1.1", "Connection: close\r\n", false), ("1.1", "Connection: x, CLOSE\r\n", false),
            ("1.0", "", false), ("1.0", "Connection: keep-alive\r\n", true), ("1.1", "Connection: ,,\r\n", true),
            ("1.0", "Connection: keep-alive\r\nConnection: close\r\n", false), ("1.1", "Connection: closed\r\n", true),
        ]
    )
    func persistence(version: String, field: String, keepAlive: Bool) {
        #expect(parseRequest("GET / HTTP/\(version)\r\nHost: a\r\n\(field)\r\n").value?.keepAlive == keepAlive)
    }

    @Test("an upgrade needs both fields and HTTP/1.1")
    func upgrade() {
        func wants(_ version: String, _ fields: String) -> Bool? {
            parseRequest("GET / HTTP/\(version)\r\nHost: a\r\n\(fields)\r\n").value?.wantsUpgrade
        }
        #expect(wants("1.1", "Connection: upgrade\r\nUpgrade: websocket\r\n") == true)
        #expect(wants("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n") == false)
        #expect(wants("1.1", "Connection: upgrade\r\n") == false)
        #expect(wants("1.1", "Upgrade: websocket\r\n") == false)
    }

    @Test("an expectation counts only in HTTP/1.1 and with a body")
    func expectation() {
        func expects(_ version: String, _ fields: String) -> Bool? {
            parseRequest("PUT / HTTP/\(version)\r\nHost: a\r\nExpect: 100-continue\r\n\(fields)\r\n").value?
                .expectsContinue
        }
        #expect(expects("1.1", "Content-Length: 1\r\n") == true)
        #expect(expects("1.1", "Transfer-Encoding: chunked\r\n") == true)
        #expect(expects("1.1", "Content-Length: 0\r\n") == false)
        #expect(expects("1.1", "") == false)
        #expect(expects("1.0", "Content-Length: 1\r\n") == false)
    }

    @Test("fields named by Connection are found, those meant for all recipients are kept")
    func namedByConnection() throws {
        let bytes = octets(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-One, cookie,close\r\nConnection: x-two,host,X-Forwarded-For\r\n"
                + "X-One: 1\r\nX-TWO: 2\r\nX-On: 3\r\nCookie: c=1\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
        )
        var head = RequestHead()
        try bytes.withUnsafeBytes { bytes in
            let complete = try head.parse(bytes)
            #expect(complete)
            let named = head.headers.filter { head.headers.isNamedByConnection($0, in: bytes) }
            #expect(named.map { latin1($0.name, in: bytes) } == ["X-One", "X-TWO"])
            #expect(head.headers.connection == [.close, .others])
            #expect(head.headers.first(named: "x-two", in: bytes)?.known == .other)
            let name = try #require(FieldName("X-oN"))
            #expect(head.headers.first(named: name, in: bytes).map { latin1($0.value, in: bytes) } == "3")
            #expect(head.headers.first(named: "x-three", in: bytes) == nil)
        }
    }
}
