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
    /// The pseudonym for `Via`; nil: none is added.
    var via: [UInt8]?
}

/// Writes a response head for the client: as the instance sent it, without what belongs to one connection and without
/// the bridge's fields.
enum ResponseRewriter {
    /// Room that the rewritten head needs at most.
    @inline(__always)
    static func maxSize(_ head: borrowing ResponseHead, affinityLineBytes: Int, viaBytes: Int = 0) -> Int {
        head.headLength + affinityLineBytes + viaBytes + 128
    }

    @inline(__always)
    static func write(
        _ head: borrowing ResponseHead, of bytes: UnsafeRawBufferPointer, as released: borrowing ReleasedResponse,
        to out: inout HeadWriter
    ) {
        released.affinityLine.withUnsafeBytes { line in
            write(
                head, of: bytes, clientMinorVersion: released.clientMinorVersion, keepAlive: released.keepAlive,
                affinityLine: line, via: released.via, to: &out)
        }
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

extension ResponseRewriter {
    static func write(
        _ head: borrowing ResponseHead, of bytes: UnsafeRawBufferPointer, as released: borrowing ReleasedResponse,
        to out: inout ByteBuffer
    ) {
        let size = maxSize(
            head, affinityLineBytes: released.affinityLine.count, viaBytes: (released.via?.count ?? 0) + 16)
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { memory in
            var writer = HeadWriter(memory)
            write(head, of: bytes, as: released, to: &writer)
            return writer.count
        }
    }
}
