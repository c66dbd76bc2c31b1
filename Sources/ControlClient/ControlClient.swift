public import AsyncHTTPClient
public import ControlAPI
import Foundation
import NIOCore
import NIOHTTP1
public import UnstickCore

/// The coordinator's API, typed; for the command line and for proxies of their own process.
///
/// Every call has a deadline: ``deadline`` beyond whatever the coordinator is asked to wait. Answers are limited to
/// ``answerBytesLimit``.
public struct ControlClient: Sendable {
    /// Scheme, host and port, without a slash at the end: `http://127.0.0.1:9090`.
    public let address: String
    /// Sent as `Authorization: Bearer`; never part of an error.
    private let token: String?
    private let http: HTTPClient
    /// How long an answer may take when nothing is to be waited for.
    public let deadline: Duration

    /// Largest answer that is read, in bytes.
    public static let answerBytesLimit = 64 << 20

    /// One for the whole process, never shut down. Without retries: by default a refused connection is tried again until
    /// the request's deadline, and a proxy or a person who wants to know whether there is a coordinator waits for it.
    public static let sharedHTTP: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.timeout.connect = .seconds(3)
        configuration.redirectConfiguration = .disallow
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    /// - Parameters:
    ///   - address: `http://HOST:PORT`; slashes at the end are dropped.
    ///   - http: ``sharedHTTP`` by default; the caller shuts down its own.
    public init(
        address: String, token: String? = nil, deadline: Duration = .seconds(10), http: HTTPClient = Self.sharedHTTP
    ) {
        var address = address
        while address.hasSuffix("/") { address.removeLast() }
        self.address = address
        self.token = token
        self.deadline = deadline
        self.http = http
    }

    // MARK: Looking

    public func status() async throws(ControlClientError) -> StatusReport {
        try await get("/v1/status")
    }

    public func gates() async throws(ControlClientError) -> GatesReport {
        try await get("/v1/gates")
    }

    public func instances() async throws(ControlClientError) -> InstancesReport {
        try await get("/v1/instances")
    }

    public func proxies() async throws(ControlClientError) -> ProxiesReport {
        try await get("/v1/proxies")
    }

    /// Entries with a sequence above `after`, oldest first; waits up to `wait` for the first.
    /// - Parameter limit: 1 to 1,000.
    public func journal(
        after: Int64 = 0, limit: Int = 100, wait: Duration = .zero
    ) async throws(ControlClientError) -> JournalPage {
        try await get(
            "/v1/journal?after=\(after)&limit=\(limit)&wait=\(wait.wholeSeconds)", patience: wait)
    }

    public func explain(session id: String) async throws(ControlClientError) -> SessionExplanation {
        try await require(send(.POST, "/v1/sessions/explain", body: ExplainRequest(id: id)))
    }

    // MARK: Operations

    /// Starts an operation; a refusal by `locked`, `invalid` and so on is a ``ControlClientError/problem(_:status:)``,
    /// a refusal by a gate is the operation's outcome.
    public func start(_ request: OperationRequest) async throws(ControlClientError) -> OperationStatus {
        try await require(send(.POST, "/v1/operations", body: request))
    }

    /// Answers when the operation has ended or its progress changed, or after `wait`.
    public func operation(
        _ id: Int64, wait: Duration = .zero
    ) async throws(ControlClientError) -> OperationStatus {
        try await get("/v1/operations/\(id)?wait=\(wait.wholeSeconds)", patience: wait)
    }

    /// The operation that runs; nil when none does.
    public func currentOperation() async throws(ControlClientError) -> OperationStatus? {
        try await send(.GET, "/v1/operations/current", body: Nothing?.none)
    }

    /// Waits for the operation's end, telling every change on the way.
    /// - Throws: `unreachable` only after the coordinator has been silent for `patience` in a row: a coordinator that
    ///   restarts meanwhile resumes the operation under the same id.
    public func follow(
        _ id: Int64, patience: Duration = .seconds(15), progress: @Sendable (OperationStatus) -> Void = { _ in }
    ) async throws(ControlClientError) -> OperationStatus {
        let clock = ContinuousClock()
        var heard = clock.now
        while true {
            do throws(ControlClientError) {
                let status = try await operation(id, wait: .seconds(5))
                heard = clock.now
                progress(status)
                if status.outcome != nil { return status }
            } catch {
                guard case .unreachable = error, clock.now - heard < patience, !Task.isCancelled else { throw error }
                try? await clock.sleep(for: .milliseconds(250))
            }
        }
    }

    /// Stops or resumes what the coordinator does by itself (fencing, background verification, sweeping); never
    /// traffic, never operations.
    public func setAutomation(
        paused: Bool, by: String, reason: String? = nil
    ) async throws(ControlClientError) -> AutomationStatus {
        try await require(
            send(.POST, "/v1/automation", body: AutomationRequest(paused: paused, by: by, reason: reason)))
    }

    // MARK: Proxies

    /// Removes a proxy that is gone, so that it no longer holds up the next step.
    public func forget(proxy name: String) async throws(ControlClientError) {
        _ = try await send(.DELETE, "/v1/proxies/\(Self.escape(name))", body: Nothing?.none) as Nothing?
    }

    public func report(_ report: ProxyReport) async throws(ControlClientError) -> ProxyReportReply {
        try await require(send(.POST, "/v1/proxies/\(Self.escape(report.name))/report", body: report))
    }

    /// Answers as soon as a table newer than `epoch` exists, or nil after `patience` (at most 60 s).
    public func table(
        newerThan epoch: Epoch?, patience: Duration
    ) async throws(ControlClientError) -> RoutingTable? {
        let after = epoch.map { "after=\($0)&" } ?? ""
        return try await send(
            .GET, "/v1/table?\(after)wait=\(patience.wholeSeconds)", body: Nothing?.none, patience: patience)
    }

    // MARK: One exchange

    private struct Nothing: Codable {}

    private func get<Answer: Decodable & Sendable>(
        _ target: String, patience: Duration = .zero
    ) async throws(ControlClientError) -> Answer {
        try await require(send(.GET, target, body: Nothing?.none, patience: patience))
    }

    private func require<Answer: Sendable>(_ answer: Answer?) throws(ControlClientError) -> Answer {
        guard let answer else {
            throw .unintelligible(address: address, reason: "an answer without a body")
        }
        return answer
    }

    /// - Returns: nil for 204.
    private func send<Body: Encodable & Sendable, Answer: Decodable & Sendable>(
        _ method: HTTPMethod, _ target: String, body: Body?, patience: Duration = .zero
    ) async throws(ControlClientError) -> Answer? {
        let status: Int
        let data: Data
        do {
            var request = HTTPClientRequest(url: address + target)
            request.method = method
            request.headers.add(name: "Accept", value: "application/json")
            // Marks a caller that is not a web page: a page of another site cannot set it without a preflight.
            request.headers.add(name: "Unstick-Client", value: "1")
            if let token { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
            if let body {
                request.headers.add(name: "Content-Type", value: "application/json")
                request.body = .bytes(ByteBuffer(bytes: try ControlJSON.encode(body)))
            }
            let response = try await http.execute(request, timeout: TimeAmount(deadline + patience))
            status = Int(response.status.code)
            data = Data(try await response.body.collect(upTo: Self.answerBytesLimit).readableBytesView)
        } catch {
            throw .unreachable(address: address, reason: Self.reason(error))
        }
        if status == 204 { return nil }
        do {
            if (200..<300).contains(status) { return try ControlJSON.decode(Answer.self, from: data) }
        } catch {
            throw .unintelligible(address: address, reason: ControlJSON.describe(error))
        }
        guard let problem = try? ControlJSON.decode(APIProblem.self, from: data) else {
            throw .unintelligible(address: address, reason: "status \(status) without an explanation")
        }
        throw .problem(problem, status: status)
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as HTTPClientError where error == .deadlineExceeded || error == .connectTimeout:
            "no answer in time"
        case let error as HTTPClientError where error == .remoteConnectionClosed:
            "the connection was closed"
        case let error as IOError: String(cString: strerror(error.errnoCode))
        default: "\(error)"
        }
    }

    /// One path segment; everything but RFC 3986's unreserved characters is escaped.
    private static func escape(_ text: String) -> String {
        var escaped = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                escaped.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let hex = String(byte, radix: 16, uppercase: true)
                escaped += byte < 16 ? "%0\(hex)" : "%\(hex)"
            }
        }
        return escaped
    }
}

extension Duration {
    /// Rounded up, never negative.
    fileprivate var wholeSeconds: Int64 {
        let (seconds, attoseconds) = components
        return max(0, attoseconds > 0 ? seconds + 1 : seconds)
    }
}
