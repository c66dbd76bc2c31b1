import HTTPWire

/// Answers that the proxy makes itself.
enum ProxyAnswer {
    /// Reason phrases (RFC 9110 section 15, RFC 6585).
    static func reason(_ status: Int) -> StaticString {
        switch status {
        case 200: "OK"
        case 204: "No Content"
        case 400: "Bad Request"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 411: "Length Required"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 426: "Upgrade Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Error"
        }
    }

    private static let endOfHead: StaticString = "\r\n"
    private static let closeAndEndOfHead: StaticString = "Connection: close\r\n\r\n"

    /// Room that an answer needs at most, for a message of so many bytes of UTF-8.
    static func maxSize(messageBytes: Int) -> Int { messageBytes + 288 }

    /// Bytes of the body that says a message of so many bytes.
    static func bodySize(messageBytes: Int) -> Int { messageBytes + 1 }

    /// A plain-text answer whose text says what happened, for the person who reads the client's log. Control characters of
    /// `message` would not matter: it stands in the body.
    /// - Parameter lines: further lines of the head, each with its CRLF; not part of ``maxSize(messageBytes:)``.
    static func write(
        status: Int, message: String, retryAfterSeconds: Int? = nil,
        lines: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0), keepAlive: Bool, omitsBody: Bool,
        to out: inout HeadWriter
    ) {
        out.append("HTTP/1.1 ")
        out.append(decimal: UInt64(clamping: status))
        out.append(" ")
        out.append(reason(status))
        // RFC 9110 section 6.6.1: an origin server with a clock sends `Date`; the proxy answers in its place without one
        // rather than ask the clock for each refusal.
        out.append("\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ")
        out.append(decimal: UInt64(bodySize(messageBytes: message.utf8.count)))
        out.append("\r\nCache-Control: no-store\r\n")
        if let retryAfterSeconds {
            out.append("Retry-After: ")
            out.append(decimal: UInt64(clamping: retryAfterSeconds))
            out.append("\r\n")
        }
        // RFC 9110 section 15.5.6: 405 names what is allowed; only TRACE is ever refused so.
        if status == 405 { out.append("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n") }
        if !lines.isEmpty { out.append(lines) }
        out.append(keepAlive ? endOfHead : closeAndEndOfHead)
        guard !omitsBody else { return }
        out.append(text: message)
        out.append("\n")
    }
}
