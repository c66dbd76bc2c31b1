import BridgeContract
import ControlAPI
import MemorySessionStore
import NIOCore
import NIOPosix
import SessionStore
import Testing
import UnstickCore
import UnstickCrypto

@testable import UnstickProxy

/// A running proxy before one instance, `web-1`, that the test plays by hand.
struct LiveFixture {
    let proxy: ProxyFixture
    let upstream: LiveUpstream

    static func with(
        phase: Phase = .sticky, configure: @escaping (inout ProxyOptions) -> Void = { _ in },
        _ body: (LiveFixture) async throws -> Void
    ) async throws {
        let prepare = { (options: inout ProxyOptions) in
            // What a test leaves open is cut off at its end.
            options.timeouts.shutdown = .zero
            configure(&options)
        }
        try await ProxyFixture.with(phase: phase, applications: 0, configure: prepare) { fixture in
            let upstream = try await LiveUpstream(group: fixture.group)
            try await fixture.route(to: [upstream.url])
            try await body(LiveFixture(proxy: fixture, upstream: upstream))
            await upstream.close()
        }
    }

    func connect(reads: Bool = true) async throws -> LivePeer { try await proxy.connect(reads: reads) }

    /// A client that has sent this, and the instance's end of it with the head that came there.
    func exchange(_ text: String) async throws -> (client: LivePeer, instance: LivePeer, head: String) {
        let client = try await connect()
        await client.send(text)
        let (instance, head) = try await upstream.acceptRequest()
        return (client, instance, head)
    }

    // MARK: Sessions

    static let sessionID = "s-1"
    static let state = Array("{\"n\": 1}".utf8)
    static let version = VersionTag(version: 1, tag: state.withUnsafeBytes { SHA256Digest.prefix32(of: $0) })
    static let touched =
        "\(BridgeHeader.session): op=touch; id=\(sessionID); ver=1; tag=\(version.tagHex); ttl=600; inst=i-1\r\n"

    /// Puts a session into the store that the instance does not have in its memory.
    func seedSession() async throws {
        let record = SessionRecord(
            id: Self.sessionID, generation: Generation(1), version: Self.version, codec: "json",
            state: ByteBuffer(bytes: Self.state), ttlSeconds: 600, expiresAt: UnixMilliseconds(1_700_000_600_000),
            home: "web-1", writer: "i-0")
        _ = try await proxy.store.save(record, when: .newerWins, on: proxy.group.next()).get()
    }

    /// Plays the bridge until the request has come with the session's state.
    func hydrate(_ instance: LivePeer, _ head: String) async throws -> String {
        var head = head
        if !head.contains("put=") {
            await instance.send(
                "HTTP/1.1 409 Conflict\r\n\(BridgeHeader.session): op=missing; id=\(Self.sessionID); inst=i-1\r\n"
                    + "Content-Length: 0\r\n\r\n")
            head = try await instance.receiveHead()
        }
        #expect(head.contains("put=\(Self.version)"))
        return head
    }
}

extension ProxyFixture {
    func connect(reads: Bool = true) async throws -> LivePeer {
        try await LivePeer.connect(to: port, group: group, reads: reads)
    }

    /// Makes these the instances `web-1`, `web-2` …
    func route(to urls: [String]) async throws {
        let epoch = link.publish {
            $0.instances = urls.enumerated().map {
                RoutingTable.Instance(name: "web-\($0.offset + 1)", url: $0.element)
            }
        }
        await link.waitForAcknowledgement(of: epoch)
    }

    /// What the proxy's report would say now.
    func reports() async throws -> [InstanceReport] {
        var all: [InstanceReport] = []
        for bound in proxy.loops {
            all += try await bound.eventLoop.submit { bound.value.instanceReports() }.get()
        }
        return all
    }

    func inFlight() async throws -> Int { try await reports().reduce(0) { $0 + $1.inFlight } }

    /// Client connections, and exchanges whose client has gone.
    func connectionCount() async throws -> Int {
        var count = 0
        for bound in proxy.loops {
            count += try await bound.eventLoop.submit { bound.value.connectionCount }.get()
        }
        return count
    }

    /// Waits until a number that the proxy knows is this one.
    func until(
        _ wanted: Int, sourceLocation: SourceLocation = #_sourceLocation, _ number: () async throws -> Int
    ) async throws {
        let deadline = ContinuousClock.now + .seconds(20)
        var last = try await number()
        while last != wanted, ContinuousClock.now < deadline {
            await Task.yield()
            last = try await number()
        }
        #expect(last == wanted, sourceLocation: sourceLocation)
    }

    /// Lets each of the proxy's loops turn so many times.
    func turn(_ rounds: Int) async throws {
        for bound in proxy.loops {
            for _ in 0..<rounds { try await bound.eventLoop.submit {}.get() }
        }
    }
}

/// A proxy in `sticky` before one server that answers with a closure.
func withAnsweringInstance(
    configure: @escaping (inout ProxyOptions) -> Void = { _ in },
    _ answer: @escaping @Sendable (ReceivedRequest) -> UpstreamAnswer = { _ in .text("ok") },
    _ body: (ProxyFixture, TestUpstream) async throws -> Void
) async throws {
    let prepare = { (options: inout ProxyOptions) in
        options.timeouts.shutdown = .zero
        configure(&options)
    }
    try await ProxyFixture.with(phase: .sticky, applications: 0, configure: prepare) { fixture in
        let upstream = try await TestUpstream(group: fixture.group, answer: answer)
        try await fixture.route(to: [upstream.url])
        try await body(fixture, upstream)
        await upstream.close()
    }
}

/// Statuses of the answers in what a client received.
func statuses(of text: String) -> [Int] {
    text.split(separator: "HTTP/1.1 ").compactMap { Int($0.prefix(3)) }
}

/// The answer without its head.
func content(of text: String) -> String {
    text.firstRange(of: "\r\n\r\n").map { String(text[$0.upperBound...]) } ?? ""
}

/// Values of a field, in the order of its lines.
func values(_ name: String, in head: String) -> [String] {
    head.split(separator: "\r\n").compactMap { line in
        guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == name.lowercased() else { return nil }
        return String(line[line.index(after: colon)...].drop { $0 == " " })
    }
}
