/// Why a message is refused, where it went wrong, and what to answer. After it the connection must be closed: where the
/// next message would begin is unknown.
public struct HTTPWireError: Error, Hashable, Sendable {
    public var reason: Reason
    /// Offset of the offending byte in the bytes given to the parser.
    public var offset: Int
    /// The status to answer a client with; 502 when a response was at fault (RFC 9112 §6.3).
    public var status: Int

    public init(_ reason: Reason, at offset: Int) {
        self.reason = reason
        self.offset = offset
        status = reason.status
    }

    /// The same fault found in an upstream's response.
    var inResponse: HTTPWireError {
        var error = self
        error.status = 502
        return error
    }

    public enum Reason: UInt8, Hashable, Sendable, CaseIterable {
        case badMethod, methodTooLong, badTarget, targetTooLong, badVersion, versionNotSupported
        case badStatusLine
        case bareCarriageReturn, bareLineFeed, obsoleteFold
        case badFieldName, spaceBeforeColon, badFieldValue
        case headTooLarge, tooManyFields
        case hostMissing, hostRepeated, badHost
        case badContentLength, contentLengthRepeated, contentLengthWithTransferEncoding
        case transferEncodingInHTTP10, transferEncodingRepeated, chunkedNotLast, transferEncodingNotSupported
        case expectationNotSupported
        case badConnection
        case badChunkSize, chunkSizeTooLarge, badChunkExtension, chunkExtensionTooLong, badChunkEnd
        case trailersTooLarge
    }
}

extension HTTPWireError.Reason {
    /// The status to answer a request with.
    public var status: Int {
        switch self {
        case .targetTooLong: 414
        case .headTooLarge, .tooManyFields, .trailersTooLarge: 431
        case .methodTooLong, .transferEncodingNotSupported: 501
        case .versionNotSupported: 505
        case .chunkSizeTooLarge: 413
        case .expectationNotSupported: 417
        default: 400
        }
    }
}

extension HTTPWireError: CustomStringConvertible {
    /// Never quotes the message: it may hold session ids.
    public var description: String { "\(reason) at byte \(offset)" }
}
