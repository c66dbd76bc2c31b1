import NIOCore
import SocketLoop
import Testing

/// Answers each piece with itself in upper case; closes on a full stop.
private final class Shouting: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    var events: [String] = []

    func channelActive(context: ChannelHandlerContext) { events.append("active") }
    func channelInactive(context: ChannelHandlerContext) { events.append("inactive") }
    func channelReadComplete(context: ChannelHandlerContext) { events.append("complete") }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let text = String(buffer: unwrapInboundIn(data))
        context.write(wrapOutboundOut(ByteBuffer(string: text.uppercased())), promise: nil)
        context.write(wrapOutboundOut(ByteBuffer(string: "!")), promise: nil)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "!")), promise: nil)
        if text.hasSuffix(".") { context.close(promise: nil) }
    }
}

@Suite("A NIO channel over the data plane's loop", .timeLimit(.minutes(1)))
struct StreamChannelTests {
    @Test("handlers see what arrives, what they write is sent, and closing hands it over first")
    func pipeline() async throws {
        let wire = try await Wire()
        let pair = try await wire.connect()
        let loop = wire.loop
        let bound = try await loop.submit { () throws -> NIOLoopBound<(StreamChannel, Shouting)> in
            let channel = StreamChannel(stream: pair.value.far, loop: loop)
            let handler = Shouting()
            try channel.pipeline.syncOperations.addHandler(handler)
            channel.activate()
            return NIOLoopBound((channel, handler), eventLoop: loop)
        }.get()
        try await loop.flatSubmit {
            pair.value.near.send("hello")
            return pair.value.nearRecorder.when(loop) { $0.bytes.count == 7 }
        }.get()
        try await loop.flatSubmit {
            pair.value.near.send("bye.")
            return pair.value.nearRecorder.when(loop) { $0.isClosed }
        }.get()
        let (text, events, closed) = try await loop.submit {
            (
                String(decoding: pair.value.nearRecorder.bytes, as: UTF8.self), bound.value.1.events,
                bound.value.0.closeFuture
            )
        }.get()
        try await closed.get()
        #expect(text == "HELLO!!BYE.!!")
        #expect(events == ["active", "complete", "inactive"])
        let late = try await loop.submit { bound.value.0.writeAndFlush(ByteBuffer(string: "x")) }.get()
        await #expect(throws: ChannelError.ioOnClosedChannel) { try await late.get() }
        try await wire.end()
    }

    @Test("what is flushed leaves at the end of the round; an abort drops what was not flushed")
    func deferredFlush() async throws {
        let wire = try await Wire()
        let pair = try await wire.connect()
        let loop = wire.loop
        let isSent = try await loop.submit { () -> [Bool] in
            let channel = StreamChannel(stream: pair.value.far, loop: loop)
            channel.activate()
            let box = SentBox()
            channel.writeAndFlush(ByteBuffer(string: "a")).assumeIsolated().whenSuccess { box.isSent = true }
            let isEarly = box.isSent
            channel.writeAndFlush(ByteBuffer(string: "b"), promise: nil)
            channel.write(ByteBuffer(string: "c"), promise: nil)
            channel.abort()
            return [isEarly, box.isSent]
        }.get()
        #expect(isSent == [false, true])
        let text = try await loop.flatSubmit {
            pair.value.nearRecorder.when(loop) { $0.isClosed }
        }.flatMapThrowing { String(decoding: pair.value.nearRecorder.bytes, as: UTF8.self) }.get()
        #expect(text == "ab")
        try await wire.end()
    }

    private final class SentBox { var isSent = false }

    @Test("without auto-read a piece arrives per read")
    func manualReads() async throws {
        let wire = try await Wire()
        let pair = try await wire.connect()
        let loop = wire.loop
        let bound = try await loop.submit { () throws -> NIOLoopBound<(StreamChannel, Shouting)> in
            let channel = StreamChannel(stream: pair.value.far, loop: loop)
            let handler = Shouting()
            try channel.pipeline.syncOperations.addHandler(handler)
            channel.activate()
            try channel.syncOptions?.setOption(.autoRead, value: false)
            return NIOLoopBound((channel, handler), eventLoop: loop)
        }.get()
        try await loop.submit { pair.value.near.send("hello") }.get()
        for _ in 0..<5 { try await loop.submit {}.get() }
        try await loop.flatSubmit {
            #expect(pair.value.nearRecorder.bytes.isEmpty)
            bound.value.0.read()
            return pair.value.nearRecorder.when(loop) { $0.bytes.count == 7 }
        }.get()
        try await loop.submit { bound.value.0.close(promise: nil) }.get()
        try await wire.end()
    }
}
