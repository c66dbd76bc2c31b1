import BridgeContract
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import UnstickCore
import UnstickCrypto

/// A bridge with its own HTTP server and session memory, as bridge contract 1 has it: signatures are checked, versions
/// are compared. Tests reach into its memory as an application would, also in the middle of a crawl.
final class TestBridge: Sendable {
    struct Session: Sendable, Equatable {
        var version: VersionTag
        var state: String
        var ttlSeconds: Int64 = 1800
        /// Names of attributes that cannot be serialized.
        var bad: [String] = []
        /// False for a change that the store may have refused.
        var isConfirmed = true
        var base: VersionTag?

        init(_ version: UInt64, _ state: String) {
            self.version = VersionTag(version: version, tag: tag(state))
            self.state = state
        }
    }

    struct Request: Sendable {
        var method: String
        /// Path and query.
        var target: String
        var session: String?
        var authentication: String?
        var body: String
    }

    struct Reply: Sendable {
        var status = 200
        var session: String?
        var body = ""
        /// Sends the head and half of the body, then nothing; without a body not even the head.
        var stalls = false
        /// Closes the connection without any answer.
        var hangsUp = false
    }

    private struct State {
        var sessions: [String: Session] = [:]
        var incarnation = "inst-a"
        var requests: [String: Int] = [:]
    }

    let name: String
    let secret: BridgeSecret
    private let state = Mutex(State())
    private let clock: WallClock
    private let overrides = Mutex<(@Sendable (Request) -> Reply?)?>(nil)
    /// The listening one and the accepted.
    private let channels = Mutex<[any Channel]>([])

    init(name: String, secret: BridgeSecret, clock: @escaping WallClock) {
        self.name = name
        self.secret = secret
        self.clock = clock
    }

    // MARK: What a test does to it

    subscript(id: String) -> Session? {
        get { state.withLock { $0.sessions[id] } }
        set { state.withLock { $0.sessions[id] = newValue } }
    }

    var count: Int { state.withLock { $0.sessions.count } }

    func hold(_ id: String, _ version: UInt64, _ state: String) { self[id] = Session(version, state) }

    /// Runs before each request is answered; a reply takes the place of the bridge's own.
    func onRequest(_ body: @escaping @Sendable (Request) -> Reply?) { overrides.withLock { $0 = body } }

    func restart(as incarnation: String) { state.withLock { $0.incarnation = incarnation } }

    /// Requests by method and resource, for example `DELETE sessions/ID`.
    func requests(_ kind: String) -> Int { state.withLock { $0.requests[kind] ?? 0 } }

    // MARK: The contract

    private func answer(_ request: Request) -> Reply {
        let resource = String(request.target.dropFirst(BridgeHeader.endpointPrefix.count))
        let path = resource.prefix { $0 != "?" }
        let kind = request.method + " " + (path.hasPrefix("sessions/") ? "sessions/ID" : String(path))
        state.withLock { $0.requests[kind, default: 0] += 1 }
        if let override = overrides.withLock({ $0 }), let reply = override(request) { return reply }
        guard isSigned(request) else { return Reply(status: 401) }
        if request.method == "GET", path == "instance" {
            return state.withLock {
                Reply(
                    body: """
                        {"inst":"\($0.incarnation)","framework":"test 1.0","bridge":"test-bridge/1","contract":1,\
                        "sessions":\($0.sessions.count),"warning":null}
                        """)
            }
        }
        if request.method == "GET", path == "sessions" { return listing(resource) }
        guard path.hasPrefix("sessions/"), let id = percentDecoded(path.dropFirst("sessions/".count)) else {
            return Reply(status: 404)
        }
        switch request.method {
        case "GET": return export(id)
        case "PUT": return take(id, request)
        case "DELETE":
            self[id] = nil
            return Reply(status: 204, session: "op=none; inst=\(state.withLock { $0.incarnation })")
        default: return Reply(status: 405)
        }
    }

    private func isSigned(_ request: Request) -> Bool {
        guard let value = request.authentication, value.hasPrefix("ts="),
            let seconds = Int64(value.dropFirst(3).prefix { $0 != ";" }), abs(seconds - clock().seconds) <= 60
        else { return false }
        return Array(request.body.utf8).withUnsafeBytes {
            secret.endpointAuthentication(method: request.method, target: request.target, seconds: seconds, body: $0)
        } == value
    }

    private func listing(_ resource: String) -> Reply {
        var cursor: String?
        var limit = 1000
        for pair in resource.drop(while: { $0 != "?" }).dropFirst().split(separator: "&") {
            if pair.hasPrefix("cursor=") { cursor = percentDecoded(pair.dropFirst(7)) }
            if pair.hasPrefix("limit=") { limit = Int(pair.dropFirst(6))! }
        }
        let sessions = state.withLock { $0.sessions }
        let after = sessions.keys.filter { cursor == nil || $0 > cursor! }.sorted()
        var body = ""
        for id in after.prefix(limit) {
            let session = sessions[id]!
            body += """
                {"id":"\(id)","ver":\(session.version.version),"tag":"\(session.version.tagHex)",\
                "ttl":\(session.ttlSeconds),"size":\(session.state.utf8.count),"accessed":null
                """
            if !session.bad.isEmpty {
                body += ",\"bad\":\(session.bad.count),\"attributes\":[\"\(session.bad.joined(separator: "\",\""))\"]"
            }
            body += "}\n"
        }
        if after.count > limit { body += "{\"cursor\":\"\(after[limit - 1])\"}\n" }
        return Reply(body: body)
    }

    private func put(_ id: String, _ session: Session) -> String {
        var header = "op=put; id=\(id); ver=\(session.version.version); tag=\(session.version.tagHex)"
        if let base = session.base { header += "; base=\(base)" }
        if !session.bad.isEmpty { header += "; bad=\(session.bad.count)" }
        return header + "; ttl=\(session.ttlSeconds); codec=json; inst=\(state.withLock { $0.incarnation })"
    }

    private func missing(_ id: String) -> Reply {
        Reply(status: 404, session: "op=missing; id=\(id); inst=\(state.withLock { $0.incarnation })")
    }

    private func export(_ id: String) -> Reply {
        guard let session = self[id] else { return missing(id) }
        guard session.bad.isEmpty else { return Reply(status: 422, session: put(id, session)) }
        return Reply(session: put(id, session), body: session.state)
    }

    private func take(_ id: String, _ request: Request) -> Reply {
        var fields: [Substring: Substring] = [:]
        for part in (request.session ?? "").split(separator: ";") {
            let pair = part.drop { $0 == " " }.split(separator: "=", maxSplits: 1)
            if pair.count == 2 { fields[pair[0]] = pair[1] }
        }
        guard let version = fields["put"].flatMap({ VersionTag($0) }), let codec = fields["codec"],
            let ttl = fields["ttl"].flatMap({ Int64($0) }), let phase = fields["phase"].flatMap({ Phase(name: $0) })
        else { return Reply(status: 400) }
        let signature = Array(request.body.utf8).withUnsafeBytes {
            secret.stateSignature(id: id, version: version, codec: String(codec), ttlSeconds: ttl, state: $0)
        }
        guard fields["sig"].map(String.init) == signature else { return Reply(status: 401) }
        let held = self[id]
        let replaces =
            held.map {
                $0.version != version
                    && (phase >= .stateless || !$0.isConfirmed || $0.version.version < version.version)
            } ?? true
        if replaces {
            var session = Session(version.version, request.body)
            session.ttlSeconds = ttl
            self[id] = session
        }
        return Reply(session: put(id, self[id]!))
    }

    // MARK: The server

    func start(on group: any EventLoopGroup) async throws -> Int {
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 64)
            .childChannelInitializer { channel in
                self.channels.withLock { $0.append(channel) }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler { self.answer($0) })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        channels.withLock { $0.append(channel) }
        return channel.localAddress!.port!
    }

    /// Nothing answers any more, on open connections neither.
    func stop() async {
        let open = channels.withLock { channels in
            defer { channels = [] }
            return channels
        }
        for channel in open { try? await channel.close() }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        private let answer: @Sendable (Request) -> Reply
        private var head: HTTPRequestHead?
        private var body = ByteBuffer()

        init(answer: @escaping @Sendable (Request) -> Reply) { self.answer = answer }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                self.head = head
                body.clear()
            case .body(var part): body.writeBuffer(&part)
            case .end: reply(context)
            }
        }

        private func reply(_ context: ChannelHandlerContext) {
            guard let head else { return }
            let reply = answer(
                Request(
                    method: head.method.rawValue, target: head.uri,
                    session: head.headers.first(name: BridgeHeader.session),
                    authentication: head.headers.first(name: BridgeHeader.authentication), body: String(buffer: body)))
            if reply.stalls, reply.body.isEmpty { return }
            if reply.hangsUp { return context.close(promise: nil) }
            var headers = HTTPHeaders([("Content-Length", "\(reply.body.utf8.count)")])
            if reply.status == 204 { headers.remove(name: "Content-Length") }
            if let session = reply.session { headers.add(name: BridgeHeader.session, value: session) }
            let response = HTTPResponseHead(
                version: .http1_1, status: .init(statusCode: reply.status), headers: headers)
            context.write(wrapOutboundOut(.head(response)), promise: nil)
            let body = reply.stalls ? String(reply.body.prefix(reply.body.count / 2)) : reply.body
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
            guard !reply.stalls else { return context.flush() }
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}

func tag(_ state: String) -> UInt32 { Array(state.utf8).withUnsafeBytes(SHA256Digest.prefix32) }

private func percentDecoded(_ text: some StringProtocol) -> String? {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "%") else {
            bytes.append(byte)
            continue
        }
        guard let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
        rest = rest.dropFirst(2)
        bytes.append(value)
    }
    return String(decoding: bytes, as: UTF8.self)
}
