import HTTPWire
import NIOCore
import NIOHPACK
import Testing

@testable import UnstickProxy

/// A GET's pseudo-header fields.
private let get: [(String, String)] = [
    (":method", "GET"), (":scheme", "https"), (":path", "/a?b"), (":authority", "example.com"),
]

private let post: [(String, String)] = [
    (":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "example.com"),
]

private func replacing(_ name: String, _ value: String?) -> [(String, String)] {
    get.compactMap { $0.0 == name ? value.map { (name, $0) } : $0 }
}

@Suite("HTTP/2 requests as HTTP/1.1")
struct HTTP2RequestTranslatorTests {
    private func head(_ fields: [(String, String)], endStream: Bool = true) throws(HTTP2RequestFault) -> String {
        var translator = HTTP2RequestTranslator()
        var bytes = ByteBuffer()
        try translator.headers(HPACKHeaders(fields), endStream: endStream, into: &bytes)
        return String(buffer: bytes)
    }

    private func fault(_ fields: [(String, String)], endStream: Bool = true) -> HTTP2RequestFault? {
        do throws(HTTP2RequestFault) {
            _ = try head(fields, endStream: endStream)
            return nil
        } catch {
            return error
        }
    }

    @Test("a request without a body")
    func plain() throws {
        let text = try head(get + [("accept", "*/*"), ("x-y", "")])
        #expect(text == "GET /a?b HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\nx-y: \r\n\r\n")
    }

    @Test("cookie crumbs become one field")
    func cookies() throws {
        let text = try head(get + [("cookie", "a=1"), ("accept", "x"), ("cookie", "b=2"), ("cookie", "c=3")])
        #expect(text == "GET /a?b HTTP/1.1\r\nhost: example.com\r\ncookie: a=1; b=2; c=3\r\naccept: x\r\n\r\n")
    }

    @Test("the authority stands in for Host, and Host for a missing authority")
    func host() throws {
        let both = try head(get + [("host", "EXAMPLE.com")])
        #expect(both == "GET /a?b HTTP/1.1\r\nhost: example.com\r\n\r\n")
        let only = try head(replacing(":authority", nil) + [("host", "other.org")])
        #expect(only == "GET /a?b HTTP/1.1\r\nhost: other.org\r\n\r\n")
    }

    @Test("a request that may have content names its absence")
    func emptyPost() throws {
        #expect(try head(post).hasSuffix("host: example.com\r\ncontent-length: 0\r\n\r\n"))
        #expect(try head(get + [("content-length", "0")]).hasSuffix("content-length: 0\r\n\r\n"))
    }

    static let malformed: [(String, [(String, String)], HTTP2RequestFault)] = [
        ("no method", replacing(":method", nil), .pseudoFieldMissing),
        ("no scheme", replacing(":scheme", nil), .pseudoFieldMissing),
        ("no path", replacing(":path", nil), .pseudoFieldMissing),
        ("no host at all", replacing(":authority", nil), .hostMissing),
        ("two methods", get + [(":method", "GET")], .pseudoFieldRepeated),
        ("two paths", get + [(":path", "/b")], .pseudoFieldRepeated),
        ("two authorities", get + [(":authority", "example.com")], .pseudoFieldRepeated),
        ("an unknown pseudo field", get + [(":status", "200")], .pseudoFieldUnknown),
        ("a pseudo field with capitals", get + [(":Path", "/")], .pseudoFieldUnknown),
        ("a protocol without CONNECT", get + [(":protocol", "websocket")], .pseudoFieldUnknown),
        ("a pseudo field behind fields", [("a", "b")] + get, .pseudoFieldBehindFields),
        ("an empty method", replacing(":method", ""), .badMethod),
        ("a method with a space", replacing(":method", "GET / HTTP/1.1"), .badMethod),
        ("a method with a line break", replacing(":method", "GET\r\n"), .badMethod),
        ("a scheme of another kind", replacing(":scheme", "ftp"), .badScheme),
        ("an empty path", replacing(":path", ""), .badPath),
        ("a path with a space", replacing(":path", "/ HTTP/1.1"), .badPath),
        ("a path with a line break", replacing(":path", "/ HTTP/1.1\r\nx: y"), .badPath),
        ("a path with NUL", replacing(":path", "/\0"), .badPath),
        ("a path with a tab", replacing(":path", "/\t"), .badPath),
        ("a path beyond ASCII", replacing(":path", "/ü"), .badPath),
        ("a path with a fragment", replacing(":path", "/#a"), .badPath),
        ("a path without a slash", replacing(":path", "a"), .badPath),
        ("an absolute path", replacing(":path", "http://a/b"), .badPath),
        ("an asterisk for GET", replacing(":path", "*"), .badPath),
        ("an empty authority", replacing(":authority", ""), .badAuthority),
        ("an authority with a user", replacing(":authority", "u@example.com"), .badAuthority),
        ("an authority with a line break", replacing(":authority", "a\r\nx: y"), .badAuthority),
        ("an authority with a path", replacing(":authority", "a/b"), .badAuthority),
        ("two hosts", get + [("host", "example.com"), ("host", "example.com")], .hostRepeated),
        ("another host than the authority", get + [("host", "example.org")], .hostDiffers),
        ("an upper-case name", get + [("Accept", "x")], .badFieldName),
        ("an empty name", get + [("", "x")], .badFieldName),
        ("a name with a colon", get + [("a:b", "x")], .badFieldName),
        ("a name with a space", get + [("a b", "x")], .badFieldName),
        ("a name with a line break", get + [("a\r\nb", "x")], .badFieldName),
        ("a name beyond ASCII", get + [("ä", "x")], .badFieldName),
        ("a value with CR LF", get + [("a", "b\r\nc: d")], .badFieldValue),
        ("a value with LF", get + [("a", "b\nc: d")], .badFieldValue),
        ("a value with CR", get + [("a", "b\rc")], .badFieldValue),
        ("a value with NUL", get + [("a", "b\0c")], .badFieldValue),
        ("a value with DEL", get + [("a", "b\u{7f}c")], .badFieldValue),
        ("a value that begins with a space", get + [("a", " b")], .badFieldValue),
        ("a value that ends with a tab", get + [("a", "b\t")], .badFieldValue),
        ("a cookie crumb with a line break", get + [("cookie", "a=1\r\nx: y")], .badFieldValue),
        ("a value that was no text", get + [("a", "caf\u{fffd}")], .valueNotText),
        ("connection", get + [("connection", "close")], .connectionField),
        ("keep-alive", get + [("keep-alive", "1")], .connectionField),
        ("proxy-connection", get + [("proxy-connection", "close")], .connectionField),
        ("transfer-encoding", get + [("transfer-encoding", "chunked")], .connectionField),
        ("upgrade", get + [("upgrade", "websocket")], .connectionField),
        ("te other than trailers", get + [("te", "gzip")], .badTE),
        ("te with more than trailers", get + [("te", "trailers, chunked")], .badTE),
        ("two lengths", post + [("content-length", "0"), ("content-length", "0")], .contentLengthRepeated),
        ("a list of lengths", post + [("content-length", "0, 0")], .badContentLength),
        ("a signed length", post + [("content-length", "+1")], .badContentLength),
        ("an empty length", post + [("content-length", "")], .badContentLength),
        ("a length that overflows", post + [("content-length", "18446744073709551616")], .badContentLength),
        ("a length without a body", post + [("content-length", "5")], .bodyTooShort),
        ("CONNECT", [(":method", "CONNECT"), (":authority", "a:443")], .connectNotSupported),
        (
            "extended CONNECT",
            replacing(":method", "CONNECT") + [(":protocol", "websocket")], .connectNotSupported
        ),
    ]

    @Test("malformed and unsupported requests are refused", arguments: malformed)
    func refusals(_ name: String, _ fields: [(String, String)], _ expected: HTTP2RequestFault) {
        #expect(fault(fields) == expected, "\(name)")
    }

    @Test("te: trailers, an asterisk for OPTIONS and obs-text pass")
    func acceptances() throws {
        #expect(try head(get + [("te", "trailers")]).contains("te: trailers\r\n"))
        let options = [(":method", "OPTIONS"), (":scheme", "https"), (":path", "*"), (":authority", "a")]
        #expect(try head(options).hasPrefix("OPTIONS * HTTP/1.1\r\n"))
        #expect(try head(get + [("a", "für\tuns")]).contains("a: für\tuns\r\n"))
    }

    @Test("a body of declared length passes as it is")
    func counted() throws {
        var translator = HTTP2RequestTranslator()
        var bytes = ByteBuffer()
        try translator.headers(HPACKHeaders(post + [("content-length", "5")]), endStream: false, into: &bytes)
        #expect(String(buffer: bytes).hasSuffix("\r\ncontent-length: 5\r\n\r\n"))
        bytes.clear()
        try translator.data(ByteBuffer(string: "hel"), endStream: false, into: &bytes)
        #expect(String(buffer: bytes) == "hel")
        bytes = ByteBuffer()
        try translator.data(ByteBuffer(string: "lo"), endStream: true, into: &bytes)
        #expect(String(buffer: bytes) == "lo")
        #expect(translator.isComplete)
    }

    @Test("a body without a declared length becomes chunks, with its trailers")
    func chunked() throws {
        var translator = HTTP2RequestTranslator()
        var bytes = ByteBuffer()
        try translator.headers(HPACKHeaders(post), endStream: false, into: &bytes)
        #expect(String(buffer: bytes).hasSuffix("host: example.com\r\ntransfer-encoding: chunked\r\n\r\n"))
        bytes.clear()
        try translator.data(ByteBuffer(string: "0123456789abcdef!"), endStream: false, into: &bytes)
        try translator.data(ByteBuffer(), endStream: false, into: &bytes)
        try translator.headers(["checksum": "7"], endStream: true, into: &bytes)
        #expect(String(buffer: bytes) == "11\r\n0123456789abcdef!\r\n0\r\nchecksum: 7\r\n\r\n")
        var parser = ChunkedDecoder()
        let consumed = try bytes.withUnsafeReadableBytes { try parser.decode($0) }
        #expect(consumed == bytes.readableBytes)
        #expect(parser.isComplete)
    }

    @Test("a chunked body can end with its last data or with nothing", arguments: ["", "x"])
    func chunkedEnd(last: String) throws {
        var translator = HTTP2RequestTranslator()
        var bytes = ByteBuffer()
        try translator.headers(HPACKHeaders(post), endStream: false, into: &bytes)
        bytes.clear()
        try translator.data(ByteBuffer(string: last), endStream: true, into: &bytes)
        #expect(String(buffer: bytes) == (last.isEmpty ? "" : "1\r\nx\r\n") + "0\r\n\r\n")
        #expect(translator.isComplete)
    }

    @Test("trailers behind a body of declared length are checked and dropped")
    func countedTrailers() throws {
        var translator = HTTP2RequestTranslator()
        var bytes = ByteBuffer()
        try translator.headers(HPACKHeaders(post + [("content-length", "1")]), endStream: false, into: &bytes)
        try translator.data(ByteBuffer(string: "x"), endStream: false, into: &bytes)
        bytes.clear()
        try translator.headers(["checksum": "7"], endStream: true, into: &bytes)
        #expect(bytes.readableBytes == 0)
        #expect(translator.isComplete)
    }

    struct BadBody: CustomTestStringConvertible {
        var name: String
        var fault: HTTP2RequestFault
        var length: String?
        var events: [Event]
        enum Event {
            case data(String, end: Bool)
            case headers([(String, String)], end: Bool)
        }
        var testDescription: String { name }
    }

    @Test(
        "bodies that are not what they say are refused",
        arguments: [
            BadBody(name: "too long", fault: .bodyTooLong, length: "2", events: [.data("abc", end: true)]),
            BadBody(
                name: "too long in two", fault: .bodyTooLong, length: "2",
                events: [.data("ab", end: false), .data("c", end: true)]),
            BadBody(name: "too short", fault: .bodyTooShort, length: "4", events: [.data("abc", end: true)]),
            BadBody(
                name: "too short before trailers", fault: .bodyTooShort, length: "4",
                events: [.data("abc", end: false), .headers([("a", "b")], end: true)]),
            BadBody(
                name: "a head in the body", fault: .headInBody, events: [.headers([("a", "b")], end: false)]),
            BadBody(
                name: "a pseudo field in trailers", fault: .pseudoFieldInTrailers,
                events: [.headers([(":path", "/")], end: true)]),
            BadBody(
                name: "a line break in trailers", fault: .badFieldValue,
                events: [.headers([("a", "b\r\n\r\nGET / HTTP/1.1")], end: true)]),
            BadBody(
                name: "transfer-encoding in trailers", fault: .connectionField,
                events: [.headers([("transfer-encoding", "chunked")], end: true)]),
            BadBody(
                name: "data behind the end", fault: .headInBody,
                events: [.data("a", end: true), .data("b", end: true)]),
        ])
    func badBodies(_ body: BadBody) throws {
        var translator = HTTP2RequestTranslator()
        var bytes = ByteBuffer()
        let fields = post + (body.length.map { [("content-length", $0)] } ?? [])
        try translator.headers(HPACKHeaders(fields), endStream: false, into: &bytes)
        var seen: HTTP2RequestFault?
        do throws(HTTP2RequestFault) {
            for event in body.events {
                switch event {
                case .data(let text, let end):
                    try translator.data(ByteBuffer(string: text), endStream: end, into: &bytes)
                case .headers(let fields, let end):
                    try translator.headers(HPACKHeaders(fields), endStream: end, into: &bytes)
                }
            }
        } catch {
            seen = error
        }
        #expect(seen == body.fault)
    }

    /// Names and values of all kinds in all places: whatever is accepted, the strict HTTP/1.1 parser must read as one
    /// request and nothing behind it.
    @Test("no accepted request is more than one to an HTTP/1.1 parser")
    func noSmuggling() throws {
        var random = SplitMix(state: 42)
        let pieces = [
            "a", "GET", "/", " ", "\r\n", "\n", "\r", "\0", ":", "example.com", "content-length", "5", "chunked",
            "transfer-encoding", "\t", "ü", ",", "HTTP/1.1", "cookie", "x=y", ";", "host", "\u{b}", "\u{85}", "0",
        ]
        var accepted = 0
        for _ in 0..<20_000 {
            func text() -> String { (0..<Int(random.next() % 4)).map { _ in random.pick(pieces) }.joined() }
            var fields = get
            let index = Int(random.next() % 8)
            if index < 4 { fields[index].1 = text() }
            for _ in 0..<Int(random.next() % 3) { fields.append((text(), text())) }
            var translator = HTTP2RequestTranslator()
            var bytes = ByteBuffer()
            guard (try? translator.headers(HPACKHeaders(fields), endStream: true, into: &bytes)) != nil else {
                continue
            }
            accepted += 1
            var parser = RequestHead()
            let isComplete: Bool? = try? bytes.withUnsafeReadableBytes { bytes in try parser.parse(bytes) }
            // What the parser refuses in addition goes nowhere either.
            guard let isComplete else { continue }
            #expect(isComplete && parser.headLength == bytes.readableBytes, "\(fields)")
            #expect(parser.framing.isEmpty, "\(fields)")
        }
        #expect(accepted > 500)
    }
}

/// Sebastiano Vigna's splitmix64.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }

    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[Int(next() % UInt64(elements.count))] }
}
