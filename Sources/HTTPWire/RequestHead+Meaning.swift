extension RequestHead {
    /// Reads the fields that decide about the message and the connection, once all of them are there.
    @inline(__always)
    mutating func interpret(_ base: UnsafeRawPointer) throws(HTTPWireError) {
        try interpretHost(base)
        framing = try headers.declaredFraming(base, versionMinor: versionMinor) ?? .none
        try headers.readConnection(base, end: headLength)
        // RFC 9112 §9.3.
        let options = headers.connection
        keepAlive = !options.contains(.close) && (versionMinor == 1 || options.contains(.keepAlive))
        // RFC 9110 §7.8: ignored in HTTP/1.0.
        wantsUpgrade = versionMinor == 1 && options.contains(.upgrade) && headers.contains(.upgrade)
        if wantsUpgrade { refuseHTTPUpgrades(base) }
        if headers.contains(.expect) { try interpretExpectation(base) }
    }

    /// Exactly one valid `Host` in HTTP/1.1, at most one in HTTP/1.0 (RFC 9112 §3.2). The target's authority wins over it (§3.2.2).
    @inline(__always)
    private mutating func interpretHost(_ base: UnsafeRawPointer) throws(HTTPWireError) {
        guard let field = headers.first(.host) else {
            if versionMinor == 1 { throw HTTPWireError(.hostMissing, at: headLength) }
            return
        }
        if headers.isRepeated(.host) { throw HTTPWireError(.hostRepeated, at: field.name.start) }
        if let fault = Authority.fault(base, field.value, needsPort: false) { throw HTTPWireError(.badHost, at: fault) }
        if targetForm == .origin || targetForm == .asterisk { host = field.value }
    }

    /// An upgrade to another HTTP is ours to make or not, as we are the server of this connection. Passed on, the tunnel that
    /// follows would carry requests that nobody here looks at ("h2c smuggling").
    private mutating func refuseHTTPUpgrades(_ base: UnsafeRawPointer) {
        for field in headers where field.known == .upgrade {
            var position = field.value.start
            while let name = ListElements.next(base, in: field.value, position: &position) {
                let isHTTP =
                    ByteScan.matches(base, name, "h2c") || ByteScan.matches(base, name, "h2")
                    || (name.count >= 4
                        && ByteScan.matches(base, ByteSlice(start: name.start, end: name.start + 4), "http"))
                    || (name.count >= 3
                        && ByteScan.matches(base, ByteSlice(start: name.start, end: name.start + 3), "tls"))
                if isHTTP { wantsUpgrade = false }
            }
        }
    }

    /// `100-continue` is the only expectation there is (RFC 9110 §10.1.1); HTTP/1.0 has none.
    private mutating func interpretExpectation(_ base: UnsafeRawPointer) throws(HTTPWireError) {
        guard versionMinor == 1 else { return }
        for field in headers where field.known == .expect {
            guard ByteScan.matches(base, field.value, "100-continue") else {
                throw HTTPWireError(.expectationNotSupported, at: field.value.start)
            }
        }
        expectsContinue = !framing.isEmpty
    }

    /// What `Max-Forwards` says (RFC 9110 §7.6.2); it counts for OPTIONS and TRACE only.
    public enum ForwardsLeft: Hashable, Sendable {
        /// No limit.
        case any
        /// The number to send on, one less than was received.
        case some(UInt64)
        /// The request must not be forwarded: whoever reads it answers.
        case none
    }

    /// - Parameter bytes: what was parsed. A field that is repeated or no number is read as no limit, and is to be dropped.
    public func forwardsLeft(in bytes: UnsafeRawBufferPointer) -> ForwardsLeft {
        guard method == .options || method == .trace, let base = bytes.baseAddress,
            let field = headers.first(.maxForwards), !headers.isRepeated(.maxForwards), !field.value.isEmpty,
            field.value.count <= 18
        else { return .any }
        var value: UInt64 = 0
        for offset in field.value.range {
            guard ByteScan.isDigit(ByteScan.byte(base, offset)) else { return .any }
            value = value * 10 + UInt64(ByteScan.byte(base, offset) - 0x30)
        }
        return value == 0 ? .none : .some(value - 1)
    }
}
