extension RequestHead {
    /// More than any registered method has.
    static let methodBytesMax = 32
    /// Empty lines that are skipped before the request line: some old clients send one behind a body (RFC 9112 §2.2).
    static let leadingLinesMax = 2

    /// `method SP request-target SP HTTP-version CRLF` (RFC 9112 §3), each space exactly one. Returns the offset behind it,
    /// nil when the line is not complete.
    @inline(__always)
    mutating func readRequestLine(_ base: UnsafeRawPointer, end: Int) throws(HTTPWireError) -> Int? {
        var offset = 0
        var skipped = 0
        while offset < end, ByteScan.byte(base, offset) == 0x0d, skipped < Self.leadingLinesMax {
            guard offset &+ 1 < end else { return nil }
            guard ByteScan.byte(base, offset &+ 1) == 0x0a else { throw HTTPWireError(.bareCarriageReturn, at: offset) }
            offset &+= 2
            skipped &+= 1
        }

        guard let methodEnd = try readMethod(base, start: offset, end: end) else { return nil }
        let targetStart = methodEnd &+ 1
        let targetLimit = min(end, targetStart &+ limits.maxTargetBytes &+ 1)
        let targetEnd = ByteScan.firstNotVisible(base, from: targetStart, end: targetLimit)
        if targetEnd &- targetStart > limits.maxTargetBytes { throw HTTPWireError(.targetTooLong, at: targetEnd) }
        if targetEnd == end { return nil }
        guard targetEnd > targetStart else { throw HTTPWireError(.badTarget, at: targetEnd) }
        if ByteScan.byte(base, targetEnd) != 0x20 {
            // A line that ends here is HTTP/0.9.
            let reason: HTTPWireError.Reason = ByteScan.byte(base, targetEnd) == 0x0d ? .badVersion : .badTarget
            throw HTTPWireError(reason, at: targetEnd)
        }
        target = ByteSlice(start: targetStart, end: targetEnd)
        try classifyTarget(base)
        return try readVersion(base, start: targetEnd &+ 1, end: end)
    }

    /// Offset of the space behind the method.
    @inline(__always)
    private mutating func readMethod(_ base: UnsafeRawPointer, start: Int, end: Int) throws(HTTPWireError) -> Int? {
        // "GET " as a little-endian word.
        if start &+ 8 <= end, ByteScan.word(base, start) & 0xffff_ffff == 0x2054_4547 {
            method = .get
            methodSlice = ByteSlice(start: start, end: start &+ 3)
            return start &+ 3
        }
        var offset = start
        while offset < end, ByteClass.token.contains(ByteScan.byte(base, offset)) {
            offset &+= 1
            if offset &- start > Self.methodBytesMax { throw HTTPWireError(.methodTooLong, at: offset) }
        }
        if offset == end { return nil }
        guard offset > start, ByteScan.byte(base, offset) == 0x20 else { throw HTTPWireError(.badMethod, at: offset) }
        methodSlice = ByteSlice(start: start, end: offset)
        method = Self.method(base, start: start, count: offset &- start, end: end)
        return offset
    }

    /// The names as little-endian words.
    private static func method(_ base: UnsafeRawPointer, start: Int, count: Int, end: Int) -> RequestMethod {
        guard count < 8 else { return .other }
        return switch ByteScan.shortWord(base, start, count: count, end: end) {
        case 0x0054_4547: .get
        case 0x0054_5550: .put
        case 0x4441_4548: .head
        case 0x5453_4f50: .post
        case 0x0048_4354_4150: .patch
        case 0x0045_4341_5254: .trace
        case 0x4554_454c_4544: .delete
        case 0x0053_4e4f_4954_504f: .options
        case 0x0054_4345_4e4e_4f43: .connect
        default: .other
        }
    }

    /// `HTTP/1.0` or `HTTP/1.1` and CRLF (RFC 9112 §2.3). Another pair of digits is a version we do not speak.
    @inline(__always)
    private mutating func readVersion(_ base: UnsafeRawPointer, start: Int, end: Int) throws(HTTPWireError) -> Int? {
        // "HTTP/1.1" as a little-endian word.
        if start &+ 10 <= end, ByteScan.word(base, start) == 0x312e_312f_5054_5448 {
            versionMinor = 1
        } else {
            guard let minor = try HTTPVersion.read(base, start: start, end: end) else { return nil }
            versionMinor = minor
        }
        let lineEnd = start &+ 8
        if lineEnd == end { return nil }
        guard ByteScan.byte(base, lineEnd) == 0x0d else {
            throw HTTPWireError(ByteScan.byte(base, lineEnd) == 0x0a ? .bareLineFeed : .badVersion, at: lineEnd)
        }
        if lineEnd &+ 1 == end { return nil }
        guard ByteScan.byte(base, lineEnd &+ 1) == 0x0a else { throw HTTPWireError(.bareCarriageReturn, at: lineEnd) }
        return lineEnd &+ 2
    }

    /// Which of the four forms the target has, and whether the method may have it (RFC 9112 §3.2).
    @inline(__always)
    private mutating func classifyTarget(_ base: UnsafeRawPointer) throws(HTTPWireError) {
        if method == .connect { return try classifyAuthority(base) }
        if ByteScan.byte(base, target.start) == 0x2f {
            targetForm = .origin
            pathAndQuery = target
        } else {
            try classifyRareTarget(base)
        }
        // A target has no fragment; servers disagree on where the path ends when one is sent.
        let fragment = ByteScan.first(0x23, base, from: target.start, end: target.end)
        if fragment != target.end { throw HTTPWireError(.badTarget, at: fragment) }
    }

    private mutating func classifyAuthority(_ base: UnsafeRawPointer) throws(HTTPWireError) {
        targetForm = .authority
        pathAndQuery = .empty
        if let fault = Authority.fault(base, target, needsPort: true) { throw HTTPWireError(.badTarget, at: fault) }
        host = target
    }

    private mutating func classifyRareTarget(_ base: UnsafeRawPointer) throws(HTTPWireError) {
        if target.count == 1, ByteScan.byte(base, target.start) == 0x2a, method == .options {
            targetForm = .asterisk
            pathAndQuery = .empty
            return
        }
        var authorityStart = target.start
        for scheme: StaticString in ["http://", "https://"] {
            let length = scheme.utf8CodeUnitCount
            guard target.count > length else { continue }
            if ByteScan.matches(base, ByteSlice(start: target.start, end: target.start + length), scheme) {
                authorityStart = target.start + length
            }
        }
        guard authorityStart > target.start else { throw HTTPWireError(.badTarget, at: target.start) }
        var authorityEnd = authorityStart
        while authorityEnd < target.end {
            let byte = ByteScan.byte(base, authorityEnd)
            if byte == 0x2f || byte == 0x3f { break }
            authorityEnd += 1
        }
        let authority = ByteSlice(start: authorityStart, end: authorityEnd)
        // Also refuses user information, as RFC 9110 §4.2.4 wants for an untrusted sender.
        if authority.isEmpty { throw HTTPWireError(.badTarget, at: authorityStart) }
        if let fault = Authority.fault(base, authority, needsPort: false) { throw HTTPWireError(.badTarget, at: fault) }
        targetForm = .absolute
        host = authority
        pathAndQuery = ByteSlice(start: authorityEnd, end: target.end)
    }
}

/// `HTTP-version` (RFC 9112 §2.3).
enum HTTPVersion {
    /// The minor version of `HTTP/1.0` or `HTTP/1.1`; nil when the bytes end too early.
    static func read(_ base: UnsafeRawPointer, start: Int, end: Int) throws(HTTPWireError) -> Int? {
        let prefix: StaticString = "HTTP/"
        for index in 0..<8 {
            let offset = start + index
            if offset == end { return nil }
            let byte = ByteScan.byte(base, offset)
            let fits =
                switch index {
                case 0..<5: byte == prefix.utf8Start[index]
                case 6: byte == 0x2e
                default: ByteScan.isDigit(byte)
                }
            if !fits { throw HTTPWireError(.badVersion, at: offset) }
        }
        let minor = ByteScan.byte(base, start + 7) &- 0x30
        guard ByteScan.byte(base, start + 5) == 0x31, minor < 2 else {
            throw HTTPWireError(.versionNotSupported, at: start + 5)
        }
        return Int(minor)
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2).
enum Authority {
    /// Offset of the first byte at fault, nil when all is well. An empty range is well unless a port is needed.
    @inline(__always)
    static func fault(_ base: UnsafeRawPointer, _ slice: ByteSlice, needsPort: Bool) -> Int? {
        var offset = slice.start
        if offset < slice.end, ByteScan.byte(base, offset) == 0x5b {
            guard let literalEnd = endOfLiteral(base, slice) else { return offset }
            offset = literalEnd
        } else {
            while offset < slice.end {
                let byte = ByteScan.byte(base, offset)
                if ByteClass.registeredName.contains(byte) {
                    offset &+= 1
                } else if byte == 0x25, isEncoded(base, offset, end: slice.end) {
                    offset &+= 3
                } else {
                    break
                }
            }
        }
        if offset == slice.end { return needsPort ? offset : nil }
        // A port without a host names nothing.
        guard ByteScan.byte(base, offset) == 0x3a, offset > slice.start else { return offset }
        offset &+= 1
        let portStart = offset
        var port = 0
        while offset < slice.end {
            let byte = ByteScan.byte(base, offset)
            guard ByteScan.isDigit(byte), offset &- portStart < 5 else { return offset }
            port = port &* 10 &+ Int(byte &- 0x30)
            offset &+= 1
        }
        if port > 65_535 || (needsPort && portStart == slice.end) { return portStart }
        return nil
    }

    private static func isEncoded(_ base: UnsafeRawPointer, _ offset: Int, end: Int) -> Bool {
        offset + 2 < end && ByteScan.hexValue(ByteScan.byte(base, offset + 1)) != nil
            && ByteScan.hexValue(ByteScan.byte(base, offset + 2)) != nil
    }

    /// Offset behind the `]` of an IPv6 address. Its bytes are checked, its grammar is not: nothing here resolves it.
    private static func endOfLiteral(_ base: UnsafeRawPointer, _ slice: ByteSlice) -> Int? {
        var offset = slice.start + 1
        while offset < slice.end {
            let byte = ByteScan.byte(base, offset)
            if byte == 0x5d { return offset > slice.start + 1 ? offset + 1 : nil }
            guard ByteScan.hexValue(byte) != nil || byte == 0x3a || byte == 0x2e else { return nil }
            offset += 1
        }
        return nil
    }
}
