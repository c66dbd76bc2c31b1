import AsyncHTTPClient
import BridgeContract
import NIOCore
import NIOHTTP1
import SessionStore
import UnstickCore
import UnstickCrypto

/// Asks the bridges inside the instances (bridge contract 1, endpoints). Every request is signed and has a deadline for
/// the whole of it, and every body has a limit. All operations may be repeated without harm.
struct BridgeClient: Sendable {
    /// What one request may take.
    struct Limits: Sendable {
        /// Bytes of a page of a listing.
        var pageBytes = 4 << 20
        /// Bytes of a session's state.
        var stateBytes = 16 << 20
        /// Bytes of what `instance` says.
        var identityBytes = 64 << 10
        /// For a page of a listing: the bridge serializes every session on it.
        var listing = Duration.seconds(60)
        /// For anything else.
        var answer = Duration.seconds(15)
    }

    /// What a bridge says of itself.
    struct Identity: Sendable, Equatable {
        var incarnation: String
        var framework: String?
        var bridge: String?
        var sessions: Int?
        var warning: String?
    }

    /// What an instance's memory holds of one session.
    enum Exported: Sendable, Equatable {
        case missing
        /// With how many attributes that could not be serialized.
        case unserializable(Int, incarnation: String)
        case session(BridgeChange, state: ByteBuffer, incarnation: String)
    }

    private let http: HTTPClient
    private let named: NamedInstanceClients?
    private let secret: BridgeSecret
    private let clock: WallClock
    private let limits: Limits

    init(
        http: HTTPClient, named: NamedInstanceClients? = nil, secret: BridgeSecret, clock: @escaping WallClock,
        limits: Limits = Limits()
    ) {
        self.http = http
        self.named = named
        self.secret = secret
        self.clock = clock
        self.limits = limits
    }

    func instance(_ instance: RoutingTable.Instance) async throws(BridgeClientError) -> Identity {
        let answer = try await request("GET", "instance", of: instance, bytesMax: limits.identityBytes)
        guard answer.status == 200 else { throw unexpected(answer, "instance", of: instance) }
        do throws(FlatJSONError) {
            let object = try answer.body.withUnsafeReadableBytes { bytes in
                Result { () throws(FlatJSONError) in try FlatJSON(parsing: bytes) }
            }.get()
            func optional(_ name: String) throws(FlatJSONError) -> String? {
                object.isNullOrAbsent(name) ? nil : try object.text(name, bytes: 0...4096)
            }
            return Identity(
                incarnation: try object.text("inst", bytes: 1...SessionRecord.nameBytesLimit),
                framework: try optional("framework"), bridge: try optional("bridge"),
                sessions: object.isNullOrAbsent("sessions")
                    ? nil : Int(try object.integer("sessions", in: 0...Int64.max)),
                warning: try optional("warning"))
        } catch {
            throw garbage(
                "GET instance was answered with what is not an instance's description: \(error.message)", instance)
        }
    }

    /// One page of the instance's sessions.
    func sessions(
        of instance: RoutingTable.Instance, after cursor: String?, limit: Int
    ) async throws(BridgeClientError) -> SessionListing {
        var resource = "sessions?limit=\(limit)"
        if let cursor { resource = "sessions?cursor=\(percentEncoded(cursor))&limit=\(limit)" }
        let answer = try await request(
            "GET", resource, of: instance, bytesMax: limits.pageBytes, deadline: limits.listing)
        guard answer.status == 200 else { throw unexpected(answer, "sessions", of: instance) }
        let page: SessionListing
        do throws(ListingFormatError) {
            page = try answer.body.withUnsafeReadableBytes { bytes in
                Result { () throws(ListingFormatError) in try SessionListing(parsing: bytes) }
            }.get()
        } catch {
            throw garbage("\(error)", instance)
        }
        guard page.cursor == nil || page.cursor != cursor else {
            throw garbage("the listing's cursor does not move", instance)
        }
        return page
    }

    /// A session as memory holds it now. The state is checked against the tag.
    func export(_ id: String, from instance: RoutingTable.Instance) async throws(BridgeClientError) -> Exported {
        let answer = try await request(
            "GET", "sessions/\(percentEncoded(id))", of: instance, bytesMax: limits.stateBytes)
        if answer.isRefusedID { return .missing }
        let said = try said(answer, "GET sessions/ID", of: instance)
        switch (answer.status, said.answer) {
        case (404, .missing): return .missing
        case (200, .put), (200, .touch), (422, .put), (422, .touch):
            if answer.status == 422 || said.unserializable > 0 {
                return .unserializable(max(1, said.unserializable), incarnation: said.incarnation)
            }
            guard case .put(let change) = said.answer, change.id == id else {
                throw garbage("GET sessions/ID was answered with another session or without a state", instance)
            }
            guard answer.body.withUnsafeReadableBytes(SHA256Digest.prefix32) == change.version.tag else {
                throw garbage("GET sessions/ID was answered with a state that its tag does not fit", instance)
            }
            return .session(change, state: answer.body, incarnation: said.incarnation)
        default: throw unexpected(answer, "sessions/ID", of: instance)
        }
    }

    /// Gives the instance the store's copy.
    /// - Returns: what its memory holds afterwards: the record's version, or its own where it keeps that; nil when the
    ///   bridge took nothing.
    func `import`(
        _ record: SessionRecord, into instance: RoutingTable.Instance, phase: Phase
    ) async throws(BridgeClientError) -> VersionTag? {
        let signature = record.state.withUnsafeReadableBytes {
            secret.stateSignature(
                id: record.id, version: record.version, codec: record.codec, ttlSeconds: record.ttlSeconds, state: $0)
        }
        let header = BridgeRequest.putValue(
            version: record.version, codec: record.codec, ttlSeconds: record.ttlSeconds, signature: signature,
            phase: phase)
        let answer = try await request(
            "PUT", "sessions/\(percentEncoded(record.id))", of: instance, bytesMax: limits.identityBytes,
            headers: [(BridgeHeader.session, header)], body: record.state)
        if answer.isRefusedID { return nil }
        let said = try said(answer, "PUT sessions/ID", of: instance)
        switch (answer.status, said.answer) {
        case (200...299, .put(let change)) where change.id == record.id: return change.version
        case (200...299, .touch(record.id, let version, _)): return version
        case (404, .missing): return nil
        case (409, .stale(record.id, let have)): return have
        default: throw unexpected(answer, "sessions/ID", of: instance)
        }
    }

    /// Removes a session from the instance's memory; one that is not there is no error.
    func evict(_ id: String, from instance: RoutingTable.Instance) async throws(BridgeClientError) {
        let answer = try await request(
            "DELETE", "sessions/\(percentEncoded(id))", of: instance, bytesMax: limits.identityBytes)
        if answer.isRefusedID { return }
        if answer.status == 404, case .missing = try said(answer, "DELETE sessions/ID", of: instance).answer { return }
        guard (200...299).contains(answer.status) else { throw unexpected(answer, "sessions/ID", of: instance) }
    }

    // MARK: One request

    private struct Answer: Sendable {
        var status: Int
        var session: String?
        /// Whether a bridge refused this id: it knows that no session can have it.
        var isRefusedID: Bool
        var body: ByteBuffer
    }

    private func said(
        _ answer: Answer, _ asked: String, of instance: RoutingTable.Instance
    ) throws(BridgeClientError) -> BridgeResponse {
        guard let header = answer.session else { throw unexpected(answer, asked, of: instance) }
        do throws(BridgeFormatError) {
            return try BridgeResponse(parsing: header)
        } catch {
            throw garbage("\(asked): \(error)", instance)
        }
    }

    private func garbage(_ message: String, _ instance: RoutingTable.Instance) -> BridgeClientError {
        BridgeClientError(instance: instance.name, reason: .garbage, message: message)
    }

    private func unexpected(
        _ answer: Answer, _ asked: String, of instance: RoutingTable.Instance
    ) -> BridgeClientError {
        switch answer.status {
        case 401:
            BridgeClientError(
                instance: instance.name, reason: .unauthorized,
                message: """
                    the bridge refuses our signature (401). Compare the file named by bridge.secret-file here with the \
                    one that the application reads, and both machines' clocks: they may differ by 60 s at most
                    """)
        case 404 where answer.session == nil:
            BridgeClientError(
                instance: instance.name, reason: .notInstalled,
                message: "no bridge answers at \(instance.url)\(BridgeHeader.endpointPrefix) (404): is it installed?")
        default: garbage("\(asked) was answered with status \(answer.status)", instance)
        }
    }

    private func request(
        _ method: String, _ resource: String, of instance: RoutingTable.Instance, bytesMax: Int,
        deadline: Duration? = nil, headers: [(String, String)] = [], body: ByteBuffer = ByteBuffer()
    ) async throws(BridgeClientError) -> Answer {
        let target = BridgeHeader.endpointPrefix + resource
        let deadline = deadline ?? limits.answer
        var attempt = 1
        while true {
            let authentication = body.withUnsafeReadableBytes {
                secret.endpointAuthentication(method: method, target: target, seconds: clock().seconds, body: $0)
            }
            let route = named?.route(to: instance.url)
            var request = HTTPClientRequest(url: (route?.url ?? instance.url) + target)
            if let route { request.headers.add(name: "Host", value: route.authority) }
            request.method = HTTPMethod(rawValue: method)
            request.headers.add(name: BridgeHeader.authentication, value: authentication)
            for (name, value) in headers { request.headers.add(name: name, value: value) }
            if method == "PUT" { request.body = .bytes(body) }
            do {
                return try await perform(request, with: route?.client ?? http, bytesMax: bytesMax, deadline: deadline)
            } catch let error as HTTPClientError where error == .remoteConnectionClosed && attempt == 1 {
                // The instance closed an idle connection just as we used it; everything here may be asked twice.
                attempt += 1
            } catch {
                throw failure(error, "\(method) \(resource.prefix { $0 != "?" && $0 != "/" })", deadline, instance)
            }
        }
    }

    /// The client's own deadline ends with the response head; a body that stalls needs one around the whole.
    private func perform(
        _ request: HTTPClientRequest, with http: HTTPClient, bytesMax: Int, deadline: Duration
    ) async throws -> Answer {
        try await withThrowingTaskGroup(of: Answer?.self) { group in
            group.addTask {
                let response = try await http.execute(request, timeout: TimeAmount(deadline))
                let body = try await response.body.collect(upTo: bytesMax)
                return Answer(
                    status: Int(response.status.code), session: response.headers.first(name: BridgeHeader.session),
                    isRefusedID: response.status == .notFound && response.headers.contains(name: "Unstick-Error"),
                    body: body)
            }
            group.addTask {
                try await Task.sleep(for: deadline)
                return nil
            }
            defer { group.cancelAll() }
            guard let answer = try await group.next() ?? nil else { throw HTTPClientError.deadlineExceeded }
            return answer
        }
    }

    private func failure(
        _ error: any Error, _ asked: String, _ deadline: Duration, _ instance: RoutingTable.Instance
    ) -> BridgeClientError {
        func failure(_ reason: BridgeClientError.Reason, _ message: String) -> BridgeClientError {
            BridgeClientError(instance: instance.name, reason: reason, message: message)
        }
        switch error {
        case is CancellationError: return failure(.cancelled, "\(asked) was cancelled")
        case is NIOTooManyBytesError: return failure(.garbage, "\(asked) was answered with a body above the limit")
        case let error as HTTPClientError:
            switch error {
            case .deadlineExceeded, .readTimeout, .writeTimeout:
                return failure(.timedOut, "\(asked) was not answered within \(deadline)")
            case .cancelled: return failure(.cancelled, "\(asked) was cancelled")
            case .connectTimeout: return failure(.unreachable, "cannot connect to \(instance.url) in time")
            default: return failure(.unreachable, "\(asked) at \(instance.url) failed: \(error.shortDescription)")
            }
        case is HTTPParserError:
            return failure(.garbage, "\(asked) was answered with what is not HTTP/1.1")
        default: return failure(.unreachable, "cannot reach \(instance.url): \(error)")
        }
    }

    /// Settings of the HTTP client: an answer is taken as it comes, and from nobody but the instance.
    static var httpConfiguration: HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration()
        // A redirect would carry our signature, and the question for a session, elsewhere.
        configuration.redirectConfiguration = .disallow
        configuration.httpVersion = .http1Only
        configuration.decompression = .disabled
        configuration.timeout.connect = .seconds(3)
        configuration.connectionPool.idleTimeout = .seconds(20)
        // A refused connection is an answer. Tried again until the deadline, it would hold up every other look: a dead
        // instance would be fenced only a deadline later.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 16
        return configuration
    }
}
