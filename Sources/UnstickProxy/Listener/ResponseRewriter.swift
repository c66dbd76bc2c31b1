import HTTPWire

/// Writes a response head for the client: as the instance sent it, without what belongs to one connection and without
/// the bridge's fields.
enum ResponseRewriter {
    /// Room that the rewritten head needs at most.
    @inline(__always)
    static func maxSize(_ head: borrowing ResponseHead, affinityLineBytes: Int, viaBytes: Int = 0) -> Int {
        head.headLength + affinityLineBytes + viaBytes + 128
    }

    static func write(
        _ head: borrowing ResponseHead, of bytes: UnsafeRawBufferPointer, clientMinorVersion: Int, keepAlive: Bool,
        affinityLine: UnsafeRawBufferPointer, via: borrowing [UInt8]? = nil, to out: inout HeadWriter
    ) {
        writeStatusLine(head, of: bytes, to: &out)
        let headers = head.headers.presentFields
        let isChunked = headers.contains(.transferEncoding)
        var dropped = KnownFieldSet.hopByHop | .unstick
        // Announces trailers, which go with the chunks when those are unwrapped.
        if clientMinorVersion == 0 { dropped.insert(.trailer) }
        // No body is to be announced where none can be (RFC 9110 section 8.6).
        if head.status < 200 || head.status == 204 { dropped.insert(.contentLength) }
        head.headers.appendLines(without: dropped, of: bytes, to: &out)

        if head.status == 101, headers.contains(.upgrade) {
            out.append("Connection: Upgrade\r\nUpgrade: ")
            _ = head.headers.appendList(of: .upgrade, of: bytes, to: &out)
            out.append("\r\n")
        } else {
            if isChunked, clientMinorVersion > 0, head.status >= 200, head.status != 204 {
                out.append("Transfer-Encoding: chunked\r\n")
            }
            if !keepAlive {
                out.append("Connection: close\r\n")
            } else if clientMinorVersion == 0 {
                out.append("Connection: keep-alive\r\n")
            }
        }
        if let via = copy via {
            if head.versionMinor == 1 { out.append("Via: 1.1 ") } else { out.append("Via: 1.0 ") }
            out.append(via)
            out.append("\r\n")
        }
        out.append(affinityLine)
        out.append("\r\n")
    }

    /// A 1xx head on its way to the client (RFC 9110 section 15.2): nothing about the connection is said in it, and
    /// nothing of the bridge's.
    static func writeInterim(
        _ head: borrowing ResponseHead, of bytes: UnsafeRawBufferPointer, to out: inout HeadWriter
    ) {
        writeStatusLine(head, of: bytes, to: &out)
        var dropped = KnownFieldSet.hopByHop | .unstick
        dropped.insert(.contentLength)
        dropped.insert(.setCookie)
        head.headers.appendLines(without: dropped, of: bytes, to: &out)
        out.append("\r\n")
    }

    @inline(__always)
    private static func writeStatusLine(
        _ head: borrowing ResponseHead, of bytes: UnsafeRawBufferPointer, to out: inout HeadWriter
    ) {
        let reason = head.reason
        if head.versionMinor == 1, reason.start == 13 {
            // The line as it came.
            return out.append(ByteSlice(start: 0, end: reason.end + 2), of: bytes)
        }
        out.append("HTTP/1.1 ")
        out.append(decimal: UInt64(head.status))
        out.append(" ")
        out.append(reason, of: bytes)
        out.append("\r\n")
    }
}
