import HTTPWire
import Testing

@Suite("Head writer")
struct HeadWriterTests {
    func write(capacity: Int, _ body: (inout HeadWriter) -> Void) -> (text: String, overflowed: Bool) {
        var memory = [UInt8](repeating: 0xaa, count: capacity + 8)
        return memory.withUnsafeMutableBytes { memory in
            var writer = HeadWriter(base: memory.baseAddress!, capacity: capacity)
            body(&writer)
            // Nothing behind the capacity is touched.
            #expect(memory[capacity...].allSatisfy { $0 == 0xaa })
            return (latin1(writer.written), writer.overflowed)
        }
    }

    @Test("pieces stand one behind the other")
    func pieces() {
        let (text, overflowed) = write(capacity: 100) { writer in
            writer.append("static ")
            writer.append(octets("bytes "))
            writer.append(text: "text ")
            writer.append(byte: 0x21)
            octets("xxsliceyy").withUnsafeBytes { writer.append(ByteSlice(start: 2, end: 7), of: $0) }
        }
        #expect(text == "static bytes text !slice")
        #expect(!overflowed)
    }

    @Test("numbers are written in decimal", arguments: WireWriterTests.numbers)
    func decimal(value: UInt64) { #expect(write(capacity: 20) { $0.append(decimal: value) }.text == String(value)) }

    @Test("what does not fit is left out and remembered")
    func overflow() {
        let (text, overflowed) = write(capacity: 6) { writer in
            writer.append("abc")
            writer.append("defg")
            // Would fit, but behind a gap.
            writer.append("d")
        }
        #expect(text == "abc")
        #expect(overflowed)
        #expect(write(capacity: 3) { $0.append("abc") } == ("abc", false))
        #expect(write(capacity: 2) { $0.append(decimal: 100) } == ("", true))
        #expect(write(capacity: 1) { writer in for _ in 0..<2 { writer.append(byte: 0x61) } } == ("a", true))
    }

    @Test(
        "lines are copied without those that are dropped or named by Connection",
        arguments: [
            ("Host: a\r\nX: 1\r\nY: 2\r\n", "Host: a\r\nX: 1\r\nY: 2\r\n"),
            ("TE: trailers\r\nHost: a\r\nKeep-Alive: 5\r\nX: 1\r\n", "Host: a\r\nX: 1\r\n"),
            ("Host: a\r\nConnection: x, close\r\nX: 1\r\nY: 2\r\nx: 3\r\n", "Host: a\r\nY: 2\r\n"),
            ("Host: a\r\nConnection: host, cookie\r\nCookie: c\r\n", "Host: a\r\nCookie: c\r\n"),
            ("Host: a\r\nConnection: keep-alive\r\n", "Host: a\r\n"),
            ("Connection: close\r\nTE: x\r\nHost: a\r\n", "Host: a\r\n"),
            ("Host: a\r\nUnstick-State: x\r\nunstick_session: y\r\nTrailer: Z\r\n", "Host: a\r\nTrailer: Z\r\n"),
        ])
    func lines(fields: String, kept: String) throws {
        let bytes = octets("GET / HTTP/1.1\r\n" + fields + "\r\n")
        var head = RequestHead()
        try bytes.withUnsafeBytes { bytes in
            let isComplete = try head.parse(bytes)
            #expect(isComplete)
            let text = write(capacity: 200) { writer in
                head.headers.appendLines(without: .hopByHop | .unstick, of: bytes, to: &writer)
            }.text
            #expect(text == kept)
        }
    }

    @Test("the sets hold what the fields say of themselves")
    func sets() {
        for field in KnownField.allCases {
            #expect(KnownFieldSet.hopByHop.contains(field) == field.isHopByHop, "\(field)")
            #expect(KnownFieldSet.unstick.contains(field) == field.isUnstick, "\(field)")
        }
    }

    @Test("trailers are copied without those that must not be forwarded")
    func trailers() throws {
        var decoder = ChunkedDecoder()
        try octets("1\r\nx\r\n0\r\nA: b\r\nUnstick-X: y\r\nContent-Length: 3\r\nGrpc-Status: 0\r\n\r\n").withUnsafeBytes
        {
            bytes in
            let used = try decoder.decode(bytes)
            #expect(used == bytes.count)
            let text = write(capacity: decoder.trailerSection.count) { decoder.appendTrailers(of: bytes, to: &$0) }
            #expect(text == ("A: b\r\nGrpc-Status: 0\r\n\r\n", false))
        }
    }

    @Test("names, values and authorities from elsewhere are held against the grammar")
    func grammar() {
        func holds(_ text: String, _ rule: (UnsafeRawBufferPointer) -> Bool) -> Bool {
            octets(text).withUnsafeBytes { rule($0) }
        }
        for text in ["X", "content-length", "a_b", "x-!#$%&'*+.^`|~9"] { #expect(holds(text, FieldGrammar.isName)) }
        for text in ["", "a b", "a:", ":path", "a\r\n", "\u{e9}", "a\u{0}"] {
            #expect(!holds(text, FieldGrammar.isName))
        }
        for text in ["", "a b\tc", "\u{e9}", "longer than eight, longer than sixteen"] {
            #expect(holds(text, FieldGrammar.isValue))
        }
        for text in ["a\r\nb: c", "a\nb", "a\u{0}", "\r", "aaaaaaaaaaaaaaaaaaaaaaa\u{7f}", "\t\u{1}"] {
            #expect(!holds(text, FieldGrammar.isValue))
        }
        #expect(holds("a.example:80", FieldGrammar.isAuthority))
        #expect(!holds("a.example/x", FieldGrammar.isAuthority))
    }

    @Test(
        "an upgrade to another HTTP or to TLS is not asked for further on",
        arguments: ["h2c", "H2C, websocket", "websocket, h2c", "HTTP/2.0", "TLS/1.0", "h2"])
    func httpUpgrades(name: String) {
        let text =
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\nUpgrade: \(name)\r\n\r\n"
        #expect(parseRequest(text).value?.wantsUpgrade == false)
    }

    @Test("Max-Forwards counts down for OPTIONS and TRACE")
    func maxForwards() throws {
        func left(_ method: String, _ fields: String) throws -> RequestHead.ForwardsLeft {
            var head = RequestHead()
            return try octets("\(method) / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n").withUnsafeBytes { bytes in
                _ = try head.parse(bytes)
                return head.forwardsLeft(in: bytes)
            }
        }
        #expect(try left("OPTIONS", "Max-Forwards: 7\r\n") == .some(6))
        #expect(try left("TRACE", "Max-Forwards: 0\r\n") == .none)
        #expect(try left("GET", "Max-Forwards: 0\r\n") == .any)
        #expect(try left("TRACE", "") == .any)
        #expect(try left("TRACE", "Max-Forwards: 1x\r\n") == .any)
        #expect(try left("TRACE", "Max-Forwards: 1\r\nMax-Forwards: 0\r\n") == .any)
        #expect(try left("TRACE", "Max-Forwards: 9999999999999999999999\r\n") == .any)
    }
}
