import HTTPWire
import NIOCore
import NIOHPACK
import NIOHTTP2

/// One HTTP/1.1 response, as frames of an HTTP/2 stream. A pure state machine: bytes in, payloads out.
///
/// What belongs to the HTTP/1.1 connection (`Connection`, what it names, `Transfer-Encoding`, `Keep-Alive`, `Upgrade`)
/// never comes out (RFC 9113 section 8.2.2).
struct HTTP2ResponseTranslator: ~Copyable {
    private var head: ResponseHead
    private var decoder = ChunkedDecoder()
    private var stage = Stage.head
    /// Bytes of an unfinished head or trailer section.
    private var pending = ByteBuffer()

    private enum Stage {
        /// Stays with a 1xx head; becomes one of the others with the final one.
        case head
        case counted(UInt64)
        case chunked
        case untilClose
        case complete
    }

    /// Why the bytes cannot be the response to this request.
    enum Fault: Error, Hashable, Sendable {
        case unreadable(HTTPWireError)
        /// 101, which HTTP/2 has no use for (RFC 9113 section 8.6).
        case switchesProtocols
        /// Bytes behind the end of the response.
        case excess
    }

    init(limits: HeadLimits) {
        head = ResponseHead(limits: limits)
    }

    /// Whether a frame with END_STREAM has been given out.
    var isComplete: Bool {
        if case .complete = stage { true } else { false }
    }

    /// Whether the response ends where its sender stops sending.
    var endsWithClose: Bool {
        if case .untilClose = stage { true } else { false }
    }

    /// Reads what comes next.
    mutating func receive(
        _ bytes: ByteBuffer, answering method: RequestMethod, emit: (HTTP2Frame.FramePayload) -> Void
    ) throws(Fault) {
        var rest = bytes
        if pending.readableBytes > 0 {
            pending.writeBuffer(&rest)
            rest = pending
            pending = ByteBuffer()
        }
        while rest.readableBytes > 0 {
            switch stage {
            case .head:
                guard try readHead(&rest, answering: method, emit: emit) else {
                    pending = rest
                    return
                }
            case .counted(let remaining):
                let count = min(remaining, UInt64(rest.readableBytes))
                let left = remaining - count
                stage = left == 0 ? .complete : .counted(left)
                emit(Self.data(rest.readSlice(length: Int(count)) ?? rest, endStream: left == 0))
            case .chunked:
                guard try readChunks(&rest, emit: emit) else {
                    pending = rest
                    return
                }
            case .untilClose:
                emit(Self.data(rest, endStream: false))
                return
            case .complete:
                throw .excess
            }
        }
    }

    /// The sender has said that nothing follows. True when that is a proper end; then, for a body that ends with the
    /// connection, the last frame has been given out.
    mutating func end(emit: (HTTP2Frame.FramePayload) -> Void) -> Bool {
        switch stage {
        case .complete: return true
        case .untilClose:
            stage = .complete
            emit(Self.data(ByteBuffer(), endStream: true))
            return true
        case .head, .counted, .chunked: return false
        }
    }

    private static func data(_ bytes: ByteBuffer, endStream: Bool) -> HTTP2Frame.FramePayload {
        .data(.init(data: .byteBuffer(bytes), endStream: endStream))
    }

    // MARK: Head

    private mutating func readHead(
        _ rest: inout ByteBuffer, answering method: RequestMethod, emit: (HTTP2Frame.FramePayload) -> Void
    ) throws(Fault) -> Bool {
        let isRead: Bool
        do {
            isRead = try rest.withBytes { (bytes) throws(HTTPWireError) in
                try head.parse(bytes, answering: method)
            }
        } catch {
            throw .unreadable(error)
        }
        guard isRead else { return false }
        guard head.status != 101 else { throw .switchesProtocols }
        let fields = rest.withBytes { translatedFields(in: $0) }
        rest.moveReaderIndex(forwardBy: head.headLength)
        let isFinal = !head.isInformational
        let framing = head.framing
        head.reset()
        guard isFinal else {
            emit(.headers(.init(headers: fields, endStream: false)))
            return true
        }
        switch framing {
        case .none, .length(0): stage = .complete
        case .length(let count): stage = .counted(count)
        case .chunked: stage = .chunked
        case .untilClose: stage = .untilClose
        }
        emit(.headers(.init(headers: fields, endStream: isComplete)))
        return true
    }

    private func translatedFields(in bytes: UnsafeRawBufferPointer) -> HPACKHeaders {
        var fields = HPACKHeaders()
        fields.reserveCapacity(head.headers.count + 1)
        fields.add(name: ":status", value: Self.decimal(head.status))
        for header in head.headers {
            switch header.known {
            // The upstream's challenges to this proxy end here as well.
            case .connection, .transferEncoding, .upgrade, .keepAlive, .te, .proxyConnection: continue
            // It announces trailers, which HTTP/2 has too.
            case .trailer: break
            default: if head.headers.isNamedByConnection(header, in: bytes) { continue }
            }
            Self.add(header, of: bytes, to: &fields)
        }
        return fields
    }

    private static func add(_ header: HeaderSlice, of bytes: UnsafeRawBufferPointer, to fields: inout HPACKHeaders) {
        let name = header.name.bytes(in: bytes)
        let lowercase = String(unsafeUninitializedCapacity: name.count) { target in
            for index in 0..<name.count { target[index] = HTTP2FieldRules.lowercased(name[index]) }
            return name.count
        }
        fields.add(name: lowercase, value: text(header.value.bytes(in: bytes)))
    }

    /// UTF-8 as it is; other bytes as the Latin-1 that they once meant in HTTP (RFC 9110 section 5.5), because HPACK here
    /// carries text.
    private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        return String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) }))
    }

    /// Three digits, without the cost of a formatter for the usual ones.
    private static func decimal(_ status: Int) -> String {
        switch status {
        case 200: "200"
        case 204: "204"
        case 302: "302"
        case 304: "304"
        case 404: "404"
        default: String(status)
        }
    }

    // MARK: Body

    /// Gives out what is complete. False when the rest is the beginning of a trailer section: more is needed.
    private mutating func readChunks(_ rest: inout ByteBuffer, emit: (HTTP2Frame.FramePayload) -> Void)
        throws(Fault) -> Bool
    {
        // One slice is held back, so that the last one can carry END_STREAM.
        var held: ByteBuffer?
        let consumed: Int
        let buffer = rest
        do {
            consumed = try buffer.withBytes { (bytes) throws(HTTPWireError) in
                try decoder.decode(bytes) { range in
                    if let held { emit(Self.data(held, endStream: false)) }
                    held = buffer.getSlice(at: buffer.readerIndex + range.start, length: range.count)
                }
            }
        } catch {
            throw .unreadable(error)
        }
        guard decoder.isComplete else {
            if let held { emit(Self.data(held, endStream: false)) }
            rest.moveReaderIndex(forwardBy: consumed)
            return rest.readableBytes == 0
        }
        stage = .complete
        let trailers = buffer.withBytes { bytes in
            var trailers = HPACKHeaders()
            for header in decoder.trailers where !header.known.isForbiddenInTrailers {
                Self.add(header, of: bytes, to: &trailers)
            }
            return trailers
        }
        rest.moveReaderIndex(forwardBy: consumed)
        if trailers.isEmpty {
            emit(Self.data(held ?? ByteBuffer(), endStream: true))
        } else {
            if let held { emit(Self.data(held, endStream: false)) }
            emit(.headers(.init(headers: trailers, endStream: true)))
        }
        return true
    }
}
