extension RequestHead {
    /// Reads the fields that decide about the message and the connection, once all of them are there.
    @inline(__always)
    mutating func interpret(_ base: UnsafeRawPointer) throws(HTTPWireError) {
        try interpretHost(base)
        framing = try headers.declaredFraming(base, versionMinor: versionMinor) ?? .none
        try headers.readConnection(base)
        // RFC 9112 §9.3.
        let options = headers.connection
        keepAlive = !options.contains(.close) && (versionMinor == 1 || options.contains(.keepAlive))
        // RFC 9110 §7.8: ignored in HTTP/1.0.
        wantsUpgrade = versionMinor == 1 && options.contains(.upgrade) && headers.contains(.upgrade)
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
}
