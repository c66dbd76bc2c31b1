/// Why a request that came over HTTP/2 is not forwarded.
///
/// Everything that an HTTP/1.1 reader could see as more or other than this one request is refused here, before a byte of
/// it is written (RFC 9113 section 8.2.1 and 10.3).
enum HTTP2RequestFault: Error, Hashable, Sendable {
    // RFC 9113 section 8.3: pseudo-header fields.
    case pseudoFieldMissing, pseudoFieldRepeated, pseudoFieldUnknown, pseudoFieldBehindFields, pseudoFieldInTrailers
    case badMethod, badScheme, badPath, badAuthority
    // Section 8.3.1: `:authority` against `Host`.
    case hostMissing, hostRepeated, hostDiffers
    // Sections 8.2.1 and 8.2.2: names and values.
    case badFieldName, badFieldValue, connectionField, badTE
    /// A value that was no UTF-8: the HPACK decoder has replaced bytes of it, so it cannot be passed on unchanged.
    case valueNotText
    // Section 8.1.1: lengths.
    case badContentLength, contentLengthRepeated, bodyTooLong, bodyTooShort
    // Section 8.1: the order of frames.
    case headInBody
    /// CONNECT and extended CONNECT (RFC 8441), which this proxy does not offer.
    case connectNotSupported

    /// What the client gets.
    enum Answer: Hashable, Sendable {
        /// A response without a body, then nothing more of the request is read.
        case status(Int)
        /// RST_STREAM with PROTOCOL_ERROR, as for every malformed request (section 8.1.1).
        case reset
    }

    var answer: Answer {
        switch self {
        case .connectNotSupported: .status(501)
        // Well-formed for HTTP/2, of no use for a request here.
        case .hostMissing, .badAuthority, .badScheme, .valueNotText: .status(400)
        default: .reset
        }
    }
}
