import NIOCore
import NIOHPACK
import NIOPosix
import NIOSSL
import Synchronization

/// A client that writes frames byte by byte, right or wrong, and lists what comes back.
final class HTTP2RawClient: Sendable {
    struct Frame: Sendable, Equatable {
        var type: UInt8
        var flags: UInt8
        var stream: UInt32
        var payload: [UInt8]

        /// The code of an RST_STREAM or GOAWAY.
        var code: Int? {
            switch type {
            case 3 where payload.count == 4: Int(payload[3])
            case 7 where payload.count >= 8: Int(payload[7])
            default: nil
            }
        }
        var endsStream: Bool { flags & 1 != 0 && (type == 0 || type == 1) }
    }

    fileprivate struct State: Sendable {
        var frames: [Frame] = []
        var isClosed = false
    }
    private let state: StateBox
    let channel: any Channel

    private final class StateBox: Sendable {
        let value = Mutex(State())
        let notifier = ChangeNotifier()

        func update(_ body: (inout State) -> Void) {
            value.withLock { body(&$0) }
            notifier.changed()
        }
    }

    var frames: [Frame] { state.value.withLock { $0.frames } }
    var isClosed: Bool { state.value.withLock { $0.isClosed } }

    /// Connects with TLS and ALPN `h2`, and writes the preface and empty SETTINGS.
    init(port: Int, group: any EventLoopGroup, settings: [UInt8] = []) async throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        configuration.applicationProtocols = ["h2"]
        let context = try NIOSSLContext(configuration: configuration)
        let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + Self.frame(4, payload: settings)
        let state = StateBox()
        self.state = state
        channel = try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        try NIOSSLClientHandler(context: context, serverHostname: nil),
                        Reader(state: state, preface: preface),
                    ])
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
    }

    static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, payload: [UInt8] = []) -> [UInt8] {
        let count = payload.count
        return [UInt8(count >> 16), UInt8(count >> 8 & 0xff), UInt8(count & 0xff), type, flags]
            + (0..<4).map { UInt8(truncatingIfNeeded: stream >> (24 - 8 * UInt32($0))) } + payload
    }

    /// HEADERS of a request; every name and value goes as it is, uncompressed (RFC 7541 section 6.2.2).
    static func request(
        stream: UInt32, path: String = "/echo", method: String = "GET", _ fields: [(String, String)] = [],
        endStream: Bool = true, endHeaders: Bool = true
    ) -> [UInt8] {
        let all =
            [(":method", method), (":scheme", "https"), (":path", path), (":authority", "a.test")] + fields
        let flags: UInt8 = (endStream ? 1 : 0) | (endHeaders ? 4 : 0)
        return frame(1, flags: flags, stream: stream, payload: block(all))
    }

    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { [0x00] + literal($0.0) + literal($0.1) }
    }

    /// A string without Huffman coding (RFC 7541 sections 5.1 and 5.2).
    private static func literal(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        guard bytes.count >= 127 else { return [UInt8(bytes.count)] + bytes }
        var rest = bytes.count - 127
        var length: [UInt8] = [127]
        while rest >= 128 {
            length.append(UInt8(rest & 127 | 128))
            rest >>= 7
        }
        return length + [UInt8(rest)] + bytes
    }

    func write(_ bytes: [UInt8]) async throws {
        try await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
    }

    /// Writes and does not care whether the server has closed already.
    func attempt(_ bytes: [UInt8]) async { try? await write(bytes) }

    /// Waits until the condition holds; false when it takes too long.
    func wait(until condition: @escaping @Sendable (HTTP2RawClient) -> Bool) async -> Bool {
        await state.notifier.wait { condition(self) }
    }

    func reset(of stream: UInt32) -> Int? { frames.first { $0.type == 3 && $0.stream == stream }?.code }

    var goAway: Int? { frames.last { $0.type == 7 }?.code }

    /// Whether the stream has got a whole response.
    func isAnswered(_ stream: UInt32) -> Bool { frames.contains { $0.stream == stream && $0.endsStream } }

    private final class Reader: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let state: StateBox
        private var input = ByteBuffer()

        private let preface: [UInt8]

        init(state: StateBox, preface: [UInt8]) {
            self.state = state
            self.preface = preface
        }

        /// Before anything can be answered; it waits for the handshake in the TLS handler.
        func channelActive(context: ChannelHandlerContext) {
            context.writeAndFlush(NIOAny(ByteBuffer(bytes: preface)), promise: nil)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = unwrapInboundIn(data)
            input.writeBuffer(&bytes)
            while let head = input.getBytes(at: input.readerIndex, length: 9) {
                let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
                guard let frame = input.readBytes(length: 9 + length) else { return }
                let stream = frame[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                let seen = Frame(type: frame[3], flags: frame[4], stream: stream, payload: Array(frame[9...]))
                // The acknowledgement that the server waits for.
                if seen.type == 4, seen.flags == 0 {
                    context.writeAndFlush(NIOAny(ByteBuffer(bytes: HTTP2RawClient.frame(4, flags: 1))), promise: nil)
                }
                if seen.type == 6, seen.flags == 0 {
                    let answer = HTTP2RawClient.frame(6, flags: 1, payload: seen.payload)
                    context.writeAndFlush(NIOAny(ByteBuffer(bytes: answer)), promise: nil)
                }
                state.update { $0.frames.append(seen) }
            }
        }

        func channelInactive(context: ChannelHandlerContext) { state.update { $0.isClosed = true } }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
