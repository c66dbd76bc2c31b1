import HTTPWire

/// Who is at the other end of a connection, and who sent a request: for affinity by address, limits, logs, and for what
/// instances are told.
///
/// Made once per connection by `init(peer:…)`. Requests of a peer that is not trusted use it as it is, at no cost;
/// ``resolved(for:of:under:)`` looks at the fields of trusted ones.
struct ClientIdentity: Hashable, Sendable {
    enum Scheme: UInt8, Sendable {
        case http, https
        var text: StaticString { self == .http ? "http" : "https" }
    }

    /// Who is connected: the socket's peer, or whom a PROXY protocol header names in its place. Nil when unknown, such as on
    /// a Unix socket.
    private(set) var peer: NetworkAddress?
    /// 0: unknown.
    private(set) var peerPort: UInt16
    /// The port that the peer connected to. 0: unknown.
    private(set) var localPort: UInt16
    /// Whether the peer's own word about clients counts.
    let isPeerTrusted: Bool
    /// Who sent the request: ``peer``, or whom a trusted peer names.
    private(set) var client: NetworkAddress?
    /// What the client used, here or at a trusted proxy in front.
    private(set) var scheme: Scheme

    /// - Parameters:
    ///   - isTLS: whether the connection here is TLS.
    ///   - proxied: the PROXY protocol header with which the connection began.
    init(
        peer: NetworkAddress?, peerPort: UInt16 = 0, localPort: UInt16 = 0, isTLS: Bool = false,
        proxied: ProxyProtocolHeader? = nil, under policy: ForwardingPolicy
    ) {
        self.peer = peer
        self.peerPort = peerPort
        self.localPort = localPort
        scheme = isTLS ? .https : .http
        // A LOCAL header is the proxy's own health check: the connection's addresses stand.
        if let proxied, let source = proxied.source, let destination = proxied.destination {
            self.peer = source.address
            self.peerPort = source.port
            self.localPort = destination.port
        }
        if proxied?.clientUsedTLS == true { scheme = .https }
        client = self.peer
        isPeerTrusted = self.peer.map { policy.trusts($0) } ?? false
    }

    /// The identity for one request. The same value unless the peer is trusted.
    @inline(__always)
    func resolved(
        for head: borrowing RequestHead, of bytes: UnsafeRawBufferPointer, under policy: borrowing ForwardingPolicy
    ) -> ClientIdentity {
        guard isPeerTrusted, head.headers.containsAny(of: .clientClaims) else { return self }
        return believed(head.headers, bytes, policy)
    }

    /// The client's address as text; `unknown` when it has none.
    var clientText: [UInt8] {
        guard let client else { return Array("unknown".utf8) }
        return [UInt8](unsafeUninitializedCapacity: NetworkAddress.textBytesMax) { memory, count in
            var out = HeadWriter(UnsafeMutableRawBufferPointer(memory))
            out.append(client)
            count = out.count
        }
    }

    /// The peer's address as text.
    @inline(__always)
    func appendPeer(to out: inout HeadWriter) {
        if let peer { out.append(peer) } else { out.append("unknown") }
    }

    @inline(never)
    private func believed(
        _ headers: HeaderBlock, _ bytes: UnsafeRawBufferPointer, _ policy: borrowing ForwardingPolicy
    ) -> ClientIdentity {
        var identity = self
        var chain = ForwardingChain()
        switch policy.clientSource {
        case .connection: break
        case .xForwardedFor:
            for line in headers where line.known == .xForwardedFor {
                chain.readList(line.value.bytes(in: bytes)) { policy.trusts($0) }
            }
            if let scheme = ForwardingChain.scheme(in: headers, of: bytes) { identity.scheme = scheme }
        case .forwarded:
            for line in headers where line.known == .forwarded {
                chain.readForwarded(line.value.bytes(in: bytes)) { policy.trusts($0) }
            }
            if let scheme = chain.scheme { identity.scheme = scheme }
        }
        if let client = chain.client { identity.client = client }
        return identity
    }
}

/// The chain of addresses that proxies have written, read from left to right.
///
/// The client is the rightmost element that is no trusted proxy; if all are, the leftmost. What stands left of it was said
/// by somebody who is not trusted. An element that is no address ends the trust in everything left of it and in itself: then
/// the trusted proxy right of it is the last that is known.
struct ForwardingChain {
    private(set) var client: NetworkAddress?
    /// Of the same element of `Forwarded`.
    private(set) var scheme: ClientIdentity.Scheme?

    private mutating func take(
        _ address: NetworkAddress?, scheme: ClientIdentity.Scheme?, isTrusted: (NetworkAddress) -> Bool
    ) {
        guard let address else {
            client = nil
            self.scheme = nil
            return
        }
        if client == nil || !isTrusted(address) {
            client = address
            self.scheme = scheme
        }
    }

    /// `X-Forwarded-For`: addresses, with or without a port, between commas.
    mutating func readList(_ value: UnsafeRawBufferPointer, isTrusted: (NetworkAddress) -> Bool) {
        var start = 0
        while start < value.count {
            var end = start
            while end < value.count, value[end] != UInt8(ascii: ",") { end += 1 }
            let element = trimmed(UnsafeRawBufferPointer(rebasing: value[start..<end]))
            if !element.isEmpty { take(Self.address(element), scheme: nil, isTrusted: isTrusted) }
            start = end + 1
        }
    }

    /// `Forwarded` (RFC 7239 section 4): elements between commas, pairs between semicolons, values tokens or quoted.
    mutating func readForwarded(_ value: UnsafeRawBufferPointer, isTrusted: (NetworkAddress) -> Bool) {
        var start = 0
        while start < value.count {
            let end = Self.end(of: UInt8(ascii: ","), value, from: start)
            let element = UnsafeRawBufferPointer(rebasing: value[start..<end])
            start = end + 1
            guard !trimmed(element).isEmpty else { continue }
            var address: NetworkAddress?
            var scheme: ClientIdentity.Scheme?
            var position = 0
            while position < element.count {
                let pairEnd = Self.end(of: UInt8(ascii: ";"), element, from: position)
                let pair = trimmed(UnsafeRawBufferPointer(rebasing: element[position..<pairEnd]))
                position = pairEnd + 1
                if let text = Self.value("for=", pair) { address = Self.address(text) }
                if let text = Self.value("proto=", pair) { scheme = Self.scheme(text) }
            }
            take(address, scheme: scheme, isTrusted: isTrusted)
        }
    }

    /// Offset of the first such byte outside of quotes, else the end.
    private static func end(of byte: UInt8, _ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var isQuoted = false
        var offset = start
        while offset < bytes.count {
            let current = bytes[offset]
            if isQuoted, current == UInt8(ascii: "\\") {
                offset += 1
            } else if current == UInt8(ascii: "\"") {
                isQuoted.toggle()
            } else if current == byte, !isQuoted {
                return offset
            }
            offset += 1
        }
        return bytes.count
    }

    /// The pair's value without quotes, if the pair begins with `name` in any case. `name` is lower case.
    private static func value(_ name: StaticString, _ pair: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        let length = name.utf8CodeUnitCount
        guard pair.count > length else { return nil }
        for index in 0..<length {
            let byte = pair[index]
            let folded = byte &- 0x41 < 26 ? byte | 0x20 : byte
            guard folded == name.utf8Start[index] else { return nil }
        }
        let value = UnsafeRawBufferPointer(rebasing: pair[length...])
        guard value.first == UInt8(ascii: "\"") else { return value }
        guard value.count >= 2, value.last == UInt8(ascii: "\"") else { return nil }
        return UnsafeRawBufferPointer(rebasing: value[1..<(value.count - 1)])
    }

    /// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
    static func address(_ text: UnsafeRawBufferPointer) -> NetworkAddress? {
        if text.first == UInt8(ascii: "[") {
            guard let bracket = text.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            guard isPort(UnsafeRawBufferPointer(rebasing: text[(bracket + 1)...])) else { return nil }
            let address = NetworkAddress(UnsafeRawBufferPointer(rebasing: text[1..<bracket]))
            return address
        }
        if let address = NetworkAddress(text) { return address }
        guard let colon = text.firstIndex(of: UInt8(ascii: ":")),
            isPort(UnsafeRawBufferPointer(rebasing: text[colon...]))
        else { return nil }
        return NetworkAddress(UnsafeRawBufferPointer(rebasing: text[..<colon]))
    }

    /// Nothing, or a colon and digits.
    private static func isPort(_ text: UnsafeRawBufferPointer) -> Bool {
        if text.isEmpty { return true }
        guard text[0] == UInt8(ascii: ":"), text.count > 1, text.count <= 6 else { return false }
        return text.dropFirst().allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
    }

    private static func scheme(_ text: UnsafeRawBufferPointer) -> ClientIdentity.Scheme? {
        func matches(_ word: StaticString) -> Bool {
            guard text.count == word.utf8CodeUnitCount else { return false }
            for index in 0..<text.count where text[index] | 0x20 != word.utf8Start[index] { return false }
            return true
        }
        return matches("http") ? .http : matches("https") ? .https : nil
    }

    /// What `X-Forwarded-Proto` says, if it is one field with one of the two words.
    static func scheme(in headers: HeaderBlock, of bytes: UnsafeRawBufferPointer) -> ClientIdentity.Scheme? {
        guard let field = headers.first(.xForwardedProto), !headers.isRepeated(.xForwardedProto) else { return nil }
        return scheme(field.value.bytes(in: bytes))
    }

    private func trimmed(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var start = 0
        var end = bytes.count
        while start < end, bytes[start] == 0x20 || bytes[start] == 0x09 { start += 1 }
        while start < end, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<end])
    }
}
