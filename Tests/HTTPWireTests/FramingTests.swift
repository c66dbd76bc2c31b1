import HTTPWire
import Testing

@Suite("Framing and smuggling")
struct FramingTests {
    static let acceptedTable: [(String, MessageFraming)] = [
        ("", .none), ("Content-Length: 0\r\n", .length(0)), ("Content-Length: 0012\r\n", .length(12)),
        ("content-length:\t5 \r\n", .length(5)),
        ("Content-Length: 9223372036854775807\r\n", .length(9_223_372_036_854_775_807)),
        ("Transfer-Encoding: chunked\r\n", .chunked), ("transfer-encoding:CHUNKED\r\n", .chunked),
    ]

    @Test("one length or chunked is read", arguments: acceptedTable)
    func accepted(fields: String, framing: MessageFraming) {
        #expect(parseRequest("POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n").value?.framing == framing)
    }

    static let refusedTable: [(String, HTTPWireError.Reason, Int)] = [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", .contentLengthRepeated, 400),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", .contentLengthRepeated, 400),
        ("Content-Length: 5, 5\r\n", .badContentLength, 400), ("Content-Length: +5\r\n", .badContentLength, 400),
        ("Content-Length: -5\r\n", .badContentLength, 400), ("Content-Length: 0x5\r\n", .badContentLength, 400),
        ("Content-Length: 5 5\r\n", .badContentLength, 400), ("Content-Length:\r\n", .badContentLength, 400),
        ("Content-Length: 5.0\r\n", .badContentLength, 400), ("Content-Length: \u{b2}\r\n", .badContentLength, 400),
        ("Content-Length: 9223372036854775808\r\n", .badContentLength, 400),
        ("Content-Length: 9223372036854775810\r\n", .badContentLength, 400),
        ("Content-Length: 99999999999999999999999\r\n", .badContentLength, 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", .contentLengthWithTransferEncoding, 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", .contentLengthWithTransferEncoding, 400),
        ("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", .contentLengthWithTransferEncoding, 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", .transferEncodingRepeated, 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", .transferEncodingRepeated, 400),
        ("Transfer-Encoding: chunked, chunked\r\n", .transferEncodingRepeated, 400),
        ("Transfer-Encoding: chunked, identity\r\n", .chunkedNotLast, 400),
        ("Transfer-Encoding: chunked, gzip\r\n", .chunkedNotLast, 400),
        ("Transfer-Encoding: gzip, chunked\r\n", .transferEncodingNotSupported, 501),
        ("Transfer-Encoding: xchunked\r\n", .transferEncodingNotSupported, 501),
        ("Transfer-Encoding: chunkedx\r\n", .transferEncodingNotSupported, 501),
        ("Transfer-Encoding: \"chunked\"\r\n", .transferEncodingNotSupported, 501),
        ("Transfer-Encoding: chunked;q=1\r\n", .transferEncodingNotSupported, 501),
        ("Transfer-Encoding: gzip\r\n", .transferEncodingNotSupported, 501),
        ("Transfer-Encoding:\r\n", .transferEncodingNotSupported, 501),
        ("Transfer-Encoding: chunked,\r\n", .transferEncodingNotSupported, 501),
        ("Transfer-Encoding: \u{b}chunked\r\n", .badFieldValue, 400),
        ("Transfer-Encoding : chunked\r\n", .spaceBeforeColon, 400),
        ("Transfer-Encoding\r\n : chunked\r\n", .badFieldName, 400),
        ("X: y\r\n Transfer-Encoding: chunked\r\n", .obsoleteFold, 400),
        ("X: y\nTransfer-Encoding: chunked\r\n", .bareLineFeed, 400),
        ("X: y\rTransfer-Encoding: chunked\r\n", .bareCarriageReturn, 400),
        ("Content-Length: 5\r\n\rTransfer-Encoding: chunked\r\n", .bareCarriageReturn, 400),
        ("Transfer-Encoding:\u{0}chunked\r\n", .badFieldValue, 400),
    ]

    @Test("whatever two readers might frame differently is refused", arguments: refusedTable.indices)
    func refused(index: Int) {
        let (fields, reason, status) = Self.refusedTable[index]
        let error = parseRequest("POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n").error
        #expect(error?.reason == reason, "\(fields)")
        #expect(error?.status == status, "\(fields)")
    }

    @Test("a transfer coding in HTTP/1.0 is refused")
    func codingInHTTP10() {
        let error = parseRequest("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").error
        #expect(error?.reason == .transferEncodingInHTTP10)
    }

    @Test("a framing field spelt with an underscore is told apart, not read")
    func disguisedFraming() {
        let head = parseRequest("POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n\r\n")
            .value
        #expect(head?.framing == MessageFraming.none)
        #expect(head?.known == [.host, .disguised, .disguised])
    }

    @Test("limits have their own answers and hold at their exact value")
    func limits() {
        let limits = HeadLimits(maxHeadBytes: 200, maxTargetBytes: 20, maxFields: 3)
        func status(_ text: String) -> Int? { parseRequest(text, limits: limits).error?.status }
        let target20 = "/" + String(repeating: "a", count: 19)
        #expect(status("GET \(target20) HTTP/1.1\r\nHost: a\r\n\r\n") == nil)
        #expect(status("GET \(target20)a HTTP/1.1\r\nHost: a\r\n\r\n") == 414)
        #expect(status("GET \(target20)a") == 414)
        #expect(status("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\nD: e\r\n\r\n") == nil)
        #expect(status("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\nD: e\r\nF: g\r\n\r\n") == 431)
        let padding = 200 - "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".unicodeScalars.count
        let fitting = "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "v", count: padding))\r\n\r\n"
        #expect(parseRequest(fitting, limits: limits).value?.headLength == 200)
        let tooLong = "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "v", count: padding + 1))\r\n\r\n"
        #expect(status(tooLong) == 431)
        #expect(status("GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "v", count: 300))") == 431)
        for text in [
            fitting, tooLong, "GET \(target20)a HTTP/1.1\r\nHost: a\r\n\r\n" + String(repeating: "x", count: 300),
        ] {
            let bytes = octets(text)
            #expect(
                parseRequest(bytes, arrivals: Array(0...bytes.count), limits: limits)
                    == parseRequest(bytes, limits: limits))
        }
    }

    @Test("a request line without end is refused before the head's limit")
    func endlessTarget() {
        let bytes = octets("GET /" + String(repeating: "a", count: 9_000))
        #expect(parseRequest(bytes, arrivals: Array(stride(from: 1, to: 9_000, by: 100))).error?.status == 414)
    }

    @Test("errors never quote the message")
    func description() {
        let error = parseRequest("GET / HTTP/1.1\r\nHost: a\r\nCookie: secret\u{0}\r\n\r\n").error
        #expect(error?.description == "badFieldValue at byte 39")
    }
}
