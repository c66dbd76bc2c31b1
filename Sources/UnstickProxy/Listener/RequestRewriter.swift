import HTTPWire
import NIOCore

/// What the proxy adds to a request on its way to an instance.
struct ForwardedRequest {
    /// The client's address as text.
    var clientAddress: [UInt8]
    var scheme: StaticString = "http"
    /// Whole header lines of the bridge contract, each with its CRLF; empty in `sticky`.
    var bridgeLines: [UInt8]
    /// `HOST:PORT` for requests of HTTP/1.0 clients that name no host.
    var upstreamAuthority: String
}

/// Writes a request head for the instance: copies runs of lines that stay, leaves out what belongs to one connection
/// (RFC 9110 section 7.6.1) and what a client must not say, adds what the proxy knows.
enum RequestRewriter {
    static func write(
        _ head: borrowing RequestHead, of bytes: UnsafeRawBufferPointer, as forwarded: ForwardedRequest,
        to out: inout ByteBuffer
    ) {
        out.writeBytes(head.methodSlice.bytes(in: bytes))
        out.writeStaticString(" ")
        if head.targetForm == .absolute {
            let target = head.pathAndQuery.bytes(in: bytes)
            // An absolute form may have no path, or begin with the query (RFC 9112 section 3.2.1).
            if target.first != UInt8(ascii: "/") { out.writeStaticString("/") }
            out.writeBytes(target)
        } else {
            out.writeBytes(head.target.bytes(in: bytes))
        }
        out.writeStaticString(" HTTP/1.1\r\n")

        let replacesHost = head.targetForm == .absolute
        var runStart = -1
        var runEnd = -1
        for field in head.headers {
            let drops = drops(field, of: head, in: bytes) || (replacesHost && field.known == .host)
            if drops {
                if runStart >= 0 { out.writeBytes(bytes[runStart..<runEnd]) }
                runStart = -1
            } else {
                if runStart < 0 { runStart = field.line.start }
                runEnd = field.line.end
            }
        }
        if runStart >= 0 { out.writeBytes(bytes[runStart..<runEnd]) }

        if replacesHost || !head.headers.contains(.host) {
            out.writeStaticString("Host: ")
            if head.host.isEmpty {
                out.writeString(forwarded.upstreamAuthority)
            } else {
                out.writeBytes(head.host.bytes(in: bytes))
            }
            out.writeStaticString("\r\n")
        }
        if head.framing == .chunked { out.writeStaticString("Transfer-Encoding: chunked\r\n") }
        if head.wantsUpgrade, let upgrade = head.headers.first(.upgrade) {
            out.writeStaticString("Connection: Upgrade\r\nUpgrade: ")
            out.writeBytes(upgrade.value.bytes(in: bytes))
            out.writeStaticString("\r\n")
        }
        out.writeStaticString("X-Forwarded-For: ")
        out.writeBytes(forwarded.clientAddress)
        out.writeStaticString("\r\nX-Forwarded-Proto: ")
        out.writeStaticString(forwarded.scheme)
        if !head.host.isEmpty {
            out.writeStaticString("\r\nX-Forwarded-Host: ")
            out.writeBytes(head.host.bytes(in: bytes))
        }
        out.writeStaticString("\r\n")
        out.writeBytes(forwarded.bridgeLines)
        out.writeStaticString("\r\n")
    }

    private static func drops(
        _ field: HeaderSlice, of head: borrowing RequestHead, in bytes: UnsafeRawBufferPointer
    ) -> Bool {
        switch field.known {
        case .other:
            return head.headers.connection.contains(.others) && head.headers.isNamedByConnection(field, in: bytes)
        case .host, .contentLength, .cookie: return false
        // What an untrusted client says about earlier hops is not passed on as if it were true.
        case .forwarded, .xForwardedFor, .xForwardedProto, .xForwardedHost, .xForwardedPort, .xRealIP: return true
        // The proxy answers `100-continue` itself.
        case .expect: return true
        // A known name spelt with `_`: CGI and WSGI would merge it with the real one.
        case .disguised: return true
        default: return field.known.isHopByHop || field.known.isUnstick
        }
    }
}
