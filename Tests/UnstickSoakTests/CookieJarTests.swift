import Testing
import UnstickSoak

@Suite("Cookies")
struct CookieJarTests {
    private static let now: Int64 = 1_700_000_000

    private func header(_ fields: [String], path: String = "/value", from requestPath: String = "/increment") -> String?
    {
        var jar = CookieJar()
        for field in fields { jar.store(field, requestPath: requestPath, now: Self.now) }
        return CookieJar.header(jar.cookies(path: path))
    }

    @Test(
        "what is presented after these Set-Cookie fields",
        arguments: [
            (["sid=a"], "sid=a"),
            (["sid=a; Path=/; HttpOnly; SameSite=Lax; Secure"], "sid=a"),
            (["sid=a=b=="], "sid=a=b=="),
            (["sid=\"a b\""], "sid=\"a b\""),
            (["sid=a", "sid=b"], "sid=b"),
            (["sid=a", "home=web-1"], "sid=a; home=web-1"),
            (["sid=a", "SID=b"], "sid=a; SID=b"),
            (["sid=a; path=/; Max-Age=60"], "sid=a"),
            (["sid=a", "sid=; Max-Age=0"], nil),
            (["sid=a", "sid=; max-age=-1; expires=Fri, 01 Jan 2100 00:00:00 GMT"], nil),
            (["sid=a", "sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], nil),
            (["sid=a", "sid=x; Expires=Thu, 01-Jan-70 00:00:01 GMT"], nil),
            (["sid=a", "sid=b; Expires=Tue, 14 Nov 2023 22:13:20 GMT"], nil),
            (["sid=a", "sid=b; Expires=Tue, 14 Nov 2023 22:13:21 GMT"], "sid=b"),
            (["sid=a; Expires=never"], "sid=a"),
            (["sid=a; Path=/admin"], nil),
            (["sid=a; Path=/val"], nil),
            (["sid=a; Path=/", "sid=b; Path=/value"], "sid=b; sid=a"),
            (["sid=a; Path=/", "sid=; Path=/other; Max-Age=0"], "sid=a"),
            (["nonsense"], nil),
            (["=a"], nil),
        ] as [([String], String?)])
    func fields(fields: [String], expected: String?) {
        #expect(header(fields) == expected)
    }

    @Test("without Path a cookie belongs to the request's folder")
    func defaultPath() {
        #expect(header(["sid=a"], path: "/shop/value", from: "/shop/increment") == "sid=a")
        #expect(header(["sid=a"], path: "/value", from: "/shop/increment") == nil)
    }

    @Test("a cookie expires at its time")
    func expiry() {
        var jar = CookieJar()
        jar.store("sid=a; Max-Age=60", requestPath: "/", now: Self.now)
        jar.expire(now: Self.now + 59)
        #expect(jar.cookies.count == 1)
        let revision = jar.revision
        jar.expire(now: Self.now + 60)
        #expect(jar.cookies.isEmpty)
        #expect(jar.revision > revision)
    }

    @Test("the jar's size is bounded")
    func bounded() {
        var jar = CookieJar()
        for number in 0..<200 { jar.store("c\(number)=x", requestPath: "/", now: Self.now) }
        #expect(jar.cookies.count == 50)
        jar.store("big=" + String(repeating: "x", count: 5000), requestPath: "/", now: Self.now)
        #expect(jar.cookies.count == 50)
    }
}
