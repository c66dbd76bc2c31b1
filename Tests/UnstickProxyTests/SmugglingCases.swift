/// What somebody sends who wants two readers to see different requests, and what must come of it.
struct SmugglingCase: Sendable {
    enum Wanted: Sendable {
        /// One of these answers, the connection closed, and no byte reaches an instance.
        case refused([Int])
        /// One of these answers and the connection closed. The fault stands in the body, so that the instance may have begun
        /// to read the request; it never sees its end, and nothing behind the fault.
        case cutShort([Int])
        /// Answered. Instances see exactly these requests, `METHOD TARGET` each, with these texts in them and without
        /// those (in any case).
        case forwarded([String], with: [String] = [], without: [String] = [])
    }

    var name: String
    /// Each scalar stands for one byte.
    var text: String
    var wanted: Wanted

    var bytes: [UInt8] { text.unicodeScalars.map { UInt8($0.value) } }

    /// Follows every case on its connection. Where the case is refused, no instance may see it.
    static let canary = "GET /canary HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    static let all: [SmugglingCase] = lengths + codings + chunks + lines + names + targets + hops + others

    // MARK: Shorthand

    private static func post(_ name: String, _ fields: String, _ body: String, _ wanted: Wanted) -> SmugglingCase {
        SmugglingCase(name: name, text: "POST /p HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\(body)", wanted: wanted)
    }

    private static func get(_ name: String, _ fields: String, _ wanted: Wanted) -> SmugglingCase {
        SmugglingCase(name: name, text: "GET /g HTTP/1.1\r\nHost: a\r\n\(fields)\r\n", wanted: wanted)
    }

    private static func raw(_ name: String, _ text: String, _ wanted: Wanted) -> SmugglingCase {
        SmugglingCase(name: name, text: text, wanted: wanted)
    }

    private static func chunked(_ name: String, _ body: String, _ wanted: Wanted) -> SmugglingCase {
        post(name, "Transfer-Encoding: chunked\r\n", body, wanted)
    }

    private static let inner = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n"
    private static let badRequest = Wanted.refused([400])
    private static let badBody = Wanted.cutShort([400, 413])

    // MARK: Two lengths

    static let lengths: [SmugglingCase] = [
        post("CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG", badRequest),
        post("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\n\(inner)\r\n0\r\n\r\n", badRequest),
        post(
            "CL.TE with a length of 0", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", badRequest),
        post("two lengths", "Content-Length: 0\r\nContent-Length: 34\r\n", inner, badRequest),
        post("two equal lengths", "Content-Length: 3\r\nContent-Length: 3\r\n", "abc", badRequest),
        post("two lengths in one list", "Content-Length: 0, 34\r\n", inner, badRequest),
        post("two equal lengths in one list", "Content-Length: 3, 3\r\n", "abc", badRequest),
        post("a length with a sign", "Content-Length: +3\r\n", "abc", badRequest),
        post("a negative length", "Content-Length: -3\r\n", "abc", badRequest),
        post("a length in hex", "Content-Length: 0x3\r\n", "abc", badRequest),
        post("a length with a space in it", "Content-Length: 3 4\r\n", "abc", badRequest),
        post("a length with an underscore", "Content-Length: 3_0\r\n", "abc", badRequest),
        post("a length of 2^63", "Content-Length: 9223372036854775808\r\n", "", badRequest),
        post("a length of 2^64", "Content-Length: 18446744073709551616\r\n", inner, badRequest),
        post("an empty length", "Content-Length:\r\n", "", badRequest),
        post("a length in other digits", "Content-Length: \u{b2}\r\n", "ab", badRequest),
        post(
            "a length with zeros in front, octal to some", "Content-Length: 010\r\n", "0123456789",
            .forwarded(["POST /p", "GET /canary"], with: ["Content-Length: 10\r\n"], without: ["010\r\n"])),
        post(
            "a second length with an underscore in its name", "Content-Length: 3\r\nContent_Length: 30\r\n", "abc",
            .forwarded(["POST /p", "GET /canary"], without: ["content_length"])),
        raw(
            "GET with a body that looks like a request",
            "GET /g HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\n\(inner)",
            .forwarded(["GET /g", "GET /canary"])),
        post(
            "a length of 0 before another request", "Content-Length: 0\r\n", inner,
            .forwarded(["POST /p", "GET /inner", "GET /canary"])),
    ]

    // MARK: Transfer-Encoding

    private static func coding(_ name: String, _ field: String, _ wanted: Wanted) -> SmugglingCase {
        post(name, field, "0\r\n\r\n", wanted)
    }

    static let codings: [SmugglingCase] = [
        coding("TE.TE, the second unknown", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", badRequest),
        coding("TE.TE, the first unknown", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", badRequest),
        coding("TE.TE, identity behind", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", badRequest),
        coding("chunked twice", "Transfer-Encoding: chunked, chunked\r\n", badRequest),
        coding("chunked not last", "Transfer-Encoding: chunked, identity\r\n", badRequest),
        coding("a space before the colon", "Transfer-Encoding : chunked\r\n", badRequest),
        coding("a tab before the colon", "Transfer-Encoding\t: chunked\r\n", badRequest),
        coding("a fold before the colon", "Transfer-Encoding\r\n : chunked\r\n", badRequest),
        coding("a fold before the value", "Transfer-Encoding:\r\n chunked\r\n", badRequest),
        coding("the field folded onto another", "X: y\r\n Transfer-Encoding: chunked\r\n", badRequest),
        coding("the field behind a bare LF", "X: y\nTransfer-Encoding: chunked\r\n", badRequest),
        coding("the field behind a bare CR", "X: y\rTransfer-Encoding: chunked\r\n", badRequest),
        coding("a vertical tab before the value", "Transfer-Encoding: \u{b}chunked\r\n", badRequest),
        coding("a form feed behind the value", "Transfer-Encoding: chunked\u{c}\r\n", badRequest),
        coding("a NUL behind the value", "Transfer-Encoding: chunked\u{0}\r\n", badRequest),
        coding("a backspace in the name", "Transfer\u{8}-Encoding: chunked\r\n", badRequest),
        coding("a no-break space before the value", "Transfer-Encoding: \u{a0}chunked\r\n", .refused([501])),
        coding("an unknown coding that ends in chunked", "Transfer-Encoding: xchunked\r\n", .refused([501])),
        coding("chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n", .refused([501])),
        coding("chunked with a parameter", "Transfer-Encoding: chunked;q=1\r\n", .refused([501])),
        coding("chunked and an empty element", "Transfer-Encoding: chunked,\r\n", .refused([501])),
        coding("identity", "Transfer-Encoding: identity\r\n", .refused([501])),
        coding("gzip before chunked", "Transfer-Encoding: gzip, chunked\r\n", .refused([501])),
        coding("an empty coding", "Transfer-Encoding:\r\n", .refused([501])),
        raw(
            "a coding in HTTP/1.0",
            "POST /p HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n",
            badRequest),
        coding(
            "letters of both cases and tabs", "tRANSFER-eNCODING:\t cHUNKED\t\r\n",
            .forwarded(["POST /p", "GET /canary"], with: ["Transfer-Encoding: chunked\r\n"], without: ["\t"])),
        post(
            "an underscore in the name", "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n",
            .forwarded(["POST /p", "GET /canary"], without: ["transfer"])),
        post(
            "a dot for the hyphen", "Content-Length: 5\r\nTransfer.Encoding: chunked\r\n", "0\r\n\r\n",
            .forwarded(["POST /p", "GET /canary"])),
        post(
            "named by Connection, so that a reader drops it",
            "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n", .forwarded(["POST /p", "GET /canary"], with: ["Transfer-Encoding: chunked\r\n"])),
        post(
            "a length named by Connection", "Connection: Content-Length\r\nContent-Length: 3\r\n", "abc",
            .forwarded(["POST /p", "GET /canary"], with: ["Content-Length: 3\r\n"])),
    ]

    // MARK: Chunks

    static let chunks: [SmugglingCase] = [
        chunked("a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("a size with a sign", "+5\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("a negative size", "-5\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("a space before the size", " 5\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("a space behind the size", "5 \r\nhello\r\n0\r\n\r\n", badBody),
        chunked("a tab behind the size", "5\t\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("an underscore in the size", "0_5\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("a size that overflows to 5", "10000000000000005\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("a size of 2^64-1", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("an empty size", "\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("a NUL behind the size", "5\u{0}\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("a size that ends in LF", "5\nhello\r\n0\r\n\r\n", badBody),
        chunked("a size that ends in CR", "5\rhello\r\n0\r\n\r\n", badBody),
        chunked("an extension that ends in LF", "5;a\nhello\r\n0\r\n\r\n", badBody),
        chunked("an extension with a bare CR", "5;a=\rb\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("an extension of nothing", "5;\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("an extension behind a space", "5 ;a\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("a quoted extension with a line end", "5;a=\"\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("an extension without end", "5;\(String(repeating: "a", count: 5_000))\r\nhello\r\n0\r\n\r\n", badBody),
        chunked("data longer than its size", "5\r\nhelloX\r\n0\r\n\r\n", badBody),
        chunked("data that ends in LF", "5\r\nhello\n0\r\n\r\n", badBody),
        chunked("data that ends in two other bytes", "5\r\nhelloXX0\r\n\r\n", badBody),
        chunked("a last chunk that ends in LF", "0\n\n", badBody),
        chunked("trailers that end in LF", "0\r\nX: y\n\n", badBody),
        chunked("trailers with a fold", "0\r\nX: y\r\n z\r\n\r\n", badBody),
        chunked("trailers with a space before a colon", "0\r\nX : y\r\n\r\n", badBody),
        chunked(
            "zeros in front of sizes", "0005\r\nhello\r\n000\r\n\r\n", .forwarded(["POST /p", "GET /canary"])),
        chunked(
            "extensions as the grammar has them", "5;a=b;c=\"d;\\\"\"\r\nhello\r\n0\r\n\r\n",
            .forwarded(["POST /p", "GET /canary"])),
        chunked(
            "data that looks like the end and a request", "2a\r\n0\r\n\r\n\(inner)XXXXX\r\n0\r\n\r\n",
            .forwarded(["POST /p", "GET /canary"])),
        chunked(
            "a length in the trailers", "5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n",
            .forwarded(["POST /p", "GET /canary"], without: ["content-length: 50"])),
        chunked(
            "the bridge's header in the trailers", "0\r\nUnstick-Session: op=none\r\nX: y\r\n\r\n",
            .forwarded(["POST /p", "GET /canary"], without: ["unstick-session: op=none"])),
    ]

    // MARK: Lines

    static let lines: [SmugglingCase] = [
        raw("lines that end in LF", "GET /g HTTP/1.1\nHost: a\n\n", badRequest),
        raw("a head that ends in LF", "GET /g HTTP/1.1\r\nHost: a\r\n\n", badRequest),
        raw("a request line that ends in CR", "GET /g HTTP/1.1\rHost: a\r\n\r\n", badRequest),
        get("a request behind a bare CR", "X: a\r\r\rGET /inner HTTP/1.1\r\n", badRequest),
        get("a request behind a bare LF", "X: a\n\nGET /inner HTTP/1.1\r\n", badRequest),
        get("CR CR LF as the head's end", "X: a\r\n\r\r\n", badRequest),
        get("a fold", "X: a\r\n b\r\n", badRequest),
        get("a fold by tab", "X: a\r\n\tb\r\n", badRequest),
        raw("white space before the first field", "GET /g HTTP/1.1\r\n Host: a\r\n\r\n", badRequest),
        raw("white space before the request line", " GET /g HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw("two spaces in the request line", "GET  /g HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw("a tab in the request line", "GET\t/g HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw("a space behind the version", "GET /g HTTP/1.1 \r\nHost: a\r\n\r\n", badRequest),
        raw("a request without version", "GET /g\r\n", badRequest),
        raw("a version in lower case", "GET /g http/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw("a version with more digits", "GET /g HTTP/1.10\r\nHost: a\r\n\r\n", badRequest),
        raw("a version that is not spoken", "GET /g HTTP/1.2\r\nHost: a\r\n\r\n", .refused([505])),
        raw("a version of two digits", "GET /g HTTP/0.9\r\nHost: a\r\n\r\n", .refused([505])),
        raw("a method in other letters", "G\u{c9}T /g HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw("a line without colon", "GET /g HTTP/1.1\r\nHost: a\r\nGET /inner HTTP/1.1\r\n\r\n", badRequest),
        raw(
            "an empty line before the request", "\r\nGET /g HTTP/1.1\r\nHost: a\r\n\r\n",
            .forwarded(["GET /g", "GET /canary"])),
    ]

    // MARK: Field names and values

    static let names: [SmugglingCase] = [
        get("a space before a colon", "X : y\r\n", badRequest),
        get("an empty name", ": y\r\n", badRequest),
        get("a NUL in a name", "X\u{0}Y: z\r\n", badRequest),
        get("a NUL in a value", "X: y\u{0}z\r\n", badRequest),
        get("a DEL in a value", "X: y\u{7f}\r\n", badRequest),
        get("a name with a bracket", "X[]: y\r\n", badRequest),
        get("a name with a letter beyond ASCII", "X\u{e9}: y\r\n", badRequest),
        get(
            "names of the bridge in every spelling",
            "Unstick-Session: x\r\nunstick_state: x\r\nUNSTICK.SESSION: x\r\nUnstick~X: x\r\n",
            .forwarded(["GET /g", "GET /canary"], without: ["unstick-", "unstick_", "unstick.", "unstick~"])),
        get(
            "what only proxies say",
            "X-Forwarded-For: 6.6.6.6\r\nx_forwarded_for: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n",
            .forwarded(["GET /g", "GET /canary"], with: ["X-Forwarded-For: 127.0.0.1\r\n"], without: ["6.6.6.6"])),
        get(
            "the proxy's own fields named by Connection",
            "Connection: X-Forwarded-For, X-Forwarded-Proto, Via, Cookie\r\nCookie: c=1\r\n",
            .forwarded(["GET /g", "GET /canary"], with: ["X-Forwarded-For: 127.0.0.1\r\n", "Cookie: c=1\r\n"])),
        get("a Connection option that is no token", "Connection: close\u{a0}\r\n", badRequest),
        get("an unknown expectation", "Expect: 100-continue, x\r\n", .refused([417])),
        get("a head of many fields", String(repeating: "X: y\r\n", count: 300), .refused([431])),
        get("a head of many bytes", "X: \(String(repeating: "y", count: 100_000))\r\n", .refused([431])),
    ]

    // MARK: Targets and hosts

    static let targets: [SmugglingCase] = [
        raw("no Host", "GET /g HTTP/1.1\r\nX: y\r\n\r\n", badRequest),
        raw("two Hosts", "GET /g HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", badRequest),
        raw("two equal Hosts", "GET /g HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", badRequest),
        raw("two Hosts in HTTP/1.0", "GET /g HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", badRequest),
        raw("a Host with a user", "GET /g HTTP/1.1\r\nHost: a@b\r\n\r\n", badRequest),
        raw("a Host with a path", "GET /g HTTP/1.1\r\nHost: a/b\r\n\r\n", badRequest),
        raw("a Host of two words", "GET /g HTTP/1.1\r\nHost: a b\r\n\r\n", badRequest),
        raw("a Host with a bad port", "GET /g HTTP/1.1\r\nHost: a:80x\r\n\r\n", badRequest),
        raw("a Host behind a space and a colon", "GET /g HTTP/1.1\r\nHost : b\r\nHost: a\r\n\r\n", badRequest),
        raw(
            "a target with another host than Host", "GET http://b/g HTTP/1.1\r\nHost: a\r\n\r\n",
            .forwarded(["GET /g", "GET /canary"], with: ["Host: b\r\n", "X-Forwarded-Host: b\r\n"])),
        raw("a target with a user", "GET http://a@b/g HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw("a target with a bad authority", "GET http://a\\b/g HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw("a target of another scheme", "GET file:///etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw("a target without slash", "GET g HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw("a target with a fragment", "GET /g#/inner HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw("a target with a space", "GET /g /inner HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw("a target with a NUL", "GET /g\u{0} HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw("a target beyond ASCII", "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw(
            "a target of many bytes", "GET /\(String(repeating: "g", count: 10_000)) HTTP/1.1\r\nHost: a\r\n\r\n",
            .refused([414])),
        raw("an asterisk for another method", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw(
            "OPTIONS for the whole server", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            .forwarded(["OPTIONS *", "GET /canary"])),
        raw("CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", .refused([501])),
        raw("CONNECT with a path", "CONNECT /g HTTP/1.1\r\nHost: a\r\n\r\n", badRequest),
        raw(
            "the bridge's endpoint", "GET /.well-known/unstick/v1/sessions HTTP/1.1\r\nHost: a\r\n\r\n", .refused([404])
        ),
        raw(
            "the bridge's endpoint in disguise", "GET /x/..//%2ewell-known;a/%2575nstick/ HTTP/1.1\r\nHost: a\r\n\r\n",
            .refused([404])),
        raw(
            "the bridge's endpoint in absolute form", "GET http://a/.well-known/unstick/ HTTP/1.1\r\nHost: a\r\n\r\n",
            .refused([404])),
    ]

    // MARK: Other protocols

    static let hops: [SmugglingCase] = [
        get(
            "an upgrade to h2c",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            .forwarded(["GET /g", "GET /canary"], without: ["upgrade", "http2-settings"])),
        raw("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .refused([400, 505])),
        raw("a TLS hello", "\u{16}\u{3}\u{1}\u{0}\u{5}\u{1}\u{0}\u{0}\u{1}\u{3}\r\n\r\n", badRequest),
        raw(
            "a PROXY protocol line nobody asked for", "PROXY TCP4 6.6.6.6 1.1.1.1 1 1\r\nGET /g HTTP/1.1\r\n\r\n",
            badRequest),
    ]

    static let others: [SmugglingCase] = [
        raw(
            "requests one behind the other",
            "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcHEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n",
            .forwarded(["GET /1", "POST /2", "HEAD /3", "GET /canary"])),
        raw(
            "a fault behind a good request", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /g HTTP/1.1\r\nHost : a\r\n\r\n",
            .forwarded(["GET /1"])),
        raw(
            "bytes behind a request that closes", "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\(inner)",
            .forwarded(["GET /1"])),
        raw(
            "bytes behind a request of HTTP/1.0", "GET /1 HTTP/1.0\r\nHost: a\r\n\r\n\(inner)", .forwarded(["GET /1"])),
    ]
}

/// Field lines that HTTP/2 can carry and HTTP/1.1 cannot (RFC 9113 section 8.2.1): written into a head as they are they would
/// begin new lines, fields or requests. A request with any of them is malformed and must end as a stream error or 400.
enum HTTP2DowngradeCases {
    static let faultyFields: [(name: String, value: String)] = [
        ("x", "a\r\nTransfer-Encoding: chunked"), ("x", "a\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("x", "a\nb: c"),
        ("x", "a\rb"), ("x", "a\u{0}"), ("x\r\ny", "z"), ("x: y\r\nz", "a"), ("x y", "z"), ("x:", "y"), ("", "y"),
        ("x\u{0}", "y"),
        ("transfer-encoding: chunked\r\nx", "y"), ("x\ty", "z"), ("x\u{e9}", "y"),
    ]
}
