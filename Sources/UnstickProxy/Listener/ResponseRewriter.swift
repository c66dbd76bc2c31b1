import HTTPWire
import NIOCore

/// What the proxy changes in a response on its way to the client.
struct ReleasedResponse {
    /// The client speaks HTTP/1.1; otherwise chunked bodies are unwrapped and the connection ends the body.
    var clientMinorVersion: Int
    /// Whether the client's connection persists after this response.
    var keepAlive: Bool
    /// A whole `Set-Cookie` line with its CRLF, or empty.
    var affinityLine: [UInt8]
}

/// Writes a response head for the client: as the instance sent it, without what belongs to one connection and without
/// the bridge's fields.
enum ResponseRewriter {
    static func write(
        _ head: borrowing ResponseHead, of bytes: UnsafeRawBufferPointer, as released: ReleasedResponse,
        to out: inout ByteBuffer
    ) {
        out.writeStaticString("HTTP/1.1 ")
        out.writeInteger(UInt8(ascii: "0") + UInt8(head.status / 100))
        out.writeInteger(UInt8(ascii: "0") + UInt8(head.status / 10 % 10))
        out.writeInteger(UInt8(ascii: "0") + UInt8(head.status % 10))
        out.writeStaticString(" ")
        out.writeBytes(head.reason.bytes(in: bytes))
        out.writeStaticString("\r\n")

        var runStart = -1
        var runEnd = -1
        for field in head.headers {
            if drops(field, of: head, in: bytes) {
                if runStart >= 0 { out.writeBytes(bytes[runStart..<runEnd]) }
                runStart = -1
            } else {
                if runStart < 0 { runStart = field.line.start }
                runEnd = field.line.end
            }
        }
        if runStart >= 0 { out.writeBytes(bytes[runStart..<runEnd]) }

        if head.status == 101, let upgrade = head.headers.first(.upgrade) {
            out.writeStaticString("Connection: Upgrade\r\nUpgrade: ")
            out.writeBytes(upgrade.value.bytes(in: bytes))
            out.writeStaticString("\r\n")
        } else {
            if head.headers.contains(.transferEncoding), released.clientMinorVersion > 0 {
                out.writeStaticString("Transfer-Encoding: chunked\r\n")
            }
            if !released.keepAlive {
                out.writeStaticString("Connection: close\r\n")
            } else if released.clientMinorVersion == 0 {
                out.writeStaticString("Connection: keep-alive\r\n")
            }
        }
        out.writeBytes(released.affinityLine)
        out.writeStaticString("\r\n")
    }

    private static func drops(
        _ field: HeaderSlice, of head: borrowing ResponseHead, in bytes: UnsafeRawBufferPointer
    ) -> Bool {
        switch field.known {
        case .other:
            return head.headers.connection.contains(.others) && head.headers.isNamedByConnection(field, in: bytes)
        case .contentLength, .setCookie, .contentType, .date, .server: return false
        default: return field.known.isHopByHop || field.known.isUnstick
        }
    }
}

/// Answers that the proxy makes itself.
enum ProxyAnswer {
    static func reason(_ status: Int) -> String {
        switch status {
        case 400: "Bad Request"
        case 404: "Not Found"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Error"
        }
    }

    /// A plain-text answer whose text says what happened, for the person who reads the client's log.
    static func write(
        status: Int, message: String, retryAfterSeconds: Int? = nil, keepAlive: Bool, omitsBody: Bool,
        to out: inout ByteBuffer
    ) {
        out.writeString("HTTP/1.1 \(status) \(reason(status))\r\nContent-Type: text/plain; charset=utf-8\r\n")
        out.writeString("Content-Length: \(message.utf8.count + 1)\r\nCache-Control: no-store\r\n")
        if let retryAfterSeconds { out.writeString("Retry-After: \(retryAfterSeconds)\r\n") }
        out.writeString(keepAlive ? "\r\n" : "Connection: close\r\n\r\n")
        if !omitsBody { out.writeString("\(message)\n") }
    }
}
