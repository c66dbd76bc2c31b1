import HTTPWire
import Testing

@Suite("Cookies")
struct CookieScannerTests {
    static let foundTable: [(String, String?)] = [
        ("session=abc", "abc"), ("a=1; session=abc; b=2", "abc"), ("a=1;session=abc", "abc"),
        ("  session \t= abc\t ", "abc"),
        ("session=first; session=second", "first"), ("Session=abc", nil), ("xsession=abc", nil), ("sessionx=abc", nil),
        ("session", nil),
        ("session=", ""), ("session=a=b==", "a=b=="), ("session=\"abc\"", "\"abc\""),
        ("a=\"x; session=inner\"; session=outer", "inner\""),
        ("a=1, session=abc", nil), (";;; session=abc;", "abc"), ("", nil), ("=session; session=abc", "abc"),
        ("session=s%3Aab%20c.d/+e", "s%3Aab%20c.d/+e"),
        ("session=a,b c", "a,b c"), ("se\u{e9}ssion=1; session=\u{e9}", "\u{e9}"),
    ]

    @Test("the first cookie of the exact name is found, its bytes untouched", arguments: foundTable)
    func value(text: String, value: String?) throws {
        let name = try #require(CookieName("session"))
        octets("junk" + text + "; session=behind").withUnsafeBytes { bytes in
            let field = ByteSlice(start: 4, end: 4 + text.unicodeScalars.count)
            #expect(CookieScanner.value(of: name, in: field, of: bytes).map { latin1($0, in: bytes) } == value)
        }
    }

    @Test("all Cookie fields are searched in order")
    func fields() throws {
        let name = try #require(CookieName("b"))
        var head = RequestHead()
        try octets("GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nX: b=0\r\ncookie: b=2\r\nCookie: b=3\r\n\r\n")
            .withUnsafeBytes { bytes in
                let complete = try head.parse(bytes)
                #expect(complete)
                #expect(CookieScanner.value(of: name, in: head.headers, of: bytes).map { latin1($0, in: bytes) } == "2")
            }
    }

    @Test("pairs are listed in order, empty ones skipped")
    func pairs() {
        octets("a=1; ; b ;=c;d=").withUnsafeBytes { bytes in
            let field = ByteSlice(start: 0, end: bytes.count)
            var position = 0
            var pairs: [String] = []
            while let pair = CookieScanner.nextPair(in: field, of: bytes, position: &position) {
                pairs.append(latin1(pair.name, in: bytes) + "|" + latin1(pair.value, in: bytes))
            }
            #expect(pairs == ["a|1", "|b", "|c", "d|"])
        }
    }

    @Test(
        "one pair of surrounding quotes is taken off",
        arguments: [
            ("\"abc\"", "abc"), ("abc", "abc"), ("\"", "\""), ("\"\"", ""), ("\"a", "\"a"), ("a\"", "a\""),
            ("\"\"a\"\"", "\"a\""),
        ]
    )
    func unquoted(text: String, bare: String) {
        octets(text).withUnsafeBytes { bytes in
            #expect(latin1(CookieScanner.unquoted(ByteSlice(start: 0, end: bytes.count), in: bytes), in: bytes) == bare)
        }
    }

    @Test("a Set-Cookie field's pair is read without attributes")
    func setCookie() {
        func pair(_ text: String) -> String? {
            octets(text).withUnsafeBytes { bytes in
                CookieScanner.setCookiePair(in: ByteSlice(start: 0, end: bytes.count), of: bytes).map {
                    latin1($0.name, in: bytes) + "|" + latin1($0.value, in: bytes)
                }
            }
        }
        #expect(pair("session=abc; Path=/; HttpOnly") == "session|abc")
        #expect(pair(" session = a=b ;x") == "session|a=b")
        #expect(pair("session; a=b") == nil)
    }

    @Test("names are tokens", arguments: ["", "a b", "a;b", "a=b", "\u{e9}"])
    func names(text: String) {
        #expect(CookieName(text) == nil)
        #expect(FieldName(text) == nil)
    }
}
