import BridgeContract
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import UnstickCore
import UnstickCrypto

/// A request as a test's upstream received it.
struct ReceivedRequest: Sendable {
    var method: String
    var uri: String
    var headers: HTTPHeaders
    var body: [UInt8]

    /// `want=`, `put=` … of its `Unstick-Session` field.
    func attribute(_ name: String) -> String? {
        guard let value = headers.first(name: BridgeHeader.session) else { return nil }
        for part in value.split(separator: ";") {
            let pair = part.drop { $0 == " " }.split(separator: "=", maxSplits: 1)
            if pair.first.map(String.init) == name { return pair.count > 1 ? String(pair[1]) : "" }
        }
        return nil
    }
}

struct UpstreamAnswer: Sendable {
    var status = 200
    var headers: [(String, String)] = []
    var body: [UInt8] = []
    /// Closes the connection instead of answering.
    var hangsUp = false
    /// Answers only when this future succeeds.
    var after: EventLoopFuture<Void>?

    static func text(_ text: String, _ headers: [(String, String)] = []) -> UpstreamAnswer {
        UpstreamAnswer(headers: headers, body: Array(text.utf8))
    }
}

/// A real HTTP server on a free loopback port, answering with a closure.
final class TestUpstream: Sendable {
    let port: Int
    private let channel: any Channel

    var url: String { "http://127.0.0.1:\(port)" }

    /// - Parameter port: 0 picks a free one; another is for a server that comes back where it was.
    init(
        group: any EventLoopGroup, port wanted: Int = 0,
        answer: @escaping @Sendable (ReceivedRequest) -> UpstreamAnswer
    ) async throws {
        let received = Received()
        channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(
                        Handler { request in
                            received.append(request)
                            return answer(request)
                        })
                }
            }
            .bind(host: "127.0.0.1", port: wanted).get()
        port = channel.localAddress!.port!

        source = received
    }

    private let source: Received
    var requests: [ReceivedRequest] { source.all }

    func close() async { try? await channel.close() }

    final class Received: Sendable {
        private let list = Mutex<[ReceivedRequest]>([])
        func append(_ request: ReceivedRequest) { list.withLock { $0.append(request) } }
        var all: [ReceivedRequest] { list.withLock { $0 } }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        private let answer: (ReceivedRequest) -> UpstreamAnswer
        private var current: ReceivedRequest?

        init(answer: @escaping (ReceivedRequest) -> UpstreamAnswer) { self.answer = answer }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                current = ReceivedRequest(
                    method: head.method.rawValue, uri: head.uri, headers: head.headers, body: [])
            case .body(let bytes):
                current?.body += Array(bytes.readableBytesView)
            case .end:
                guard let request = current else { return }
                let answer = answer(request)
                if answer.hangsUp { return context.close(promise: nil) }
                let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
                if let after = answer.after {
                    after.hop(to: context.eventLoop).whenComplete { _ in
                        bound.value.0.write(answer, omitsBody: request.method == "HEAD", bound.value.1)
                    }
                } else {
                    write(answer, omitsBody: request.method == "HEAD", context)
                }
            }
        }

        private func write(_ answer: UpstreamAnswer, omitsBody: Bool, _ context: ChannelHandlerContext) {
            var headers = HTTPHeaders(answer.headers)
            if !headers.contains(name: "Transfer-Encoding") {
                headers.replaceOrAdd(name: "Content-Length", value: "\(answer.body.count)")
            }
            let head = HTTPResponseHead(
                version: .http1_1, status: .init(statusCode: answer.status), headers: headers)
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            if !omitsBody {
                context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: answer.body)))), promise: nil)
            }
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}

/// An application with one counter per session in its own memory and a bridge of contract 1: what the proxy meets in
/// production, with its memory open to the test. Sessions are named by the cookie `session`.
final class CounterApplication: Sendable {
    struct Session: Sendable {
        var value: Int
        var version: UInt64
        var state: [UInt8] { Array("{\"n\": \(value)}".utf8) }
        var tag: UInt32 { state.withUnsafeBytes { SHA256Digest.prefix32(of: $0) } }
        var versionTag: VersionTag { VersionTag(version: version, tag: tag) }
    }

    struct Memory: Sendable {
        var sessions: [String: Session] = [:]
        var created = 0
        /// Filler in every state, to push it over the inline limit.
        var answersAfter: EventLoopFuture<Void>?
        var applicationRuns = 0
    }

    let incarnation: String
    let memory: Mutex<Memory>

    init(incarnation: String) {
        self.incarnation = incarnation
        memory = Mutex(Memory())
    }

    func value(of id: String) -> Int? { memory.withLock { $0.sessions[id]?.value } }

    func answer(_ request: ReceivedRequest) -> UpstreamAnswer {
        if request.uri == "/healthz" { return .text("ok") }
        if request.uri.hasPrefix(BridgeHeader.endpointPrefix) { return endpoint(request) }
        return memory.withLock { memory in
            var answer = run(request, &memory)
            answer.after = memory.answersAfter
            return answer
        }
    }

    private func run(_ request: ReceivedRequest, _ memory: inout Memory) -> UpstreamAnswer {
        let presented = request.headers["Cookie"].flatMap { $0.split(separator: ";") }
            .map { $0.drop { $0 == " " } }.first { $0.hasPrefix("session=") }.map { String($0.dropFirst(8)) }
        let phase = request.attribute("phase").flatMap { Phase(name: $0) }
        if let phase, let id = presented {
            if let put = request.attribute("put").flatMap({ VersionTag($0) }),
                let text = request.headers.first(name: BridgeHeader.state), let state = Base64URL.decode(text),
                let number = Int(String(decoding: state, as: UTF8.self).filter { $0.isNumber })
            {
                let local = memory.sessions[id]
                if phase >= .stateless || (local?.version ?? 0) < put.version {
                    memory.sessions[id] = Session(value: number, version: put.version)
                }
            } else if request.attribute("absent") != nil {
                if phase >= .externalized { memory.sessions[id] = nil }
            } else if let local = memory.sessions[id] {
                if let want = request.attribute("want").flatMap({ VersionTag($0) }) {
                    let fits = phase >= .stateless ? local.versionTag == want : local.version >= want.version
                    if !fits { return refusal("op=stale; id=\(id); have=\(local.versionTag)") }
                }
            } else {
                return refusal("op=missing; id=\(id)")
            }
        }
        memory.applicationRuns += 1
        return application(request, presented: presented, mirrors: phase != nil, &memory)
    }

    private func refusal(_ word: String) -> UpstreamAnswer {
        UpstreamAnswer(status: 409, headers: [(BridgeHeader.session, "\(word); inst=\(incarnation)")])
    }

    private func application(
        _ request: ReceivedRequest, presented: String?, mirrors: Bool, _ memory: inout Memory
    ) -> UpstreamAnswer {
        let live = presented.flatMap { memory.sessions[$0] == nil ? nil : $0 }
        var headers: [(String, String)] = []
        func word(_ text: String) {
            if mirrors { headers.append((BridgeHeader.session, "\(text); inst=\(incarnation)")) }
        }
        switch request.uri {
        case "/increment":
            var id = live
            let base = live.flatMap { memory.sessions[$0]?.versionTag }
            if id == nil {
                memory.created += 1
                id = "\(incarnation)-\(memory.created)"
                headers.append(("Set-Cookie", "session=\(id!); Path=/"))
            }
            var session = memory.sessions[id!] ?? Session(value: 0, version: 0)
            session.value += 1
            session.version += 1
            memory.sessions[id!] = session
            word(
                "op=put; id=\(id!); ver=\(session.version); tag=\(session.versionTag.tagHex)"
                    + (base.map { "; base=\($0)" } ?? "") + "; ttl=600; codec=json")
            if mirrors {
                headers.append((BridgeHeader.state, Base64URL.encode(session.state)))
            }
            return .text("\(session.value)", headers)
        case "/logout":
            if let live, let old = memory.sessions.removeValue(forKey: live) {
                word("op=destroy; id=\(live); ver=\(old.version + 1); ttl=600")
            } else {
                word("op=none")
            }
            return .text("bye", headers)
        default:
            guard let live, let session = memory.sessions[live] else {
                word("op=none")
                return .text("0", headers)
            }
            word("op=touch; id=\(live); ver=\(session.version); tag=\(session.versionTag.tagHex); ttl=600")
            return .text("\(session.value)", headers)
        }
    }

    private func endpoint(_ request: ReceivedRequest) -> UpstreamAnswer {
        let path = request.uri.split(separator: "?")[0]
        let id = String(path.dropFirst("\(BridgeHeader.endpointPrefix)sessions/".count))
        return memory.withLock { memory in
            switch request.method {
            case "DELETE":
                memory.sessions[id] = nil
                return UpstreamAnswer(status: 204)
            case "GET":
                guard let session = memory.sessions[id] else { return UpstreamAnswer(status: 404) }
                let word =
                    "op=put; id=\(id); ver=\(session.version); tag=\(session.versionTag.tagHex); ttl=600; codec=json; "
                    + "inst=\(incarnation)"
                return UpstreamAnswer(headers: [(BridgeHeader.session, word)], body: session.state)
            default:
                return UpstreamAnswer(status: 405)
            }
        }
    }
}
