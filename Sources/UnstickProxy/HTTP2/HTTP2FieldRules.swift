/// What names and values of fields may hold, byte by byte. HPACK carries arbitrary bytes, HTTP/1.1 does not.
enum HTTP2FieldRules {
    /// `tchar` without capital letters (RFC 9113 section 8.2.1; RFC 9110 section 5.6.2).
    static func isFieldName(_ name: some Sequence<UInt8>) -> Bool {
        var isEmpty = true
        for byte in name {
            isEmpty = false
            guard isLowercaseTokenByte(byte) else { return false }
        }
        return !isEmpty
    }

    /// Method names are tokens and case-sensitive (RFC 9110 section 9.1).
    static func isToken(_ text: some Sequence<UInt8>) -> Bool {
        var isEmpty = true
        for byte in text {
            isEmpty = false
            guard isLowercaseTokenByte(byte) || (0x41...0x5a).contains(byte) else { return false }
        }
        return !isEmpty
    }

    private static func isLowercaseTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x61...0x7a, 0x30...0x39: true
        case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "!"), UInt8(ascii: "#"),
            UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "*"),
            UInt8(ascii: "+"), UInt8(ascii: "^"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            true
        default: false
        }
    }

    /// No control but HTAB, and no white space at either end (RFC 9113 section 8.2.1). CR, LF and NUL are among the
    /// controls: they would end the line in HTTP/1.1.
    static func isFieldValue(_ value: some BidirectionalCollection<UInt8>) -> Bool {
        guard let first = value.first, let last = value.last else { return true }
        guard !isBlank(first), !isBlank(last) else { return false }
        for byte in value where byte < 0x20 ? byte != 0x09 : byte == 0x7f { return false }
        return true
    }

    /// Visible ASCII: what stands in a request line between two spaces.
    static func isVisible(_ text: some Sequence<UInt8>) -> Bool {
        for byte in text where byte < 0x21 || byte > 0x7e { return false }
        return true
    }

    /// An authority without user information (RFC 9113 section 8.3.1). What else a host may look like is checked again,
    /// strictly, by the HTTP/1.1 parser.
    static func isAuthority(_ text: some Collection<UInt8>) -> Bool {
        guard !text.isEmpty, isVisible(text) else { return false }
        for byte in text {
            switch byte {
            case UInt8(ascii: "@"), UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#"), UInt8(ascii: "\\"),
                UInt8(ascii: ","):
                return false
            default: continue
            }
        }
        return true
    }

    /// Fields that mean something to one HTTP/1.1 connection only; in HTTP/2 they make a message malformed (RFC 9113
    /// section 8.2.2).
    static func isConnectionField(_ name: String) -> Bool {
        switch name {
        case "connection", "transfer-encoding", "keep-alive", "proxy-connection", "upgrade": true
        default: false
        }
    }

    /// Digits only, 0 ... 2⁶³ − 1; nil otherwise.
    static func contentLength(_ text: some Collection<UInt8>) -> UInt64? {
        guard !text.isEmpty, text.count <= 19 else { return nil }
        var value: UInt64 = 0
        for byte in text {
            guard byte &- 0x30 < 10 else { return nil }
            value = value * 10 + UInt64(byte - 0x30)
        }
        return value <= UInt64(Int64.max) ? value : nil
    }

    /// Whether the bytes are the same when the case of ASCII letters is ignored.
    static func matchesIgnoringCase(_ one: String.UTF8View, _ other: String.UTF8View) -> Bool {
        one.count == other.count && zip(one, other).allSatisfy { lowercased($0) == lowercased($1) }
    }

    static func lowercased(_ byte: UInt8) -> UInt8 { (0x41...0x5a).contains(byte) ? byte | 0x20 : byte }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}
