import NIOCore

/// Follows the frames in one direction of an HTTP/2 connection by their nine-byte headers (RFC 9113 section 4.1) and weighs
/// what they carry against what they cost.
struct HTTP2FrameMeter {
    /// All bytes seen.
    private(set) var totalBytes: UInt64 = 0
    /// Bytes in DATA and HEADERS frames: what an application has a use for.
    private(set) var usefulBytes: UInt64 = 0
    /// A GOAWAY with another code than NO_ERROR: the connection is broken (section 5.4.1).
    private(set) var hasFatalGoAway = false

    /// Bytes of a client's preface that are no frame (section 3.4).
    private var prefaceBytesLeft: Int
    private var header: (word: UInt32, count: Int) = (0, 0)
    private var headerType: UInt8 = 0
    private var payloadLeft = 0
    /// Offset in a GOAWAY's payload, whose bytes 4 ..< 8 are the code.
    private var goAwayOffset = 0

    /// - Parameter expectsPreface: whether the direction begins with the client's preface.
    init(expectsPreface: Bool) {
        prefaceBytesLeft = expectsPreface ? 24 : 0
    }

    private static let data: UInt8 = 0x0
    private static let headers: UInt8 = 0x1
    private static let goAway: UInt8 = 0x7

    /// Takes the next bytes, cut anywhere.
    mutating func record(_ bytes: UnsafeRawBufferPointer) {
        totalBytes &+= UInt64(bytes.count)
        var offset = min(prefaceBytesLeft, bytes.count)
        prefaceBytesLeft -= offset
        while offset < bytes.count {
            if payloadLeft > 0 {
                let count = min(payloadLeft, bytes.count - offset)
                if headerType == Self.goAway { readGoAway(bytes[offset..<offset + count]) }
                payloadLeft -= count
                offset += count
                continue
            }
            if header.count == 0, offset + 9 <= bytes.count {
                let word = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
                offset += 9
                beginPayload(word)
                continue
            }
            // A header cut by the end of a read.
            if header.count < 4 { header.word = header.word << 8 | UInt32(bytes[offset]) }
            header.count += 1
            offset += 1
            if header.count == 9 { beginPayload(header.word) }
        }
    }

    /// - Parameter word: 24 bits of length and 8 of type; the header's other five bytes are not needed.
    private mutating func beginPayload(_ word: UInt32) {
        header = (0, 0)
        headerType = UInt8(truncatingIfNeeded: word)
        payloadLeft = Int(word >> 8)
        goAwayOffset = 0
        if headerType == Self.data || headerType == Self.headers { usefulBytes &+= UInt64(payloadLeft) }
    }

    private mutating func readGoAway(_ bytes: Slice<UnsafeRawBufferPointer>) {
        for byte in bytes {
            if (4..<8).contains(goAwayOffset), byte != 0 { hasFatalGoAway = true }
            goAwayOffset += 1
        }
    }
}

/// Whether a client sends far more than it uses: floods of WINDOW_UPDATE, PRIORITY, PING, empty or tiny frames, whatever
/// their kind. The rule and its numbers are nginx's (`ngx_http_v2.c`, "http2 flood detected"): what came in, divided by 8,
/// may exceed the bytes of DATA and HEADERS in both directions by a mebibyte.
enum HTTP2FloodRule {
    static let allowanceBytes: UInt64 = 1 << 20

    static func isFlood(inbound: HTTP2FrameMeter, outbound: HTTP2FrameMeter) -> Bool {
        inbound.totalBytes / 8 > inbound.usefulBytes &+ outbound.usefulBytes &+ allowanceBytes
    }
}

/// Meters a connection, outside of its HTTP/2 handler, and closes it when it is flooded or broken.
final class HTTP2MeteringHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = ByteBuffer

    private var inbound = HTTP2FrameMeter(expectsPreface: true)
    private(set) var outbound = HTTP2FrameMeter(expectsPreface: false)
    private var isFlooded = false
    private let flooded: () -> Void

    /// - Parameter flooded: told once, before the connection is closed.
    init(flooded: @escaping () -> Void) {
        self.flooded = flooded
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isFlooded else { return }
        let bytes = unwrapInboundIn(data)
        bytes.withUnsafeReadableBytes { inbound.record($0) }
        guard HTTP2FloodRule.isFlood(inbound: inbound, outbound: outbound) else {
            context.fireChannelRead(data)
            return
        }
        isFlooded = true
        flooded()
        // Without a GOAWAY: whoever floods does not read it, and writing would only queue up.
        context.close(promise: nil)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .byteBuffer(let bytes) = unwrapOutboundIn(data) else {
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        bytes.withUnsafeReadableBytes { outbound.record($0) }
        context.write(wrapOutboundOut(bytes), promise: promise)
    }
}
