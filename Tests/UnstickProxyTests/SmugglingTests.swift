import HTTPWire
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

/// An instance on a raw socket that keeps every byte it is sent.
///
/// It answers each complete request with 200 and a short body.
final class RecordingUpstream: Sendable {
    private let sink: Sink
    private let channel: any Channel

    var url: String { "http://127.0.0.1:\(channel.localAddress!.port!)" }

    init(group: MultiThreadedEventLoopGroup) async throws {
        let sink = Sink()
        channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler(sink))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.sink = sink
    }

    /// What came since the last call, one element for each connection: all that was sent before this call.
    ///
    /// A connection of our own is the barrier: when its bytes are here, so are those that were sent earlier, at the
    /// latest at the end of the same round of the event loop.
    func take() async throws -> [[UInt8]] {
        let barrier = try await ClientBootstrap(group: channel.eventLoop)
            .connect(to: channel.localAddress!).get()
        try await barrier.writeAndFlush(ByteBuffer(string: Self.mark))
        while !sink.contains(Self.mark) { await Task.yield() }
        for _ in 0..<2 { try await channel.eventLoop.submit {}.get() }
        try await barrier.close()
        return sink.take().filter { $0 != Array(Self.mark.utf8) }
    }

    private static let mark = "BARRIER"

    func close() async { try? await channel.close() }

    final class Sink: Sendable {
        private let connections = Mutex<[Int: [UInt8]]>([:])
        private let last = Atomic<Int>(0)

        /// A number for a connection, never given twice.
        func number() -> Int { last.wrappingAdd(1, ordering: .relaxed).newValue }

        func add(_ bytes: ByteBufferView, of connection: Int) {
            connections.withLock { $0[connection, default: []].append(contentsOf: bytes) }
        }

        func contains(_ text: String) -> Bool {
            connections.withLock { $0.values.contains(Array(text.utf8)) }
        }

        func take() -> [[UInt8]] {
            connections.withLock { connections in
                defer { connections = [:] }
                return Array(connections.values)
            }
        }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        private let sink: Sink
        private let number: Int
        private var pending: [UInt8] = []

        init(_ sink: Sink) {
            self.sink = sink
            number = sink.number()
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data).readableBytesView
            sink.add(bytes, of: number)
            pending.append(contentsOf: bytes)
            while let request = ReceivedBytes.first(of: pending), request.isComplete {
                pending.removeFirst(request.length)
                let body = request.line.hasPrefix("HEAD ") ? "" : "ok"
                let answer = ByteBuffer(string: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\(body)")
                context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
            }
        }
    }
}

/// What an instance sees in the bytes that reach it.
struct ReceivedBytes {
    /// `METHOD TARGET`.
    var line: String
    var isComplete: Bool
    var length: Int

    /// The request at the beginning, read by the proxy's own parser; nil without a whole head.
    static func first(of bytes: [UInt8]) -> ReceivedBytes? {
        bytes.withUnsafeBytes { all in
            var head = RequestHead()
            guard (try? head.parse(all)) == true else { return nil }
            let line = "\(head.methodSlice.text(in: all)) \(head.target.text(in: all))"
            let rest = UnsafeRawBufferPointer(rebasing: all[head.headLength...])
            switch head.framing {
            case .none, .untilClose: return ReceivedBytes(line: line, isComplete: true, length: head.headLength)
            case .length(let length):
                let isComplete = UInt64(rest.count) >= length
                return ReceivedBytes(
                    line: line, isComplete: isComplete,
                    length: head.headLength + Int(min(length, UInt64(rest.count))))
            case .chunked:
                var decoder = ChunkedDecoder()
                guard let used = try? decoder.decode(rest) else { return nil }
                return ReceivedBytes(line: line, isComplete: decoder.isComplete, length: head.headLength + used)
            }
        }
    }

    /// All requests, complete ones only; nil when something else is left over.
    static func all(of bytes: [UInt8]) -> [String]? {
        var rest = bytes
        var lines: [String] = []
        while !rest.isEmpty {
            guard let request = first(of: rest), request.isComplete else { return nil }
            lines.append(request.line)
            rest.removeFirst(request.length)
        }
        return lines
    }

    /// All requests as NIOHTTP1 (llhttp) sees them, the second opinion; nil when it refuses something.
    static func allByNIO(of bytes: [UInt8]) -> [String]? {
        let channel = EmbeddedChannel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        do {
            try channel.pipeline.syncOperations.addHandler(
                ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
            try channel.writeInbound(ByteBuffer(bytes: bytes))
            var lines: [String] = []
            var line: String?
            while let part = try channel.readInbound(as: HTTPServerRequestPart.self) {
                switch part {
                case .head(let head): line = "\(head.method.rawValue) \(head.uri)"
                case .body: break
                case .end:
                    if let line { lines.append(line) }
                    line = nil
                }
            }
            return line == nil ? lines : nil
        } catch {
            return nil
        }
    }
}

@Suite("Request smuggling, live")
struct SmugglingTests {
    func withRecordingUpstream(_ body: (ProxyFixture, RecordingUpstream) async throws -> Void) async throws {
        var timeouts = ProxyOptions.Timeouts()
        // A case that is wrongly waited for ends soon, as a failure.
        timeouts.clientHead = .seconds(2)
        timeouts.response = .seconds(2)
        timeouts.idle = .seconds(2)
        try await ProxyFixture.with(phase: .sticky, applications: 0, timeouts: timeouts) { fixture in
            let upstream = try await RecordingUpstream(group: fixture.group)
            let epoch = fixture.link.publish {
                $0.instances = [RoutingTable.Instance(name: "web-1", url: upstream.url)]
            }
            await fixture.link.waitForAcknowledgement(of: epoch)
            try await body(fixture, upstream)
            await upstream.close()
        }
    }

    @Test("every case gets the wanted answer, and instances see what they may and nothing else")
    func table() async throws {
        try await withRecordingUpstream { fixture, upstream in
            for item in SmugglingCase.all {
                let bytes = item.bytes + Array(SmugglingCase.canary.utf8)
                let answer = try await fixture.rawBytes(ByteBuffer(bytes: bytes))
                check(item, answer: answer, received: try await upstream.take(), "whole")
            }
        }
    }

    @Test("the same in pieces of one byte")
    func bytewise() async throws {
        try await withRecordingUpstream { fixture, upstream in
            // The long ones would only take time.
            for item in SmugglingCase.all where item.bytes.count < 400 {
                let bytes = item.bytes + Array(SmugglingCase.canary.utf8)
                let answer = try await fixture.rawPieces(bytes, of: 1)
                check(item, answer: answer, received: try await upstream.take(), "bytewise")
            }
        }
    }

    func check(_ item: SmugglingCase, answer: String, received: [[UInt8]], _ manner: String) {
        let name: Comment = "\(item.name), \(manner): \(answer.debugDescription)"
        // A head stands right behind the body before it.
        let statuses = answer.split(separator: "HTTP/1.1 ").compactMap { Int($0.prefix(3)) }
        let text = received.map { String(decoding: $0, as: UTF8.self).lowercased() }.joined(separator: "|")
        switch item.wanted {
        case .refused(let wanted):
            #expect(statuses.count == 1 && wanted.contains(statuses.first ?? 0), name)
            #expect(received.isEmpty, name)
        case .cutShort(let wanted):
            #expect(statuses.count == 1 && wanted.contains(statuses.first ?? 0), name)
            #expect(received.count <= 1, name)
            for bytes in received { #expect(ReceivedBytes.first(of: bytes)?.isComplete == false, name) }
            #expect(!text.contains("canary") && !text.contains("inner"), name)
        case .forwarded(let requests, let with, let without):
            #expect(statuses.filter { $0 == 200 }.count == requests.count, name)
            // A test's client sends one request after the other, so they share one connection or follow each other.
            let ours = received.map { ReceivedBytes.all(of: $0) }
            let theirs = received.map { ReceivedBytes.allByNIO(of: $0) }
            #expect(ours.flatMap { $0 ?? ["?"] }.sorted() == requests.sorted(), name)
            #expect(ours == theirs, name)
            for part in with { #expect(text.contains(part.lowercased()), "\(part) in \(name)") }
            for part in without { #expect(!text.contains(part.lowercased()), "\(part) not in \(name)") }
        }
    }

    @Test("field lines that only HTTP/2 can carry are told from those of HTTP/1.1")
    func downgrade() {
        func octets(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8($0.value) } }
        for (name, value) in HTTP2DowngradeCases.faultyFields {
            let isName = octets(name).withUnsafeBytes { FieldGrammar.isName($0) }
            let isValue = octets(value).withUnsafeBytes { FieldGrammar.isValue($0) }
            #expect(!(isName && isValue), "\(name.debugDescription): \(value.debugDescription)")
        }
    }
}

extension ProxyFixture {
    /// Sends bytes in pieces, each a segment of its own, and returns everything until the proxy closes.
    func rawPieces(_ bytes: [UInt8], of size: Int) async throws -> String {
        let channel = try await ClientBootstrap(group: group)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var offset = 0
            do {
                while offset < bytes.count {
                    let end = min(bytes.count, offset + size)
                    try await outbound.write(ByteBuffer(bytes: bytes[offset..<end]))
                    offset = end
                }
            } catch is ChannelError {
            } catch is IOError {
                // The proxy has answered and closed.
            }
            var all = ByteBuffer()
            do {
                for try await var part in inbound { all.writeBuffer(&part) }
            } catch is ChannelError {
            } catch is IOError {
            }
            return String(buffer: all)
        }
    }
}
