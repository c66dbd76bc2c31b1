import HTTPWire
import NIOCore
import NIOEmbedded
import NIOHPACK
import NIOHTTP2
import Testing

@testable import UnstickProxy

@Suite("An HTTP/2 stream's codec")
struct HTTP2StreamCodecTests {
    private let channel: EmbeddedChannel
    private let get: HPACKHeaders = [":method": "GET", ":scheme": "https", ":path": "/", ":authority": "a"]
    private let post: HPACKHeaders = [":method": "POST", ":scheme": "https", ":path": "/", ":authority": "a"]

    init() throws {
        channel = EmbeddedChannel(
            handler: HTTP2StreamCodec(limits: HeadLimits(), drainTimeout: .seconds(30)), loop: EmbeddedEventLoop())
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    private func receive(_ headers: HPACKHeaders, endStream: Bool = true) throws {
        try channel.writeInbound(HTTP2Frame.FramePayload.headers(.init(headers: headers, endStream: endStream)))
    }

    private func receive(_ data: String, endStream: Bool) throws {
        try channel.writeInbound(
            HTTP2Frame.FramePayload.data(.init(data: .byteBuffer(ByteBuffer(string: data)), endStream: endStream)))
    }

    private func inbound() throws -> String {
        var text = ""
        while let bytes = try channel.readInbound(as: ByteBuffer.self) { text += String(buffer: bytes) }
        return text
    }

    private func outbound() throws -> [String] {
        var frames: [String] = []
        while let frame = try channel.readOutbound(as: HTTP2Frame.FramePayload.self) { frames.append(described(frame)) }
        return frames
    }

    private func answer(_ text: String) throws { try channel.writeOutbound(ByteBuffer(string: text)) }

    @Test("a request and its response")
    func exchange() throws {
        try receive(get)
        #expect(try inbound() == "GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        try answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        #expect(try outbound() == ["H :status=200|content-length=2", "D ok$"])
    }

    @Test("a malformed request resets the stream and nothing of it is seen")
    func malformed() throws {
        try receive([":method": "GET", ":scheme": "https", ":path": "/", ":authority": "a", "x": "a\r\nb"])
        #expect(try inbound() == "")
        #expect(try outbound() == ["R 1"])
        try receive("more", endStream: true)
        #expect(try inbound() == "")
    }

    @Test("a body longer than declared resets the stream")
    func tooLong() throws {
        var fields = post
        fields.add(name: "content-length", value: "1")
        try receive(fields, endStream: false)
        _ = try inbound()
        try receive("ab", endStream: true)
        #expect(try inbound() == "")
        #expect(try outbound() == ["R 1"])
    }

    @Test("CONNECT is answered with 501", arguments: [true, false])
    func connect(endStream: Bool) throws {
        try receive([":method": "CONNECT", ":authority": "a:443"], endStream: endStream)
        #expect(try inbound() == "")
        #expect(try outbound() == ["H :status=501|content-length=0$"] + (endStream ? [] : ["R 0"]))
    }

    @Test("closing before the response is whole resets the stream", arguments: [CloseMode.all, .output])
    func abort(mode: CloseMode) throws {
        try receive(get)
        try answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        channel.close(mode: mode, promise: nil)
        #expect(try outbound() == ["H :status=200|content-length=9", "D abc", "R 2"])
    }

    @Test("closing without a response resets the stream")
    func nothing() throws {
        try receive(get)
        channel.close(promise: nil)
        #expect(try outbound() == ["R 2"])
    }

    @Test("a body until the close ends when one direction is closed, and breaks when both are")
    func untilClose() throws {
        try receive(get)
        try answer("HTTP/1.1 200 OK\r\n\r\nabc")
        channel.close(mode: .output, promise: nil)
        #expect(try outbound() == ["H :status=200", "D abc", "D $"])

        let other = try HTTP2StreamCodecTests()
        try other.receive(get)
        try other.answer("HTTP/1.1 200 OK\r\n\r\nabc")
        other.channel.close(mode: .all, promise: nil)
        #expect(try other.outbound() == ["H :status=200", "D abc", "R 2"])
    }

    @Test("a response before the request's end stops the request")
    func early() throws {
        try receive(post, endStream: false)
        try answer("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        channel.close(mode: .output, promise: nil)
        #expect(try outbound() == ["H :status=413|content-length=0$", "R 0"])
    }

    @Test("closing after the response and the request does nothing more")
    func after() throws {
        try receive(get)
        try answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        channel.close(mode: .output, promise: nil)
        channel.close(mode: .all, promise: nil)
        #expect(try outbound() == ["H :status=200|content-length=0$"])
    }

    @Test("an unreadable response resets the stream")
    func unreadable() throws {
        try receive(get)
        #expect(throws: (any Error).self) { try answer("nonsense\r\n\r\n") }
        #expect(try outbound() == ["R 2"])
    }

    @Test("the promise of a write is kept with its last frame")
    func promises() throws {
        try receive(get)
        let whole = channel.eventLoop.makePromise(of: Void.self)
        let half = channel.eventLoop.makePromise(of: Void.self)
        channel.write(ByteBuffer(string: "HTTP/1.1 200 OK\r\nContent-"), promise: half)
        channel.writeAndFlush(ByteBuffer(string: "Length: 1\r\n\r\nx"), promise: whole)
        try half.futureResult.wait()
        try whole.futureResult.wait()
        #expect(try outbound() == ["H :status=200|content-length=1", "D x$"])
    }
}

@Suite("Frames weighed")
struct HTTP2FrameMeterTests {
    private func frame(_ type: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let count = payload.count
        return [UInt8(count >> 16), UInt8(count >> 8 & 0xff), UInt8(count & 0xff), type, 0, 0, 0, 0, 1] + payload
    }

    @Test("payloads of DATA and HEADERS count as useful, however the bytes are cut", arguments: [1, 3, 10, 1000])
    func counting(size: Int) {
        var bytes = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        bytes += frame(4, []) + frame(1, Array(repeating: 0, count: 300)) + frame(0, Array(repeating: 7, count: 70_000))
        bytes += frame(8, [0, 0, 0, 1])
        var meter = HTTP2FrameMeter(expectsPreface: true)
        for start in stride(from: 0, to: bytes.count, by: size) {
            bytes[start..<min(start + size, bytes.count)].withUnsafeBytes { meter.record($0) }
        }
        #expect(meter.totalBytes == UInt64(bytes.count))
        #expect(meter.usefulBytes == 70_300)
        #expect(!meter.hasFatalGoAway)
    }

    @Test("a GOAWAY with a code is fatal, one without is not", arguments: [(UInt8(0), false), (11, true)])
    func goAway(code: UInt8, isFatal: Bool) {
        var meter = HTTP2FrameMeter(expectsPreface: false)
        for byte in frame(7, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, code, 1, 2]) {
            [byte].withUnsafeBytes { meter.record($0) }
        }
        #expect(meter.hasFatalGoAway == isFatal)
    }

    @Test("WINDOW_UPDATEs without end are a flood, and are none beside the data they are for")
    func flood() {
        var inbound = HTTP2FrameMeter(expectsPreface: false)
        var outbound = HTTP2FrameMeter(expectsPreface: false)
        let update = frame(8, [0, 0, 0, 1])
        for _ in 0..<600_000 { update.withUnsafeBytes { inbound.record($0) } }
        #expect(!HTTP2FloodRule.isFlood(inbound: inbound, outbound: outbound))
        for _ in 0..<100_000 { update.withUnsafeBytes { inbound.record($0) } }
        #expect(HTTP2FloodRule.isFlood(inbound: inbound, outbound: outbound))
        frame(0, Array(repeating: 0, count: 1 << 20)).withUnsafeBytes { outbound.record($0) }
        #expect(!HTTP2FloodRule.isFlood(inbound: inbound, outbound: outbound))
    }
}
