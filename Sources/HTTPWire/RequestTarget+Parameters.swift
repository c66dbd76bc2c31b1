extension RequestTarget {
    /// The value of a parameter: `;name=VALUE` in the path, else `name=VALUE` in the query; nil when both lack it or it
    /// is empty. Names are compared byte by byte, the first of a kind wins, nothing is decoded.
    public static func parameter(
        _ name: CookieName, in target: ByteSlice, of bytes: UnsafeRawBufferPointer
    ) -> ByteSlice? {
        sessionID(in: target, of: bytes, parameter: name) ?? queryParameter(name, in: target, of: bytes)
    }

    /// The value of `name=VALUE` in the query, up to the next `&`. A request target has no fragment (RFC 9112 section 3.2).
    public static func queryParameter(
        _ name: CookieName, in target: ByteSlice, of bytes: UnsafeRawBufferPointer
    ) -> ByteSlice? {
        guard let base = bytes.baseAddress else { return nil }
        var position = ByteScan.first(0x3f, base, from: target.start, end: target.end) &+ 1
        while position < target.end {
            let end = ByteScan.first(0x26, base, from: position, end: target.end)
            let valueStart = position &+ name.bytes.count &+ 1
            if valueStart <= end, ByteScan.byte(base, valueStart &- 1) == 0x3d,
                name.matches(base, ByteSlice(start: position, end: valueStart &- 1))
            {
                return end > valueStart ? ByteSlice(start: valueStart, end: end) : nil
            }
            position = end &+ 1
        }
        return nil
    }
}
