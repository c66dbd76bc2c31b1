import HTTPWire

/// What a request's fields lose on the way to an instance because of a configured feature: a request id or trace that is
/// written anew, claims about client certificates, the prefix that another balancer put before a cookie's value.
struct FieldRemoval {
    /// Bytes within one line's value.
    var hidden: ByteSlice?
    /// Fields that go, beside those that always do.
    var drops: (HeaderSlice) -> Bool

    func appendLines(
        of headers: HeaderBlock, without dropped: KnownFieldSet, of bytes: UnsafeRawBufferPointer,
        to out: inout HeadWriter
    ) {
        let namesOthers = headers.connection.contains(.others)
        for field in headers {
            if dropped.contains(field.known) || (namesOthers && headers.isNamedByConnection(field, in: bytes)) {
                continue
            }
            if drops(field) { continue }
            guard let hidden, hidden.start >= field.line.start, hidden.end <= field.line.end else {
                out.append(field.line, of: bytes)
                continue
            }
            out.append(ByteSlice(start: field.line.start, end: hidden.start), of: bytes)
            out.append(ByteSlice(start: hidden.end, end: field.line.end), of: bytes)
        }
    }
}
