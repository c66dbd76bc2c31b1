import HTTPWire
import Testing

@Suite("Chunked bodies")
struct ChunkedDecoderTests {
    static let acceptedTable: [(String, String, [String])] = [
        ("0\r\n\r\n", "", []), ("5\r\nHello\r\n0\r\n\r\n", "Hello", []),
        ("00a\r\n0123456789\r\n000\r\n\r\n", "0123456789", []),
        ("A\r\n0123456789\r\n1\r\n\r\r\n0\r\n\r\n", "0123456789\r", []), ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", []),
        ("1;a\r\nx\r\n0;b=c\r\n\r\n", "x", []), ("1;a=\"q\\\"\t;\u{e9}\";b\r\nx\r\n0\r\n\r\n", "x", []),
        ("1;a=b;c=\"\"\r\nx\r\n0\r\n\r\n", "x", []),
        ("0\r\nX-Sum: 1\r\nDate:\r\n\r\n", "", ["X-Sum:1", "Date:"]),
        ("0000000000000001\r\nx\r\n0\r\n\r\n", "x", []),
    ]

    @Test("content and trailers are the same wherever the bytes are split", arguments: acceptedTable.indices)
    func accepted(index: Int) {
        let (text, content, trailers) = Self.acceptedTable[index]
        let bytes = octets(text + "NEXT")
        let whole = Outcome.complete(
            ChunkedSnapshot(content: content, trailers: trailers, forbidden: false, length: bytes.count - 4)
        )
        #expect(decodeChunked(bytes) == whole)
        for first in 0...bytes.count { #expect(decodeChunked(bytes, arrivals: [first]) == whole, "split at \(first)") }
        #expect(decodeChunked(bytes, arrivals: Array(0...bytes.count)) == whole)
        for count in 0..<(bytes.count - 4) { #expect(decodeChunked(Array(bytes[..<count])) == .incomplete) }
    }

    static let refusedTable: [(String, HTTPWireError.Reason)] = [
        ("\r\n", .badChunkSize), ("g\r\n", .badChunkSize), (" 5\r\n", .badChunkSize), ("+5\r\n", .badChunkSize),
        ("-1\r\n", .badChunkSize),
        ("0x5\r\n", .badChunkSize), ("5\u{0}\r\n", .badChunkSize), ("5_0\r\n", .badChunkSize),
        ("5.\r\n", .badChunkSize), (";a\r\n", .badChunkSize),
        ("5,5\r\n", .badChunkSize), ("\u{ff}\r\n", .badChunkSize), ("5\u{b}\r\n", .badChunkSize),
        ("00000000000000001\r\n", .chunkSizeTooLarge), ("8000000000000000\r\n", .chunkSizeTooLarge),
        ("FFFFFFFFFFFFFFFF0\r\n", .chunkSizeTooLarge),
        ("5 \r\n", .badChunkSize), ("5 5\r\n", .badChunkSize), ("5 ;a\r\n", .badChunkSize),
        ("5\t;a\r\n", .badChunkSize), ("5; a\r\n", .badChunkExtension), ("5;a =b\r\n", .badChunkExtension),
        ("5;a= b\r\n", .badChunkExtension),
        ("5;a=\"\" ;b\r\n", .badChunkExtension), ("5;\r\n", .badChunkExtension), ("5;=a\r\n", .badChunkExtension),
        ("5;a=\r\n", .badChunkExtension), ("5;a=\"\r\n", .badChunkExtension), ("5;a=\"\\\r\n", .badChunkExtension),
        ("5;a=b c\r\n", .badChunkExtension),
        ("5;a b\r\n", .badChunkExtension), ("5;a\u{0}\r\n", .badChunkExtension), ("5;a \r\n", .badChunkExtension),
        ("5;;\r\n", .badChunkExtension),
        ("5\nHello", .bareLineFeed), ("5;a\nHello", .bareLineFeed), ("5;\nHello", .bareLineFeed),
        ("5;a=\"\n", .bareLineFeed),
        ("5\rHello", .bareCarriageReturn), ("5\r\rHello", .bareCarriageReturn), ("5;a\rHello", .bareCarriageReturn),
        ("5\r\nHello\n0\r\n\r\n", .badChunkEnd), ("5\r\nHello!\r\n", .badChunkEnd), ("5\r\nHello\rX", .badChunkEnd),
        ("5\r\nHello\n\n0\r\n\r\n", .badChunkEnd),
        ("5\r\nHello0\r\n\r\n", .badChunkEnd),
        ("0\r\n\n", .bareLineFeed), ("0\r\n\r\r\n", .bareCarriageReturn), ("0\r\nX : y\r\n\r\n", .spaceBeforeColon),
        ("0\r\nX: y\n\r\n", .bareLineFeed),
        ("0\r\nX: y\r\n z\r\n\r\n", .obsoleteFold), ("0\r\nX\r\n\r\n", .badFieldName),
    ]

    @Test("obfuscated sizes, loose line ends and bad trailers are refused, split or not", arguments: refusedTable)
    func refused(text: String, reason: HTTPWireError.Reason) {
        let bytes = octets(text)
        #expect(decodeChunked(bytes).error?.reason == reason)
        for first in 0...bytes.count { #expect(decodeChunked(bytes, arrivals: [first]).error?.reason == reason) }
        #expect(decodeChunked(bytes, arrivals: Array(0...bytes.count)) == decodeChunked(bytes))
    }

    @Test("the largest size is read, its digits do not overflow")
    func largest() throws {
        var decoder = ChunkedDecoder()
        try octets("7fffffffffffffff\r\nabc").withUnsafeBytes { bytes in
            let used = try decoder.decode(bytes)
            #expect(used == bytes.count)
        }
        #expect(decoder.contentBytes == 3)
        #expect(!decoder.isComplete)
    }

    @Test("extensions of one chunk have a limit")
    func extensionLimit() {
        #expect(decodeChunked(octets("1;" + String(repeating: "a", count: 255) + "\r\nx\r\n0\r\n\r\n")).value != nil)
        #expect(
            decodeChunked(octets("1;" + String(repeating: "a", count: 257) + "\r\nx\r\n0\r\n\r\n")).error?.reason
                == .chunkExtensionTooLong
        )
    }

    @Test("the trailer section has limits in bytes and fields, split or not")
    func trailerLimits() {
        func reason(_ text: String) -> HTTPWireError.Reason? {
            let bytes = octets(text)
            let whole = decodeChunked(bytes, maxTrailerBytes: 100)
            #expect(decodeChunked(bytes, arrivals: Array(0...bytes.count), maxTrailerBytes: 100) == whole)
            return whole.error?.reason
        }
        #expect(reason("0\r\nX: " + String(repeating: "v", count: 93)) == nil)
        #expect(reason("0\r\nX: " + String(repeating: "v", count: 93) + "\r\n\r\n") == nil)
        #expect(reason("0\r\nX: " + String(repeating: "v", count: 94) + "\r\n\r\n") == .trailersTooLarge)
        #expect(
            decodeChunked(octets("0\r\n" + String(repeating: "A: b\r\n", count: 33) + "\r\n")).error?.reason
                == .tooManyFields)
        #expect(
            decodeChunked(octets("0\r\n" + String(repeating: "A: b\r\n", count: 32) + "\r\n")).value?.trailers.count
                == 32)
    }

    @Test(
        "trailers that frame, route, authenticate or are ours are reported",
        arguments: [
            "Content-Length: 5", "Transfer-Encoding: chunked", "Unstick-Session: op=none", "unstick_state: x",
            "UNSTICK-X: y", "Host: a",
            "Cookie: a=b", "Set-Cookie: a=b", "Connection: close", "X-Forwarded-For: 1", "Authorization: x",
            "Trailer: x", "Content_Length: 5",
        ]
    )
    func forbidden(line: String) {
        #expect(decodeChunked(octets("0\r\nX-Fine: 1\r\n\(line)\r\n\r\n")).value?.forbidden == true)
    }

    @Test("the trailer section's slices cover what was sent, and the value can be reused")
    func trailerSlices() throws {
        var decoder = ChunkedDecoder()
        for _ in 0..<2 {
            try octets("1\r\nx\r\n0\r\nA: b\r\nUnstick-X: y\r\n\r\nrest").withUnsafeBytes { bytes in
                let used = try decoder.decode(bytes)
                #expect(used == bytes.count - 4)
                #expect(latin1(decoder.trailerSection, in: bytes) == "A: b\r\nUnstick-X: y\r\n\r\n")
                #expect(decoder.trailers.map { latin1($0.line, in: bytes) } == ["A: b\r\n", "Unstick-X: y\r\n"])
                #expect(decoder.hasForbiddenTrailers)
                #expect(decoder.contentBytes == 1)
            }
            decoder.reset()
        }
    }
}
