import ControlAPI
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// One end of a TCP connection that a test holds in its hands: what it sends goes out as it is, what has come stays
/// until it is asked for. Every wait ends with the connection, and after a minute at the latest.
final class LivePeer: Sendable {
    let channel: any Channel
    private let inbox: Inbox

    fileprivate init(channel: any Channel, inbox: Inbox) {
        self.channel = channel
        self.inbox = inbox
    }

    static func connect(to port: Int, group: any EventLoopGroup, reads: Bool = true) async throws -> LivePeer {
        let inbox = Inbox()
        let channel = try await ClientBootstrap(group: group)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelOption(.autoRead, value: reads)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(InboxHandler(inbox))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return LivePeer(channel: channel, inbox: inbox)
    }

    // MARK: Sending

    /// A peer that has gone does not hear it; the test sees that by what does not come back.
    func send(_ text: String) async { await send(ByteBuffer(string: text)) }

    func send(_ bytes: ByteBuffer) async { try? await channel.writeAndFlush(bytes) }

    /// Sends without waiting for the other end to take it.
    func post(_ bytes: ByteBuffer) -> EventLoopFuture<Void> { channel.writeAndFlush(bytes) }

    func close() async { try? await channel.close() }

    func setReading(_ reads: Bool) async throws { try await channel.setOption(.autoRead, value: reads).get() }

    // MARK: Receiving

    /// Takes what comes up to and with this text.
    func receive(through text: String, sourceLocation: SourceLocation = #_sourceLocation) async throws -> String {
        let wanted = Array(text.utf8)
        await inbox.wait { $0.isClosed || $0.end(of: wanted) != nil }
        let taken = inbox.take { $0.end(of: wanted) }
        return try #require(taken, "\(text.debugDescription) in \(inbox.rest)", sourceLocation: sourceLocation)
    }

    func receiveHead(sourceLocation: SourceLocation = #_sourceLocation) async throws -> String {
        try await receive(through: "\r\n\r\n", sourceLocation: sourceLocation)
    }

    func receive(count: Int, sourceLocation: SourceLocation = #_sourceLocation) async throws -> String {
        await inbox.wait { $0.isClosed || $0.unread >= count }
        let taken = inbox.take { $0.unread >= count ? $0.position + count : nil }
        return try #require(taken, "\(count) bytes in \(inbox.rest)", sourceLocation: sourceLocation)
    }

    /// Waits for the connection's end and takes what came before it.
    func receiveRest(sourceLocation: SourceLocation = #_sourceLocation) async throws -> String {
        await inbox.wait { $0.isClosed }
        try #require(inbox.isClosed, "still open: \(inbox.rest)", sourceLocation: sourceLocation)
        return inbox.take { $0.bytes.count } ?? ""
    }

    /// What has come and was not taken.
    var unread: Int { inbox.unread }

    var isClosed: Bool { inbox.isClosed }

    func waitClosed() async { await inbox.wait { $0.isClosed } }

    func waitUnread(atLeast count: Int) async { await inbox.wait { $0.isClosed || $0.unread >= count } }

    // MARK: Parts

    fileprivate struct Contents {
        var bytes: [UInt8] = []
        var position = 0
        var isClosed = false

        var unread: Int { bytes.count - position }

        func end(of text: [UInt8]) -> Int? { bytes[position...].firstRange(of: text)?.upperBound }
    }

    fileprivate final class Inbox: Sendable {
        private let contents = Mutex(Contents())
        private let notifier = ChangeNotifier()

        func change(_ change: (inout Contents) -> Void) {
            contents.withLock { change(&$0) }
            notifier.changed()
        }

        func wait(until condition: @escaping @Sendable (Contents) -> Bool) async {
            _ = await notifier.wait { self.contents.withLock { condition($0) } }
        }

        func take(_ end: (Contents) -> Int?) -> String? {
            contents.withLock { contents in
                guard let end = end(contents) else { return nil }
                defer { contents.position = end }
                return String(decoding: contents.bytes[contents.position..<end], as: UTF8.self)
            }
        }

        var rest: String {
            contents.withLock { String(decoding: $0.bytes[$0.position...].prefix(2_000), as: UTF8.self) }
        }
        var unread: Int { contents.withLock { $0.unread } }
        var isClosed: Bool { contents.withLock { $0.isClosed } }
    }

    fileprivate final class InboxHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let inbox: Inbox

        init(_ inbox: Inbox) { self.inbox = inbox }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            inbox.change { $0.bytes.append(contentsOf: bytes.readableBytesView) }
        }

        func channelInactive(context: ChannelHandlerContext) { inbox.change { $0.isClosed = true } }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

/// An instance whose every byte the test writes itself.
final class LiveUpstream: Sendable {
    private struct Accepted {
        var peers: [LivePeer] = []
        var taken = 0
    }

    private let channel: any Channel
    private let accepted: Arrivals

    var url: String { "http://127.0.0.1:\(channel.localAddress!.port!)" }

    init(group: any EventLoopGroup) async throws {
        let accepted = Arrivals()
        channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                let inbox = LivePeer.Inbox()
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(LivePeer.InboxHandler(inbox))
                    accepted.add(LivePeer(channel: channel, inbox: inbox))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.accepted = accepted
    }

    /// The proxy's next connection.
    func accept() async throws -> LivePeer {
        await accepted.wait()
        return try #require(accepted.next(), "no connection came")
    }

    /// The next connection and the head of the first request on it.
    func acceptRequest() async throws -> (LivePeer, String) {
        let peer = try await accept()
        return (peer, try await peer.receiveHead())
    }

    /// Connections that came so far.
    var connectionCount: Int { accepted.count }

    func close() async { try? await channel.close() }

    private final class Arrivals: Sendable {
        private let accepted = Mutex(Accepted())
        private let notifier = ChangeNotifier()

        func add(_ peer: LivePeer) {
            accepted.withLock { $0.peers.append(peer) }
            notifier.changed()
        }

        func wait() async {
            _ = await notifier.wait { self.accepted.withLock { $0.taken < $0.peers.count } }
        }

        func next() -> LivePeer? {
            accepted.withLock { accepted in
                guard accepted.taken < accepted.peers.count else { return nil }
                defer { accepted.taken += 1 }
                return accepted.peers[accepted.taken]
            }
        }

        var count: Int { accepted.withLock { $0.peers.count } }
    }
}
