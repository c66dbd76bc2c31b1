/// Makes heads from the grammar, with faults strewn in: every part of a head that the rewriters look at occurs in every
/// combination sooner or later. The same seed makes the same heads on every machine.
struct GeneratedHeads {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// 0 ..< bound.
    mutating func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: next() % UInt64(bound)) }
    mutating func chance(_ one: Int) -> Bool { below(one) == 0 }
    private mutating func pick(_ words: [[UInt8]]) -> [UInt8] { words[below(words.count)] }

    private static func bytes(_ texts: [String]) -> [[UInt8]] {
        texts.map { $0.unicodeScalars.map { UInt8($0.value) } }
    }

    private static let methods = bytes([
        "GET", "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "TRACE", "BREW", "CONNECT",
    ])
    private static let targets = bytes([
        "/", "/a/b?c=d", "/;jsessionid=x", "//b/c", "/%2e%2e/", "http://b.example/x", "http://b", "https://b:81?q", "*",
        "b:443",
        "/\"<>", "http://[::1]/", "HTTP://B/",
    ])
    private static let versions = bytes(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"])
    private static let fields = bytes([
        "Host: a.example", "Host:", "Host: [::1]:80", "Content-Length: 5", "Content-Length: 007", "Content-Length: 0",
        "Transfer-Encoding: chunked", "transfer-encoding:CHUNKED", "Connection: close", "Connection: keep-alive",
        "Connection: X-One, X-Two", "connection: upgrade", "Connection: upgrade, HTTP2-Settings",
        "Connection: host,,content-length",
        "Connection: transfer-encoding , cookie", "Upgrade: websocket", "Upgrade: h2c", "Upgrade: foo/1, bar",
        "Keep-Alive: timeout=5",
        "TE: trailers", "Trailer: X-Sum", "Proxy-Connection: x", "Proxy-Authorization: x", "Expect: 100-continue",
        "Cookie: a=b; c=d",
        "X-One: 1", "x-two:2", "X-Three:\t3 \t", "X-Empty:", "X-High: \u{e9}\u{ff}", "Max-Forwards: 3",
        "Max-Forwards: 0", "Via: 1.1 x",
        "Unstick-Session: op=none", "unstick_state: x", "UNSTICK.X: y", "Unsticky: fine", "X_Forwarded_For: 6.6.6.6",
        "Content_Length: 9", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.7, 10.1.1.1", "X-Forwarded-For:",
        "X-Forwarded-Proto: https", "X-Forwarded-Proto: x", "X-Forwarded-Host: h:1", "X-Forwarded-Host: h/1",
        "X-Forwarded-Port: 443",
        "X-Forwarded-Port: 443x", "Forwarded: for=6.6.6.6;proto=https", "Forwarded: for=\"[fd00::1]:5\", for=x",
        "X-Real-IP: 6.6.6.6",
        "Date: x", "Server: x", "Content-Type: text/html", "Set-Cookie: a=b", "Authorization: x",
        "Cache-Control: no-store",
        "HTTP2-Settings: x", "A-Name-That-Is-Longer-Than-All-Known: x",
    ])
    private static let faults = bytes([
        "\r", "\n", " ", "\t", ":", "\u{0}", ",", ";", "\r\n", "\r\n ", "_", "-", "\u{7f}", "\u{80}", "\"", "1",
    ])

    /// A request's head, mostly without fault.
    mutating func request() -> [UInt8] {
        var head = pick(Self.methods) + [0x20] + pick(Self.targets) + [0x20] + pick(Self.versions) + [0x0d, 0x0a]
        if !chance(8) { head += Array("Host: a\r\n".utf8) }
        return finish(head)
    }

    /// A response's head, mostly without fault.
    mutating func response() -> [UInt8] {
        let codes = [200, 200, 200, 204, 304, 404, 500, 101, 103, 999]
        var head = chance(8) ? Array("HTTP/1.0 ".utf8) : Array("HTTP/1.1 ".utf8)
        head += Array("\(codes[below(codes.count)])".utf8)
        if !chance(8) { head += Array(" Reason".utf8) }
        return finish(head + [0x0d, 0x0a])
    }

    private mutating func finish(_ start: [UInt8]) -> [UInt8] {
        var head = start
        for _ in 0..<below(9) { head += pick(Self.fields) + [0x0d, 0x0a] }
        head += [0x0d, 0x0a]
        if chance(4) {
            for _ in 0...below(3) {
                let offset = below(head.count)
                switch below(4) {
                case 0: head[offset] = UInt8(below(256))
                case 1: head.insert(contentsOf: pick(Self.faults), at: offset)
                case 2: head[offset] ^= 0x20
                default: head.remove(at: offset)
                }
            }
        }
        return head
    }
}
