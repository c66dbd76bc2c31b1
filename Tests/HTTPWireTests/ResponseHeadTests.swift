import HTTPWire
import Testing

@Suite("Response heads")
struct ResponseHeadTests {
    static let statusLinesTable: [(String, Int, String, Int)] = [
        ("HTTP/1.1 200 OK", 200, "OK", 1), ("HTTP/1.0 404 Not Found", 404, "Not Found", 0),
        ("HTTP/1.1 200 ", 200, "", 1),
        ("HTTP/1.1 200", 200, "", 1), ("HTTP/1.1 599 \u{e9}\tx", 599, "\u{e9}\tx", 1),
        ("HTTP/1.1 999 No", 999, "No", 1),
        ("HTTP/1.1 200  two spaces", 200, " two spaces", 1),
    ]

    @Test("status lines are read, the reason may be missing", arguments: statusLinesTable.indices)
    func statusLine(index: Int) {
        let (line, status, reason, minor) = Self.statusLinesTable[index]
        let head = parseResponse(octets(line + "\r\nContent-Length: 0\r\n\r\n")).value
        #expect(head?.status == status)
        #expect(head?.reason == reason)
        #expect(head?.minor == minor)
    }

    static let refusedTable: [(String, HTTPWireError.Reason)] = [
        ("HTTP/1.1  200 OK\r\n\r\n", .badStatusLine), ("HTTP/1.1 20 OK\r\n\r\n", .badStatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", .badStatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", .badStatusLine), ("HTTP/1.1 2x0 OK\r\n\r\n", .badStatusLine),
        ("HTTP/1.1\t200 OK\r\n\r\n", .badStatusLine),
        ("HTTP/1.1 200 O\u{1}\r\n\r\n", .badStatusLine), ("HTTP/2 200 OK\r\n\r\n", .badVersion),
        ("HTTP/2.0 200 OK\r\n\r\n", .versionNotSupported),
        ("ICY 200 OK\r\n\r\n", .badVersion), ("\r\nHTTP/1.1 200 OK\r\n\r\n", .badVersion),
        ("HTTP/1.1 200 OK\n\r\n", .bareLineFeed), ("HTTP/1.1 200\n\r\n", .bareLineFeed),
        ("HTTP/1.1 200 OK\rX: y\r\n\r\n", .bareCarriageReturn),
        ("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", .obsoleteFold), ("HTTP/1.1 200 OK\r\nX: y\n\r\n", .bareLineFeed),
        ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", .spaceBeforeColon),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", .contentLengthRepeated),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", .badContentLength),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            .contentLengthWithTransferEncoding
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .transferEncodingNotSupported),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInHTTP10),
    ]

    @Test("faulty responses are refused with 502", arguments: refusedTable)
    func refused(text: String, reason: HTTPWireError.Reason) {
        let error = parseResponse(octets(text)).error
        #expect(error?.reason == reason)
        #expect(error?.status == 502)
    }

    struct FramingCase: Sendable, CustomTestStringConvertible {
        var status: Int
        var method: RequestMethod
        var fields: String
        var framing: MessageFraming
        var keepAlive: Bool
        var testDescription: String { "\(status) to \(method) with \(fields.isEmpty ? "nothing" : fields)" }
    }

    static let framingsTable: [FramingCase] = [
        .init(status: 200, method: .get, fields: "Content-Length: 5", framing: .length(5), keepAlive: true),
        .init(status: 200, method: .get, fields: "Transfer-Encoding: chunked", framing: .chunked, keepAlive: true),
        .init(status: 200, method: .get, fields: "", framing: .untilClose, keepAlive: false),
        .init(
            status: 200, method: .get, fields: "Content-Length: 5\r\nConnection: close", framing: .length(5),
            keepAlive: false),
        .init(status: 200, method: .head, fields: "Content-Length: 5", framing: .none, keepAlive: true),
        .init(status: 200, method: .head, fields: "Transfer-Encoding: chunked", framing: .none, keepAlive: true),
        .init(status: 200, method: .head, fields: "", framing: .none, keepAlive: true),
        .init(status: 304, method: .get, fields: "Content-Length: 5", framing: .none, keepAlive: true),
        .init(status: 204, method: .get, fields: "", framing: .none, keepAlive: true),
        .init(status: 204, method: .get, fields: "Content-Length: 0", framing: .none, keepAlive: true),
        .init(status: 204, method: .get, fields: "Content-Length: 5", framing: .none, keepAlive: false),
        .init(status: 100, method: .post, fields: "", framing: .none, keepAlive: true),
        .init(status: 103, method: .get, fields: "Transfer-Encoding: chunked", framing: .none, keepAlive: false),
        .init(status: 101, method: .get, fields: "Connection: upgrade", framing: .none, keepAlive: true),
        .init(status: 200, method: .connect, fields: "Content-Length: 5", framing: .none, keepAlive: true),
        .init(status: 400, method: .connect, fields: "Content-Length: 5", framing: .length(5), keepAlive: true),
    ]

    @Test("the body's end follows from status, method and fields", arguments: framingsTable)
    func framing(_ item: FramingCase) {
        let fields = item.fields.isEmpty ? "" : item.fields + "\r\n"
        let head = parseResponse(octets("HTTP/1.1 \(item.status) X\r\n\(fields)\r\n"), answering: item.method).value
        #expect(head?.framing == item.framing)
        #expect(head?.keepAlive == item.keepAlive)
    }

    @Test("HTTP/1.0 persists only when it says so")
    func persistence() {
        #expect(parseResponse(octets("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")).value?.keepAlive == false)
        #expect(
            parseResponse(octets("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n")).value?
                .keepAlive
                == true
        )
    }

    @Test(
        "the result is the same wherever the bytes are split",
        arguments: [
            "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.0 302\r\nX:\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: y\n\r\n\r\n", "HTTP/1.1 200 OK\n\n", "HTTP/1.1 2 0\r\n\r\n",
        ]
    )
    func split(text: String) {
        let bytes = octets(text)
        let whole = parseResponse(bytes)
        #expect(whole != .incomplete)
        for first in 0...bytes.count { #expect(parseResponse(bytes, arrivals: [first]) == whole, "split at \(first)") }
        #expect(parseResponse(bytes, arrivals: Array(0...bytes.count)) == whole)
    }

    @Test("a value is reused, 1xx before the final head")
    func reuse() throws {
        var head = ResponseHead()
        try octets("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n").withUnsafeBytes
        { bytes in
            let early = try head.parse(bytes, answering: .get)
            #expect(early)
            let isInterim = head.isInformational
            #expect(isInterim)
            let rest = UnsafeRawBufferPointer(rebasing: bytes[head.headLength...])
            head.reset()
            let final = try head.parse(rest, answering: .get)
            #expect(final)
            let (isFinal, fields, framing) = (!head.isInformational, head.headers.count, head.framing)
            #expect(isFinal)
            #expect(fields == 1)
            #expect(framing == .length(1))
        }
    }
}
