import HTTPWire
import NIOCore
import NIOHPACK

/// One request of an HTTP/2 stream, as HTTP/1.1 bytes. A pure state machine: events in, bytes or a fault out.
///
/// The bytes are a plain origin-form (or `*`) request with exactly one length, `Content-Length` or chunked. After a fault
/// nothing more may be fed or written.
struct HTTP2RequestTranslator {
    /// Of the request, for the response's framing.
    private(set) var method = RequestMethod.other
    private var stage = Stage.head

    private enum Stage {
        /// Becomes one of the others with the first HEADERS.
        case head
        /// A body of declared length, of which this much is to come; becomes `complete`.
        case counted(UInt64)
        /// A body without a declared length; becomes `complete`.
        case chunked
        case complete
    }

    /// Whether the whole request has been read.
    var isComplete: Bool {
        if case .complete = stage { true } else { false }
    }

    // MARK: Events

    /// A HEADERS frame with all its CONTINUATIONs: the head, or the trailers.
    mutating func headers(_ fields: HPACKHeaders, endStream: Bool, into bytes: inout ByteBuffer)
        throws(HTTP2RequestFault)
    {
        switch stage {
        case .head: try head(fields, endStream: endStream, into: &bytes)
        case .counted(let remaining):
            guard endStream else { throw .headInBody }
            guard remaining == 0 else { throw .bodyTooShort }
            // A body of declared length has no place for trailers in HTTP/1.1; they may be dropped (RFC 9110 section 6.5.1).
            var dropped = ByteBuffer()
            try trailers(fields, into: &dropped)
            stage = .complete
        case .chunked:
            guard endStream else { throw .headInBody }
            bytes.writeStaticString("0\r\n")
            try trailers(fields, into: &bytes)
            bytes.writeStaticString("\r\n")
            stage = .complete
        case .complete: throw .headInBody
        }
    }

    /// A DATA frame's content.
    mutating func data(_ content: ByteBuffer, endStream: Bool, into bytes: inout ByteBuffer) throws(HTTP2RequestFault) {
        let count = UInt64(content.readableBytes)
        switch stage {
        case .head, .complete: throw .headInBody
        case .counted(let remaining):
            guard count <= remaining else { throw .bodyTooLong }
            guard !endStream || count == remaining else { throw .bodyTooShort }
            stage = endStream ? .complete : .counted(remaining - count)
            if bytes.readableBytes == 0 { bytes = content } else { bytes.writeImmutableBuffer(content) }
        case .chunked:
            if count > 0 {
                bytes.reserveCapacity(
                    minimumWritableBytes: content.readableBytes + WireWriter.chunkHeaderBytesMax + 7)
                bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: WireWriter.chunkHeaderBytesMax) {
                    $0.baseAddress.map { WireWriter.writeChunkHeader(size: count, to: $0) } ?? 0
                }
                bytes.writeImmutableBuffer(content)
                bytes.writeStaticString("\r\n")
            }
            if endStream {
                bytes.writeStaticString("0\r\n\r\n")
                stage = .complete
            }
        }
    }

    // MARK: Head

    /// What the pseudo-header fields said.
    private struct Pseudo {
        var method: String?
        var scheme: String?
        var path: String?
        var authority: String?
        var hasProtocol = false

        mutating func take(_ name: String, _ value: String) throws(HTTP2RequestFault) {
            let isRepeated: Bool
            switch name {
            case ":method": (isRepeated, method) = (method != nil, value)
            case ":scheme": (isRepeated, scheme) = (scheme != nil, value)
            case ":path": (isRepeated, path) = (path != nil, value)
            case ":authority": (isRepeated, authority) = (authority != nil, value)
            case ":protocol": (isRepeated, hasProtocol) = (hasProtocol, true)
            default: throw .pseudoFieldUnknown
            }
            if isRepeated { throw .pseudoFieldRepeated }
        }
    }

    private mutating func head(_ fields: HPACKHeaders, endStream: Bool, into bytes: inout ByteBuffer)
        throws(HTTP2RequestFault)
    {
        var pseudo = Pseudo()
        var host: String?
        var length: UInt64?
        var cookieCount = 0
        var hasSeenField = false
        for (name, value, _) in fields {
            if name.utf8.first == UInt8(ascii: ":") {
                guard !hasSeenField else { throw .pseudoFieldBehindFields }
                try pseudo.take(name, value)
                continue
            }
            hasSeenField = true
            try Self.check(name, value)
            switch name {
            case "host":
                guard host == nil else { throw .hostRepeated }
                host = value
            case "content-length":
                guard length == nil else { throw .contentLengthRepeated }
                guard let number = HTTP2FieldRules.contentLength(value.utf8) else { throw .badContentLength }
                length = number
            case "te": guard HTTP2FieldRules.matchesIgnoringCase(value.utf8, "trailers".utf8) else { throw .badTE }
            case "cookie": cookieCount += 1
            default: break
            }
        }
        let (method, path) = try requestLine(pseudo)
        let authority = try Self.authority(pseudo.authority, host: host)
        if endStream, let length, length > 0 { throw .bodyTooShort }

        self.method = Self.known(method)
        bytes.writeString(method)
        bytes.writeStaticString(" ")
        bytes.writeString(path)
        bytes.writeStaticString(" HTTP/1.1\r\nhost: ")
        bytes.writeString(authority)
        bytes.writeStaticString("\r\n")
        writeFields(fields, cookieCount: cookieCount, into: &bytes)
        if endStream {
            // What means something only with content names its absence (RFC 9110 section 8.6).
            if length != nil || ["POST", "PUT", "PATCH"].contains(method) {
                bytes.writeStaticString("content-length: 0\r\n")
            }
            stage = .complete
        } else if let length {
            bytes.writeStaticString("content-length: ")
            bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: WireWriter.decimalBytesMax) {
                $0.baseAddress.map { WireWriter.writeDecimal(length, to: $0) } ?? 0
            }
            bytes.writeStaticString("\r\n")
            stage = .counted(length)
        } else {
            bytes.writeStaticString("transfer-encoding: chunked\r\n")
            stage = .chunked
        }
        bytes.writeStaticString("\r\n")
    }

    /// RFC 9113 section 8.3.1.
    private func requestLine(_ pseudo: Pseudo) throws(HTTP2RequestFault) -> (method: String, path: String) {
        guard let method = pseudo.method else { throw .pseudoFieldMissing }
        guard HTTP2FieldRules.isToken(method.utf8) else { throw .badMethod }
        guard method != "CONNECT" else { throw .connectNotSupported }
        guard !pseudo.hasProtocol else { throw .pseudoFieldUnknown }
        guard let scheme = pseudo.scheme, let path = pseudo.path else { throw .pseudoFieldMissing }
        // `http` comes from clients behind something that speaks TLS for them; nothing is decided by it.
        guard scheme == "https" || scheme == "http" else { throw .badScheme }
        guard HTTP2FieldRules.isVisible(path.utf8), !path.utf8.contains(UInt8(ascii: "#")) else { throw .badPath }
        guard path.utf8.first == UInt8(ascii: "/") || (path == "*" && method == "OPTIONS") else { throw .badPath }
        return (method, path)
    }

    /// Section 8.3.1: `:authority` decides; a `Host` that says something else makes the request malformed.
    private static func authority(_ authority: String?, host: String?) throws(HTTP2RequestFault) -> String {
        guard let chosen = authority ?? host else { throw .hostMissing }
        if let authority, let host, !HTTP2FieldRules.matchesIgnoringCase(authority.utf8, host.utf8) {
            throw .hostDiffers
        }
        guard HTTP2FieldRules.isAuthority(chosen.utf8) else { throw .badAuthority }
        return chosen
    }

    private static func check(_ name: String, _ value: String) throws(HTTP2RequestFault) {
        guard HTTP2FieldRules.isFieldName(name.utf8) else { throw .badFieldName }
        guard !HTTP2FieldRules.isConnectionField(name) else { throw .connectionField }
        guard HTTP2FieldRules.isFieldValue(value.utf8) else { throw .badFieldValue }
        guard !hasReplacement(value.utf8) else { throw .valueNotText }
    }

    /// U+FFFD, which stands where the decoder found bytes that are no UTF-8.
    private static func hasReplacement(_ value: String.UTF8View) -> Bool {
        var matched = 0
        for byte in value {
            switch (byte, matched) {
            case (0xef, _): matched = 1
            case (0xbf, 1): matched = 2
            case (0xbd, 2): return true
            default: matched = 0
            }
        }
        return false
    }

    private func writeFields(_ fields: HPACKHeaders, cookieCount: Int, into bytes: inout ByteBuffer) {
        var hasWrittenCookie = false
        for (name, value, _) in fields {
            if name.utf8.first == UInt8(ascii: ":") { continue }
            switch name {
            case "host", "content-length": continue
            case "cookie" where cookieCount > 1:
                // Crumbs become one field again (RFC 9113 section 8.2.3).
                guard !hasWrittenCookie else { continue }
                hasWrittenCookie = true
                bytes.writeStaticString("cookie: ")
                var isFirst = true
                for (name, crumb, _) in fields where name == "cookie" {
                    if !isFirst { bytes.writeStaticString("; ") }
                    isFirst = false
                    bytes.writeString(crumb)
                }
                bytes.writeStaticString("\r\n")
            default: Self.write(name, value, into: &bytes)
            }
        }
    }

    private static func write(_ name: String, _ value: String, into bytes: inout ByteBuffer) {
        bytes.writeString(name)
        bytes.writeStaticString(": ")
        bytes.writeString(value)
        bytes.writeStaticString("\r\n")
    }

    private func trailers(_ fields: HPACKHeaders, into bytes: inout ByteBuffer) throws(HTTP2RequestFault) {
        for (name, value, _) in fields {
            guard name.utf8.first != UInt8(ascii: ":") else { throw .pseudoFieldInTrailers }
            try Self.check(name, value)
            Self.write(name, value, into: &bytes)
        }
    }

    private static func known(_ method: String) -> RequestMethod {
        switch method {
        case "GET": .get
        case "HEAD": .head
        case "POST": .post
        case "PUT": .put
        case "DELETE": .delete
        case "OPTIONS": .options
        case "TRACE": .trace
        case "PATCH": .patch
        default: .other
        }
    }
}
