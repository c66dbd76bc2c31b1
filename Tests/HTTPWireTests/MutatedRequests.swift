/// Makes requests that are almost right: templates with bytes and lines changed, doubled, dropped and joined. The same seed makes
/// the same requests on every machine.
struct MutatedRequests {
    private var random: SplitMix64

    init(seed: UInt64) { random = SplitMix64(state: seed) }

    private static let templates: [[UInt8]] = [
        "GET /index.html?a=b HTTP/1.1\r\nHost: example.com\r\nCookie: a=1; session=x\r\nAccept: */*\r\n\r\n",
        "POST /form HTTP/1.1\r\nHost: example.com\r\nContent-Length: 11\r\nConnection: keep-alive\r\n\r\nHello World",
        "PUT /x HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n6;a=b\r\n World\r\n0\r\nX-Sum: 1\r\n\r\n",
        "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
        "DELETE http://example.com:8080/a HTTP/1.1\r\nHost: example.com\r\nX-Empty:\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        "HEAD /h HTTP/1.1\r\nHost: [::1]:80\r\nTE: trailers\r\nX: \ta b\t \r\n\r\n",
        "\r\nPOST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc",
    ].map(octets)

    /// Pieces on which readers have disagreed.
    private static let pieces: [[UInt8]] = [
        "\r\n", "\n", "\r", "\r\n\r\n", "\n\n", " ", "\t", "\r\n ", ":", " :", "\u{0}", "\u{b}", "\u{c}", "\u{7f}",
        "\u{80}", "\u{ff}", ",", ";", "\"", "0", "5", "00",
        "+", "-", "0x", "_", "Content-Length: 5\r\n", "Content-Length: 11\r\n", "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n", "transfer_encoding: chunked\r\n", "Content-Length : 5\r\n",
        "Host: b\r\n", "Connection: close\r\n",
        "Connection: Content-Length\r\n", "chunked", ", chunked", "identity", "0\r\n\r\n", "1\r\nx\r\n",
        "ffffffffffffffff1", "HTTP/1.1", "HTTP/1.0", "GET / HTTP/1.1\r\n",
        ";ext", ";a=\"b\"", "#", "%2f", "\\", "//", "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
        "Upgrade: h2c\r\n", "Connection: upgrade\r\n",
    ].map(octets)

    mutating func next() -> [UInt8] {
        var bytes = Self.templates[random.below(Self.templates.count)]
        for _ in 0..<(1 + random.below(3)) where !bytes.isEmpty { mutate(&bytes) }
        return bytes
    }

    private mutating func mutate(_ bytes: inout [UInt8]) {
        let offset = random.below(bytes.count)
        switch random.below(9) {
        case 0: bytes[offset] = UInt8(random.below(256))
        case 1: bytes[offset] ^= 1 << UInt8(random.below(8))
        case 2: bytes.remove(at: offset)
        case 3: bytes.insert(bytes[offset], at: offset)
        case 4: bytes.insert(contentsOf: Self.pieces[random.below(Self.pieces.count)], at: offset)
        case 5, 6: bytes.insert(contentsOf: Self.pieces[random.below(Self.pieces.count)], at: lineStart(bytes, offset))
        case 7:
            // The same line again, elsewhere.
            let start = lineStart(bytes, offset)
            let end = bytes[start...].firstIndex(of: 0x0a).map { $0 + 1 } ?? bytes.count
            let line = Array(bytes[start..<end])
            bytes.insert(contentsOf: line, at: lineStart(bytes, random.below(bytes.count)))
        default:
            let end = min(bytes.count, offset + 1 + random.below(8))
            bytes.replaceSubrange(offset..<end, with: Self.pieces[random.below(Self.pieces.count)])
        }
    }

    private func lineStart(_ bytes: [UInt8], _ offset: Int) -> Int {
        bytes[..<offset].lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
    }
}

/// Steele, Lea and Flood 2014.
struct SplitMix64 {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// 0 ..< bound.
    mutating func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: next() % UInt64(bound)) }
}
