import HTTPWire
import Testing

@Suite("Requests that are refused")
struct RequestRefusalTests {
    /// Text, reason, and offset of the offending byte; `^` marks that byte and is not sent.
    static let startLinesTable: [(String, HTTPWireError.Reason)] = [
        ("^ GET / HTTP/1.1\r\n\r\n", .badMethod), ("GE^(T / HTTP/1.1\r\n\r\n", .badMethod),
        ("GET^\t/ HTTP/1.1\r\n\r\n", .badMethod),
        ("^\n\nGET / HTTP/1.1\r\n\r\n", .badMethod), ("^\rGET / HTTP/1.1\r\n\r\n", .bareCarriageReturn),
        ("\r\n\r\n^\r\nGET / HTTP/1.1\r\n\r\n", .badMethod), ("G\u{c9}T / HTTP/1.1\r\n\r\n", .badMethod),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG^ / HTTP/1.1\r\n\r\n", .methodTooLong),
        ("GET ^ / HTTP/1.1\r\n\r\n", .badTarget), ("GET /  HTTP/1.1\r\n\r\n", .badVersion),
        ("GET ^x HTTP/1.1\r\n\r\n", .badTarget), ("GET ^* HTTP/1.1\r\n\r\n", .badTarget),
        ("GET ^ftp://a/ HTTP/1.1\r\n\r\n", .badTarget),
        ("GET /a^\u{7f} HTTP/1.1\r\n\r\n", .badTarget), ("GET /a^\u{80} HTTP/1.1\r\n\r\n", .badTarget),
        ("GET /aaaaaaa^\u{1} HTTP/1.1\r\n\r\n", .badTarget), ("GET /a^\tb HTTP/1.1\r\n\r\n", .badTarget),
        ("GET /a^#b HTTP/1.1\r\n\r\n", .badTarget), ("GET http://^/x HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        ("GET http://u^@h/x HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        ("GET http://h:8^x/ HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        ("CONNECT a^ HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget), ("CONNECT ^/a HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        ("CONNECT a:^ HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        ("GET /^\r\n\r\n", .badVersion), ("GET / ^http/1.1\r\n\r\n", .badVersion),
        ("GET / HTTP/1^,1\r\n\r\n", .badVersion),
        ("GET / HTTP/1.^x\r\n\r\n", .badVersion), ("GET / HTTP/1.1^ \r\n\r\n", .badVersion),
        ("GET / HTTP/1.1^1\r\n\r\n", .badVersion),
        ("GET / HTTP/^2.0\r\n\r\n", .versionNotSupported), ("GET / HTTP/^1.2\r\n\r\n", .versionNotSupported),
        ("GET / HTTP/^0.9\r\n\r\n", .versionNotSupported),
        ("GET / HTTP/1.1^\n\r\n", .bareLineFeed), ("GET / HTTP/1.1^\rX: y\r\n\r\n", .bareCarriageReturn),
    ]

    @Test("faulty request lines", arguments: startLinesTable)
    func startLine(text: String, reason: HTTPWireError.Reason) { expectRefusal(text, reason) }

    static let fieldsTable: [(String, HTTPWireError.Reason)] = [
        ("Host: a\r\n^: x\r\n", .badFieldName), ("Host: a\r\nX^ : y\r\n", .spaceBeforeColon),
        ("Host^\t: a\r\n", .spaceBeforeColon),
        ("Host: a\r\nX^\r\n", .badFieldName), ("Host: a\r\nX^(y: z\r\n", .badFieldName),
        ("Host: a\r\nX^\u{e9}: z\r\n", .badFieldName),
        ("Host: a\r\nX^\u{0}: z\r\n", .badFieldName), ("Host: a\r\n^\u{0}X: z\r\n", .badFieldName),
        ("Host: a\r\nX: y^\u{0}z\r\n", .badFieldValue), ("Host: a\r\nX: ^\u{1}\r\n", .badFieldValue),
        ("Host: a\r\nX: y^\u{7f}\r\n", .badFieldValue), ("Host: a\r\nX: aaaaaaaaaaa^\u{b}\r\n", .badFieldValue),
        ("Host: a\r\nX: y^\rz\r\n", .bareCarriageReturn), ("Host: a\r\nX: y^\r\r\n", .bareCarriageReturn),
        ("Host: a\r\nX: y^\nZ: z\r\n", .bareLineFeed), ("Host: a^\n", .bareLineFeed),
        ("Host: a\r\n^\nX: y\r\n", .bareLineFeed),
        ("Host: a\r\nX: y\r\n^ z\r\n", .obsoleteFold), ("Host: a\r\nX: y\r\n^\tz\r\n", .obsoleteFold),
        ("^ Host: a\r\n", .obsoleteFold), ("Host: a\r\n^\rX: y\r\n", .bareCarriageReturn),
        ("Host: a\r\n^Host: a\r\n", .hostRepeated), ("Host: a/^b\r\n", .badHost), ("Host: a^ b\r\n", .badHost),
        ("Host: a^@b\r\n", .badHost),
        ("Host: ^[::1\r\n", .badHost), ("Host: ^[]\r\n", .badHost), ("Host: ^[g::]\r\n", .badHost),
        ("Host: a:^99999\r\n", .badHost),
        ("Host: a:8^x\r\n", .badHost), ("Host: ^:80\r\n", .badHost), ("Host: a^%2\r\n", .badHost),
        ("Host: ^\u{e9}\r\n", .badHost),
        ("Host: a:00000^1\r\n", .badHost),
        ("Host: a\r\nConnection: a^ b\r\n", .badConnection), ("Host: a\r\nConnection: close^;x\r\n", .badConnection),
        ("Host: a\r\nExpect: ^200-ok\r\n", .expectationNotSupported),
    ]

    @Test("faulty field lines", arguments: fieldsTable)
    func field(lines: String, reason: HTTPWireError.Reason) {
        // The table marks `Host` repetition at the first one, where the reader reports it.
        if reason == .hostRepeated || reason == .badHost || reason == .badConnection {
            #expect(parseRequest("GET / HTTP/1.1\r\n" + lines.replacing("^") + "\r\n").error?.reason == reason)
        } else {
            expectRefusal("GET / HTTP/1.1\r\n" + lines + "\r\n", reason)
        }
    }

    @Test("HTTP/1.1 needs a Host, HTTP/1.0 does not, an empty one is allowed")
    func hostPresence() {
        #expect(parseRequest("GET / HTTP/1.1\r\nX: y\r\n\r\n").error?.reason == .hostMissing)
        #expect(parseRequest("GET http://a/ HTTP/1.1\r\nX: y\r\n\r\n").error?.reason == .hostMissing)
        #expect(parseRequest("GET / HTTP/1.0\r\n\r\n").value?.host == "")
        #expect(parseRequest("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n").error?.reason == .hostRepeated)
        #expect(parseRequest("GET / HTTP/1.1\r\nHost:\r\n\r\n").value?.host == "")
    }

    @Test(
        "every byte but the token characters is refused in a name",
        arguments: [Array(UInt8.min...UInt8.max)]
    )
    func nameBytes(all: [UInt8]) {
        let token = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        for byte in all where byte != UInt8(ascii: ":") {
            let bytes = octets("GET / HTTP/1.1\r\nHost: a\r\nX") + [byte] + octets("Y: z\r\n\r\n")
            #expect((parseRequest(bytes).value != nil) == token.contains(byte), "byte \(byte)")
        }
    }

    @Test("every control but HTAB is refused in a value, at any place in a word")
    func valueBytes() {
        for byte in UInt8.min...UInt8.max {
            for lead in 0..<9 {
                let bytes =
                    octets("GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "v", count: lead)) + [byte]
                    + octets("vvvvvvvvvv\r\n\r\n")
                let allowed = byte == 9 || (byte >= 0x20 && byte != 0x7f)
                #expect((parseRequest(bytes).value != nil) == allowed, "byte \(byte) behind \(lead)")
            }
        }
    }

    @Test("only visible ASCII without # is a target, at any place in a word")
    func targetBytes() {
        for byte in UInt8.min...UInt8.max where byte != 0x20 {
            for lead in 0..<9 {
                let bytes =
                    octets("GET /" + String(repeating: "v", count: lead)) + [byte]
                    + octets("vvvvvv HTTP/1.1\r\nHost: a\r\n\r\n")
                let allowed = byte > 0x20 && byte < 0x7f && byte != 0x23
                #expect((parseRequest(bytes).value != nil) == allowed, "byte \(byte) behind \(lead)")
            }
        }
    }
}

extension String {
    fileprivate func replacing(_ mark: Unicode.Scalar) -> String {
        String(String.UnicodeScalarView(unicodeScalars.filter { $0 != mark }))
    }
}

/// Expects the request to be refused for `reason`, at the byte behind the first `^` if there is one.
func expectRefusal(
    _ marked: String,
    _ reason: HTTPWireError.Reason,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let scalars = Array(marked.unicodeScalars)
    let offset = scalars.firstIndex(of: "^")
    let error = parseRequest(marked.replacing("^")).error
    #expect(error?.reason == reason, sourceLocation: sourceLocation)
    if let offset { #expect(error?.offset == offset, sourceLocation: sourceLocation) }
}
