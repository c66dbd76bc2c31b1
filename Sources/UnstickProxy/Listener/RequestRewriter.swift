import HTTPWire

/// Writes a request head for the instance: copies runs of lines that stay, leaves out what belongs to one connection
/// (RFC 9110 section 7.6.1) and what a client must not say, adds what the proxy knows.
enum RequestRewriter {
    /// Room that the rewritten head needs at most: the head, the host up to three times more (`Host`, `X-Forwarded-Host`,
    /// `Forwarded`), and the texts of the added lines with their longest addresses.
    @inline(__always)
    static func maxSize(
        _ head: borrowing RequestHead, policy: borrowing ForwardingPolicy, bridgeLineBytes: Int, authorityBytes: Int
    ) -> Int {
        head.headLength + 3 * head.host.count + policy.pseudonym.count + bridgeLineBytes + authorityBytes + 640
    }

    /// The added lines that are the same for every request of a connection, made once for it: copying them costs a fraction of
    /// writing them. Empty for a trusted peer, whose lines depend on the request, and where a `Forwarded` is sent, which
    /// holds the host.
    static func clientLines(_ identity: ClientIdentity, _ policy: ForwardingPolicy) -> [UInt8] {
        guard !identity.isPeerTrusted, !policy.additions.contains(.forwarded) else { return [] }
        return [UInt8](unsafeUninitializedCapacity: 384) { memory, count in
            var out = HeadWriter(UnsafeMutableRawBufferPointer(memory))
            if policy.additions.contains(.xRealIP), let client = identity.client {
                out.append("X-Real-IP: ")
                out.append(client)
                out.append("\r\n")
            }
            if policy.additions.contains(.via) {
                out.append("Via: 1.1 ")
                out.append(policy.pseudonym)
                out.append("\r\n")
            }
            if policy.additions.contains(.xForwarded) {
                out.append("X-Forwarded-For: ")
                identity.appendPeer(to: &out)
                out.append("\r\nX-Forwarded-Proto: ")
                out.append(identity.scheme.text)
                if identity.localPort != 0 {
                    out.append("\r\nX-Forwarded-Port: ")
                    out.append(decimal: UInt64(identity.localPort))
                }
                // The request's host and the line's end are written behind it.
                out.append("\r\nX-Forwarded-Host: ")
            }
            count = out.count
        }
    }

    /// - Parameters:
    ///   - identity: as ``ClientIdentity/resolved(for:of:under:)`` returned it for this request.
    ///   - clientLines: ``clientLines(_:_:)`` of the connection's identity; empty: they are written anew.
    ///   - removal: what some requests lose beside that; nil for most.
    static func write(
        _ head: borrowing RequestHead, of bytes: UnsafeRawBufferPointer, identity: borrowing ClientIdentity,
        policy: borrowing ForwardingPolicy, clientLines: borrowing [UInt8] = [], bridgeLines: UnsafeRawBufferPointer,
        upstreamAuthority: borrowing String, removal: FieldRemoval? = nil, to out: inout HeadWriter
    ) {
        writeRequestLine(head, of: bytes, to: &out)

        // What an untrusted client says about earlier hops is not passed on as if it were true; `100-continue` is the
        // proxy's own to answer; a known name spelt with `_` would be merged with the real one by CGI and WSGI.
        var dropped =
            KnownFieldSet.hopByHop | .unstick
            | KnownFieldSet(bits: KnownField.expect.bit | KnownField.disguised.bit)
        let headers = head.headers.presentFields
        if !identity.isPeerTrusted {
            dropped = dropped | .clientClaims
        } else if headers.bits & KnownFieldSet.clientClaims.bits != 0 {
            dropped = dropped | replacedClaims(head, bytes, policy)
        }
        // RFC 9112 section 3.2.2: the target's authority replaces what `Host` says, and stands first (section 3.2).
        if head.targetForm == .absolute {
            dropped.insert(.host)
            writeHost(head, of: bytes, upstreamAuthority, to: &out)
        } else if !headers.contains(.host) {
            writeHost(head, of: bytes, upstreamAuthority, to: &out)
        }
        if headers.contains(.contentLength), hasLeadingZero(head, bytes) {
            dropped.insert(.contentLength)
            if case .length(let length) = head.framing {
                out.append("Content-Length: ")
                out.append(decimal: length)
                out.append("\r\n")
            }
        }
        if headers.contains(.maxForwards) {
            dropped.insert(.maxForwards)
            if case .some(let left) = head.forwardsLeft(in: bytes) {
                out.append("Max-Forwards: ")
                out.append(decimal: left)
                out.append("\r\n")
            }
        }
        if let removal {
            removal.appendLines(of: head.headers, without: dropped, of: bytes, to: &out)
        } else {
            head.headers.appendLines(without: dropped, of: bytes, to: &out)
        }

        if head.framing == .chunked { out.append("Transfer-Encoding: chunked\r\n") }
        if head.wantsUpgrade {
            out.append("Connection: Upgrade\r\nUpgrade: ")
            _ = head.headers.appendList(of: .upgrade, of: bytes, to: &out)
            out.append("\r\n")
        }
        let lineBytes = clientLines.count
        if lineBytes > 0, head.versionMinor == 1, !head.host.isEmpty {
            clientLines.withUnsafeBytes { out.append($0) }
            if policy.additions.contains(.xForwarded) {
                out.append(head.host, of: bytes)
                out.append("\r\n")
            }
        } else {
            writeClaims(head, of: bytes, identity, policy, dropped: dropped, to: &out)
            if policy.additions.contains(.via) {
                // The protocol of the message that was received (RFC 9110 section 7.6.3).
                if head.versionMinor == 1 { out.append("Via: 1.1 ") } else { out.append("Via: 1.0 ") }
                out.append(policy.pseudonym)
                out.append("\r\n")
            }
        }
        out.append(bridgeLines)
        out.append("\r\n")
    }

    private static func writeRequestLine(
        _ head: borrowing RequestHead, of bytes: UnsafeRawBufferPointer, to out: inout HeadWriter
    ) {
        if head.targetForm == .origin, head.versionMinor == 1 {
            // The line as it came, from the method's first byte to its CRLF.
            let start = head.methodSlice.start
            return out.append(ByteSlice(start: start, end: head.target.end + 11), of: bytes)
        }
        out.append(head.methodSlice, of: bytes)
        out.append(" ")
        if head.targetForm == .absolute {
            let target = head.pathAndQuery
            if target.isEmpty, head.method == .options {
                // RFC 9112 section 3.2.4: no path and no query means the server as a whole.
                out.append("*")
            } else {
                // An absolute form may have no path, or begin with the query (RFC 9112 section 3.2.1).
                if target.isEmpty || bytes[target.start] != UInt8(ascii: "/") { out.append("/") }
                out.append(target, of: bytes)
            }
        } else {
            out.append(head.target, of: bytes)
        }
        out.append(" HTTP/1.1\r\n")
    }

    private static func writeHost(
        _ head: borrowing RequestHead, of bytes: UnsafeRawBufferPointer, _ upstreamAuthority: borrowing String,
        to out: inout HeadWriter
    ) {
        out.append("Host: ")
        if head.host.isEmpty {
            out.append(text: copy upstreamAuthority)
        } else {
            out.append(head.host, of: bytes)
        }
        out.append("\r\n")
    }

    /// Zeros in front mean nothing (RFC 9110 section 8.6), except to readers that take them for octal.
    @inline(__always)
    private static func hasLeadingZero(_ head: borrowing RequestHead, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let field = head.headers.first(.contentLength) else { return false }
        return field.value.count > 1 && bytes[field.value.start] == UInt8(ascii: "0")
    }

    /// Of a trusted peer's claims those that the proxy writes anew: the lists, which it appends to, and what no single
    /// valid field says.
    private static func replacedClaims(
        _ head: borrowing RequestHead, _ bytes: UnsafeRawBufferPointer, _ policy: borrowing ForwardingPolicy
    ) -> KnownFieldSet {
        var replaced = KnownFieldSet()
        let headers = head.headers
        if policy.additions.contains(.xForwarded) {
            replaced.insert(.xForwardedFor)
            if ForwardingChain.scheme(in: headers, of: bytes) == nil { replaced.insert(.xForwardedProto) }
            if let field = headers.first(.xForwardedHost) {
                let isValid = !field.value.isEmpty && FieldGrammar.isAuthority(field.value.bytes(in: bytes))
                if !isValid || headers.isRepeated(.xForwardedHost) { replaced.insert(.xForwardedHost) }
            }
            if let field = headers.first(.xForwardedPort) {
                let isValid =
                    (1...5).contains(field.value.count)
                    && field.value.bytes(in: bytes).allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
                if !isValid || headers.isRepeated(.xForwardedPort) { replaced.insert(.xForwardedPort) }
            }
        }
        if policy.additions.contains(.xRealIP) { replaced.insert(.xRealIP) }
        if policy.additions.contains(.forwarded) { replaced.insert(.forwarded) }
        return replaced
    }

    @inline(never)
    private static func writeClaims(
        _ head: borrowing RequestHead, of bytes: UnsafeRawBufferPointer, _ identity: borrowing ClientIdentity,
        _ policy: borrowing ForwardingPolicy, dropped: KnownFieldSet, to out: inout HeadWriter
    ) {
        let additions = policy.additions
        if additions.contains(.xForwarded) {
            let headers = head.headers.presentFields
            func isMissing(_ field: KnownField) -> Bool { !headers.contains(field) || dropped.contains(field) }
            out.append("X-Forwarded-For: ")
            if identity.isPeerTrusted, head.headers.appendList(of: .xForwardedFor, of: bytes, to: &out) {
                out.append(", ")
            }
            identity.appendPeer(to: &out)
            if isMissing(.xForwardedProto) {
                out.append("\r\nX-Forwarded-Proto: ")
                out.append(identity.scheme.text)
            }
            if isMissing(.xForwardedHost), !head.host.isEmpty {
                out.append("\r\nX-Forwarded-Host: ")
                out.append(head.host, of: bytes)
            }
            if isMissing(.xForwardedPort), identity.localPort != 0 {
                out.append("\r\nX-Forwarded-Port: ")
                out.append(decimal: UInt64(identity.localPort))
            }
            out.append("\r\n")
        }
        if additions.contains(.xRealIP), let client = identity.client {
            out.append("X-Real-IP: ")
            out.append(client)
            out.append("\r\n")
        }
        if additions.contains(.forwarded) {
            out.append("Forwarded: ")
            if identity.isPeerTrusted, head.headers.appendList(of: .forwarded, of: bytes, to: &out) {
                out.append(", ")
            }
            writeForwardedElement(head, of: bytes, identity, to: &out)
            out.append("\r\n")
        }
    }

    /// RFC 7239 section 4. An IPv6 address needs brackets and quotes (section 6), a host with a port quotes.
    private static func writeForwardedElement(
        _ head: borrowing RequestHead, of bytes: UnsafeRawBufferPointer, _ identity: borrowing ClientIdentity,
        to out: inout HeadWriter
    ) {
        out.append("for=")
        if let peer = identity.peer {
            if peer.isIPv6 { out.append("\"[") }
            out.append(peer)
            if peer.isIPv6 { out.append("]\"") }
        } else {
            out.append("unknown")
        }
        if !head.host.isEmpty {
            out.append(";host=\"")
            out.append(head.host, of: bytes)
            out.append("\"")
        }
        out.append(";proto=")
        out.append(identity.scheme.text)
    }
}
