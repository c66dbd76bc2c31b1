/// The fields that a proxy has to recognise, by name, case-insensitively.
public enum KnownField: UInt8, Hashable, Sendable, CaseIterable {
    case other
    case host, connection, contentLength, transferEncoding, expect, upgrade, keepAlive, te, trailer
    case proxyConnection, proxyAuthenticate, proxyAuthorization
    case cookie, setCookie, authorization
    case forwarded, xForwardedFor, xForwardedProto, xForwardedHost, xForwardedPort, xRealIP, via
    case date, server, contentType, cacheControl, maxForwards
    /// `Unstick-Session`, spelt with the hyphen.
    case unstickSession
    /// `Unstick-State`, spelt with the hyphen.
    case unstickState
    /// Any other name that starts with `unstick` and a byte that is neither letter nor digit: CGI and WSGI read `_` as
    /// `-`, and some servers do so with every such byte.
    case unstick
    /// A field of this list with `_` for `-`, such as `X_Forwarded_For`. CGI and WSGI cannot tell it from the real one, so
    /// it must not be forwarded.
    case disguised

    /// Whether the field belongs to one connection and is never forwarded (RFC 9110 §7.6.1). `Trailer` is not among them: it
    /// tells about trailers, which are forwarded (§6.6.2).
    @inlinable
    public var isHopByHop: Bool {
        switch self {
        case .connection, .transferEncoding, .upgrade, .keepAlive, .te, .proxyConnection, .proxyAuthenticate,
            .proxyAuthorization:
            true
        default: false
        }
    }

    /// Whether it is one of ours, in whatever spelling.
    @inlinable
    public var isUnstick: Bool { self == .unstick || self == .unstickSession || self == .unstickState }

    /// Whether a trailer section must not carry the field: it frames, routes, authenticates, or is ours (RFC 9110 §6.5.1).
    @inlinable
    public var isForbiddenInTrailers: Bool {
        switch self {
        case .other, .date, .server, .via: false
        default: true
        }
    }

    /// Whether a `Connection` option may take the field away. Fields meant for all recipients are kept, or a client could
    /// have a proxy drop a cookie or the address it adds (RFC 9110 §7.6.1).
    @inlinable
    public var isRemovableByConnection: Bool { self == .other || isHopByHop }
}

extension KnownField {
    /// The field called `base[start ..< start + count]`, a token. Reads no byte at or behind `end`.
    ///
    /// - Parameter isPlain: the name is known to hold no `_`.
    @inline(__always)
    static func identify(
        _ base: UnsafeRawPointer, start: Int, count: Int, end: Int, isPlain: Bool
    ) -> KnownField {
        guard count <= 24 else { return long(base, start: start) }
        // In a token, setting bit 5 folds case and confuses nothing else that a name of the list holds; `_` becomes 0x7f.
        let fold = ByteScan.repeated(0x20)
        var first: UInt64
        var middle: UInt64 = 0
        var last: UInt64 = 0
        if count >= 8 {
            first = ByteScan.word(base, start) | fold
            last = ByteScan.word(base, start &+ count &- 8) | fold
            if count >= 16 { middle = ByteScan.word(base, start &+ 8) | fold }
            if !isPlain,
                (ByteScan.equal(first, to: 0x7f) | ByteScan.equal(middle, to: 0x7f) | ByteScan.equal(last, to: 0x7f))
                    != 0
            {
                return underscored(base, start: start, count: count, first: first, middle: middle, last: last)
            }
            if isUnstickPrefix(first, separator: ByteScan.byte(base, start &+ 7)) {
                let known = named(count: count, first: first, middle: middle, last: last)
                return known == .other ? .unstick : known
            }
        } else {
            let mask: UInt64 = (1 << UInt64(count &* 8)) &- 1
            first = (ByteScan.shortWord(base, start, count: count, end: end) | fold) & mask
        }
        return named(count: count, first: first, middle: middle, last: last)
    }

    @inline(__always)
    private static func isUnstickPrefix(_ first: UInt64, separator: UInt8) -> Bool {
        // "unstick" in the lower seven bytes.
        guard first & 0x00ff_ffff_ffff_ffff == 0x006b_6369_7473_6e75 else { return false }
        let folded = separator | 0x20
        return !(folded &- 0x61 < 26 || ByteScan.isDigit(separator))
    }

    /// Names longer than any that we know can only be `unstick-…`.
    @inline(never)
    private static func long(_ base: UnsafeRawPointer, start: Int) -> KnownField {
        let first = ByteScan.word(base, start) | ByteScan.repeated(0x20)
        return isUnstickPrefix(first, separator: ByteScan.byte(base, start &+ 7)) ? .unstick : .other
    }

    @inline(never)
    private static func underscored(
        _ base: UnsafeRawPointer,
        start: Int,
        count: Int,
        first: UInt64,
        middle: UInt64,
        last: UInt64
    ) -> KnownField {
        if isUnstickPrefix(first, separator: ByteScan.byte(base, start &+ 7)) { return .unstick }
        func hyphenated(_ word: UInt64) -> UInt64 {
            var result = word
            for shift in stride(from: UInt64(0), to: 64, by: 8) where (word >> shift) & 0xff == 0x7f {
                result ^= (0x7f ^ 0x2d) << shift
            }
            return result
        }
        let known = named(count: count, first: hyphenated(first), middle: hyphenated(middle), last: hyphenated(last))
        return known == .other ? .other : .disguised
    }

    /// Compares by words: the first eight bytes, for more than sixteen the next eight, and for more than eight the last
    /// eight, as little-endian numbers of lower-case ASCII. `KnownFieldTests` spells every name out.
    @inline(__always)
    private static func named(count: Int, first: UInt64, middle: UInt64, last: UInt64) -> KnownField {
        switch count {
        case 2:
            if first == 0x6574 { return .te }
        case 3:
            if first == 0x0061_6976 { return .via }
        case 4:
            if first == 0x7473_6f68 { return .host }
            if first == 0x6574_6164 { return .date }
        case 6:
            if first == 0x7463_6570_7865 { return .expect }
            if first == 0x6569_6b6f_6f63 { return .cookie }
            if first == 0x7265_7672_6573 { return .server }
        case 7:
            if first == 0x0065_6461_7267_7075 { return .upgrade }
            if first == 0x0072_656c_6961_7274 { return .trailer }
        case 9:
            if first == 0x6564_7261_7772_6f66, last == 0x6465_6472_6177_726f { return .forwarded }
            if first == 0x692d_6c61_6572_2d78, last == 0x7069_2d6c_6165_722d { return .xRealIP }
        case 10:
            if first == 0x6974_6365_6e6e_6f63, last == 0x6e6f_6974_6365_6e6e { return .connection }
            if first == 0x696c_612d_7065_656b, last == 0x6576_696c_612d_7065 { return .keepAlive }
            if first == 0x6b6f_6f63_2d74_6573, last == 0x6569_6b6f_6f63_2d74 { return .setCookie }
        case 12:
            if first == 0x2d74_6e65_746e_6f63, last == 0x6570_7974_2d74_6e65 { return .contentType }
            if first == 0x7772_6f66_2d78_616d, last == 0x7364_7261_7772_6f66 { return .maxForwards }
        case 13:
            if first == 0x7a69_726f_6874_7561, last == 0x6e6f_6974_617a_6972 { return .authorization }
            if first == 0x6f63_2d65_6863_6163, last == 0x6c6f_7274_6e6f_632d { return .cacheControl }
            if first == 0x2d6b_6369_7473_6e75, last == 0x6574_6174_732d_6b63 { return .unstickState }
        case 14:
            if first == 0x2d74_6e65_746e_6f63, last == 0x6874_676e_656c_2d74 { return .contentLength }
        case 15:
            if first == 0x7261_7772_6f66_2d78, last == 0x726f_662d_6465_6472 { return .xForwardedFor }
            if first == 0x2d6b_6369_7473_6e75, last == 0x6e6f_6973_7365_732d { return .unstickSession }
        case 16:
            if first == 0x6f63_2d79_786f_7270, last == 0x6e6f_6974_6365_6e6e { return .proxyConnection }
            if first == 0x7261_7772_6f66_2d78, last == 0x7473_6f68_2d64_6564 { return .xForwardedHost }
            if first == 0x7261_7772_6f66_2d78, last == 0x7472_6f70_2d64_6564 { return .xForwardedPort }
        case 17:
            if first == 0x7265_6673_6e61_7274, middle == 0x6e69_646f_636e_652d, last == 0x676e_6964_6f63_6e65 {
                return .transferEncoding
            }
            if first == 0x7261_7772_6f66_2d78, middle == 0x746f_7270_2d64_6564, last == 0x6f74_6f72_702d_6465 {
                return .xForwardedProto
            }
        case 18:
            if first == 0x7561_2d79_786f_7270, middle == 0x6163_6974_6e65_6874, last == 0x6574_6163_6974_6e65 {
                return .proxyAuthenticate
            }
        case 19:
            if first == 0x7561_2d79_786f_7270, middle == 0x7461_7a69_726f_6874, last == 0x6e6f_6974_617a_6972 {
                return .proxyAuthorization
            }
        default: break
        }
        return .other
    }
}
