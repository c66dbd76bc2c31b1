import HTTPWire

/// The bytes of a text in which every scalar up to U+00FF stands for one byte.
func octets(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8($0.value) } }

/// The text that `octets` makes the bytes from, so that every byte can be compared.
func latin1(_ bytes: some Sequence<UInt8>) -> String {
    var text = String.UnicodeScalarView()
    for byte in bytes { text.append(Unicode.Scalar(byte)) }
    return String(text)
}

func latin1(_ slice: ByteSlice, in bytes: UnsafeRawBufferPointer) -> String { latin1(slice.bytes(in: bytes)) }

/// Everything a parsed request says, without the buffer.
struct RequestSnapshot: Equatable {
    var method: RequestMethod
    var methodText: String
    var target: String
    var form: TargetForm
    var pathAndQuery: String
    var host: String
    var minor: Int
    var fields: [String]
    var known: [KnownField]
    var lines: [String]
    var framing: MessageFraming
    var keepAlive: Bool
    var expectsContinue: Bool
    var wantsUpgrade: Bool
    var connection: UInt8
    var headLength: Int

    init(_ head: borrowing RequestHead, _ bytes: UnsafeRawBufferPointer) {
        method = head.method
        methodText = latin1(head.methodSlice, in: bytes)
        target = latin1(head.target, in: bytes)
        form = head.targetForm
        pathAndQuery = latin1(head.pathAndQuery, in: bytes)
        host = latin1(head.host, in: bytes)
        minor = head.versionMinor
        fields = head.headers.map { latin1($0.name, in: bytes) + ":" + latin1($0.value, in: bytes) }
        known = head.headers.map(\.known)
        lines = head.headers.map { latin1($0.line, in: bytes) }
        framing = head.framing
        keepAlive = head.keepAlive
        expectsContinue = head.expectsContinue
        wantsUpgrade = head.wantsUpgrade
        connection = head.headers.connection.rawValue
        headLength = head.headLength
    }
}

/// Everything a parsed response says, without the buffer.
struct ResponseSnapshot: Equatable {
    var status: Int
    var reason: String
    var minor: Int
    var fields: [String]
    var framing: MessageFraming
    var keepAlive: Bool
    var headLength: Int

    init(_ head: borrowing ResponseHead, _ bytes: UnsafeRawBufferPointer) {
        status = head.status
        reason = latin1(head.reason, in: bytes)
        minor = head.versionMinor
        fields = head.headers.map { latin1($0.name, in: bytes) + ":" + latin1($0.value, in: bytes) }
        framing = head.framing
        keepAlive = head.keepAlive
        headLength = head.headLength
    }
}

/// What came of parsing.
enum Outcome<Value: Equatable>: Equatable {
    case complete(Value)
    case incomplete
    case refused(HTTPWireError)

    var value: Value? { if case .complete(let value) = self { value } else { nil } }
    var error: HTTPWireError? { if case .refused(let error) = self { error } else { nil } }
}

/// Parses `bytes`, of which first only the given prefixes are there.
func parseRequest(
    _ bytes: [UInt8],
    arrivals: [Int] = [],
    limits: HeadLimits = HeadLimits()
) -> Outcome<RequestSnapshot> {
    var head = RequestHead(limits: limits)
    return bytes.withUnsafeBytes { all in
        do throws(HTTPWireError) {
            for count in arrivals + [bytes.count] {
                if try head.parse(UnsafeRawBufferPointer(rebasing: all[..<count])) {
                    return .complete(RequestSnapshot(head, all))
                }
            }
            return .incomplete
        } catch {
            return .refused(error)
        }
    }
}

func parseRequest(_ text: String, limits: HeadLimits = HeadLimits()) -> Outcome<RequestSnapshot> {
    parseRequest(octets(text), limits: limits)
}

func parseResponse(
    _ bytes: [UInt8],
    answering method: RequestMethod = .get,
    arrivals: [Int] = [],
    limits: HeadLimits = HeadLimits()
) -> Outcome<ResponseSnapshot> {
    var head = ResponseHead(limits: limits)
    return bytes.withUnsafeBytes { all in
        do throws(HTTPWireError) {
            for count in arrivals + [bytes.count] {
                if try head.parse(UnsafeRawBufferPointer(rebasing: all[..<count]), answering: method) {
                    return .complete(ResponseSnapshot(head, all))
                }
            }
            return .incomplete
        } catch {
            return .refused(error)
        }
    }
}

/// What came of a chunked body.
struct ChunkedSnapshot: Equatable {
    var content: String
    var trailers: [String]
    var forbidden: Bool
    /// Bytes of the message.
    var length: Int
}

/// Decodes `bytes`, which arrive up to each of the given counts, as a caller with one growing buffer would.
func decodeChunked(
    _ bytes: [UInt8],
    arrivals: [Int] = [],
    maxTrailerBytes: Int = 8_192
) -> Outcome<ChunkedSnapshot> {
    var decoder = ChunkedDecoder(maxTrailerBytes: maxTrailerBytes)
    var consumed = 0
    var content = ""
    return bytes.withUnsafeBytes { all in
        for count in arrivals + [bytes.count] {
            let piece = UnsafeRawBufferPointer(rebasing: all[consumed..<count])
            do throws(HTTPWireError) {
                let used = try decoder.decode(piece) { content += latin1($0, in: piece) }
                consumed += used
            } catch {
                return .refused(HTTPWireError(error.reason, at: error.offset + consumed))
            }
            if decoder.isComplete {
                let trailers = decoder.trailers.map { latin1($0.name, in: piece) + ":" + latin1($0.value, in: piece) }
                return .complete(
                    ChunkedSnapshot(
                        content: content,
                        trailers: trailers,
                        forbidden: decoder.hasForbiddenTrailers,
                        length: consumed
                    )
                )
            }
        }
        return .incomplete
    }
}
