import Glibc
import HTTPWire
import UnstickCore

/// The affinity of one routing table, worked out once: which values name which instance, and the lines that tell
/// clients.
struct AffinityTable: ~Copyable {
    /// `NAME~SIGNATURE`.
    let own: ValueIndex
    let adopted: ContiguousArray<AdoptionRule>
    let lines: SetCookieLines

    /// - Parameter values: one per instance.
    init(_ options: ProxyOptions.Affinity, values: [[UInt8]], instances: [RoutingTable.Instance]) {
        var known = values.enumerated().map { (value: $0.element, instance: $0.offset) }
        if options.method == .urlParameter {
            // `~` needs no encoding (RFC 3986 section 2.3), and some clients encode it all the same.
            for code in ["%7E", "%7e"] {
                known += values.enumerated().map { offset, value in
                    let encoded = value.flatMap { $0 == UInt8(ascii: "~") ? Array(code.utf8) : [$0] }
                    return (value: encoded, instance: offset)
                }
            }
        }
        own = ValueIndex(known)
        adopted = ContiguousArray(options.adopt.map { AdoptionRule($0, instances: instances) })
        lines = SetCookieLines(
            cookie: options.cookie, values: values, attributes: options.cookieAttributes)
    }
}

/// One adopted affinity, ready to be asked.
final class AdoptionRule {
    let cookie: CookieName?
    let parameter: CookieName?
    /// Whether the application must not see what stands before its own value.
    let isPrefix: Bool
    private let part: Part
    private let values: ValueIndex
    private let ring: NginxHash

    /// Which part of a value names the instance.
    private enum Part {
        case whole
        /// Up to this byte, or all where it is missing.
        case upTo(UInt8)
        /// Up to this byte, or none where it is missing.
        case before(UInt8)
        /// Behind the first of this byte.
        case behind(UInt8)
        /// `ADDRESS:PORT` in base64, alone or as a protobuf's first field.
        case envoy
        /// All of it, by its hash.
        case ring
    }

    init(_ rule: AdoptedAffinity, instances: [RoutingTable.Instance]) {
        cookie = rule.cookie.flatMap { CookieName($0) }
        parameter = rule.parameter.flatMap { CookieName($0) }
        values = ValueIndex(rule.values(for: instances))
        let isConsistent = rule.format == .nginxHash(consistent: true)
        let hashes = isConsistent || rule.format == .nginxHash(consistent: false)
        ring = NginxHash(servers: hashes ? rule.ring(for: instances) : [], isConsistent: isConsistent)
        isPrefix = rule.format == .haproxyPrefix
        part =
            switch rule.format {
            case .value, .haproxyDynamic, .nginxSticky, .nginxStickyModule, .traefik, .caddy: .whole
            case .haproxyInsert, .ingressNginx: .upTo(UInt8(ascii: "|"))
            case .haproxyPrefix: .before(AdoptionRule.prefixEnd)
            case .route: .behind(UInt8(ascii: "."))
            case .envoy: .envoy
            case .nginxHash: .ring
            }
    }

    /// HAProxy's `COOKIE_DELIM`.
    static let prefixEnd = UInt8(ascii: "~")

    func instance(_ value: UnsafeRawBufferPointer) -> Int? {
        switch part {
        case .whole: return values.instance(value)
        case .upTo(let end):
            return values.instance(UnsafeRawBufferPointer(rebasing: value[..<(Self.first(end, value) ?? value.count)]))
        case .before(let end):
            return Self.first(end, value).flatMap {
                values.instance(UnsafeRawBufferPointer(rebasing: value[..<$0]))
            }
        case .behind(let mark):
            return Self.first(mark, value).flatMap {
                values.instance(UnsafeRawBufferPointer(rebasing: value[($0 + 1)...]))
            }
        case .envoy: return instance(inEnvoyCookie: value)
        case .ring: return ring.instance(value)
        }
    }

    /// Where the prefix that the application must not see ends, with its delimiter: an offset in the value.
    func prefixLength(_ value: UnsafeRawBufferPointer) -> Int? {
        isPrefix ? Self.first(Self.prefixEnd, value).map { $0 + 1 } : nil
    }

    private static func first(_ byte: UInt8, _ value: UnsafeRawBufferPointer) -> Int? {
        guard let base = value.baseAddress, let hit = memchr(base, Int32(byte), value.count) else { return nil }
        return UnsafeRawPointer(hit) - base
    }

    /// Longer ones hold no address.
    private static let envoyBytesMax = 512

    /// source/extensions/http/stateful_session/cookie: message `Cookie { string address = 1; int64 expires = 2; }`. The
    /// time is the browser's business, which forgets the cookie by `Max-Age`.
    private func instance(inEnvoyCookie value: UnsafeRawBufferPointer) -> Int? {
        guard value.count <= Self.envoyBytesMax else { return nil }
        return withUnsafeTemporaryAllocation(byteCount: Self.envoyBytesMax, alignment: 8) { output in
            guard let count = Base64.decode(value, into: output) else { return nil }
            let decoded = UnsafeRawBufferPointer(rebasing: output[..<count])
            // Field 1, length-delimited; no address is that short or begins with a line feed.
            if count > 2, decoded[0] == 0x0a, decoded[1] < 0x80, Int(decoded[1]) + 2 <= count {
                return values.instance(UnsafeRawBufferPointer(rebasing: decoded[2..<2 + Int(decoded[1])]))
            }
            return values.instance(decoded)
        }
    }
}

/// Base64 (RFC 4648 section 4) as it stands in cookies: in quotes or not, padded or not.
enum Base64 {
    /// - Parameter output: has room for at least three quarters of the input's bytes.
    /// - Returns: how many bytes were written; nil for what is not base64.
    static func decode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int? {
        var start = 0
        var end = input.count
        if end >= 2, input[0] == UInt8(ascii: "\""), input[end - 1] == UInt8(ascii: "\"") {
            start = 1
            end -= 1
        }
        while end > start, input[end - 1] == UInt8(ascii: "=") { end -= 1 }
        var bits: UInt32 = 0
        var held: UInt32 = 0
        var count = 0
        for position in start..<end {
            let byte = input[position]
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = byte - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = byte - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0") + 52
            case UInt8(ascii: "+"): digit = 62
            case UInt8(ascii: "/"): digit = 63
            default: return nil
            }
            bits = bits << 6 | UInt32(digit)
            held += 6
            guard held >= 8 else { continue }
            held -= 8
            output[count] = UInt8(truncatingIfNeeded: bits >> held)
            count += 1
        }
        return held < 6 ? count : nil
    }
}
