public import ControlAPI
import Foundation
import HTTPTypes
import Hummingbird
public import Logging
import NIOCore
import UnstickCore

/// The admin address: HTTP in front of a ``Coordinator``.
public struct CoordinatorAPI: Sendable {
    /// A page outside `/v1`, for example of the dashboard.
    public struct Page: Sendable {
        public var contentType: String
        public var body: String
        public init(contentType: String, body: String) {
            self.contentType = contentType
            self.body = body
        }
    }

    let coordinator: Coordinator
    let host: String
    let port: Int
    let access: AdminAccess
    let logger: Logger
    let pages: @Sendable (String) -> Page?
    let unreadiness: @Sendable () async -> String?
    let moreMetrics: @Sendable (inout PrometheusText) async -> Void

    /// Largest request body, bytes.
    static let bodyBytesLimit = 1 << 20

    /// - Parameters:
    ///   - host: address to listen on. Anything but a loopback address demands a token.
    ///   - port: 0 for any free one.
    ///   - token: what callers present as `Authorization: Bearer`.
    ///   - unreadiness: why a proxy in the same process should get no traffic, for `/readyz`; nil when it should.
    ///   - moreMetrics: appends families to `/metrics`, such as the process's and those of a proxy in the same process.
    ///   - pages: what to answer to `GET` of a path that is not the API's; nil for 404.
    /// - Throws: ``APIProblem`` when the address is reachable from elsewhere and there is no token.
    public init(
        coordinator: Coordinator, host: String, port: Int, token: String?,
        logger: Logger = Logger(label: "admin"),
        unreadiness: @escaping @Sendable () async -> String? = { nil },
        moreMetrics: @escaping @Sendable (inout PrometheusText) async -> Void = { _ in },
        pages: @escaping @Sendable (String) -> Page? = { _ in nil }
    ) throws {
        let name = AdminAccess.hostName(host.contains("::") && !host.hasPrefix("[") ? "[\(host)]" : host)
        if let token, token.utf8.count < 16 {
            throw APIProblem(code: .invalid, message: "the admin token has \(token.utf8.count) bytes; at least 16")
        }
        guard token != nil || AdminAccess.isLoopback(name) else {
            throw APIProblem(
                code: .invalid, message: "admin address \(host) can be reached from elsewhere: it needs a token")
        }
        self.coordinator = coordinator
        self.host = host
        self.port = port
        access = AdminAccess(token: token, hosts: [name])
        self.logger = logger
        self.pages = pages
        self.unreadiness = unreadiness
        self.moreMetrics = moreMetrics
    }

    /// Serves until it is cancelled.
    /// - Parameter onListening: called with the port once connections are accepted.
    public func run(onListening: @escaping @Sendable (Int) async -> Void = { _ in }) async throws {
        var quiet = logger
        // A line for each long poll is noise; what changes something is in the journal.
        quiet.logLevel = max(logger.logLevel, .warning)
        let application = Application(
            responder: AdminResponder(api: self),
            configuration: ApplicationConfiguration(address: .hostname(host, port: port), serverName: nil),
            onServerRunning: { channel in
                if let port = channel.localAddress?.port { await onListening(port) }
            },
            logger: quiet
        )
        try await application.run()
    }
}

/// Carries the caller's address to the journal.
struct AdminContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let from: String?

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        from = source.channel.remoteAddress?.ipAddress
    }
}

struct AdminResponder: HTTPResponder {
    let api: CoordinatorAPI

    func respond(to request: Request, context: AdminContext) async throws -> Response {
        do {
            return try await answer(request, context)
        } catch let problem as APIProblem {
            return Self.problem(problem)
        } catch is Coordinator.Halted {
            return Self.problem(APIProblem(code: .failed, message: "the coordinator has stopped"), .serviceUnavailable)
        } catch is CancellationError {
            return Self.problem(APIProblem(code: .failed, message: "the coordinator stops"), .serviceUnavailable)
        } catch let error as any HTTPResponseError {
            return Self.problem(APIProblem(code: .invalid, message: "\(error.status)"), error.status)
        } catch {
            api.logger.error("\(request.method) failed: \(error)")
            return Self.problem(APIProblem(code: .failed, message: "\(error)"), .internalServerError)
        }
    }

    private func answer(_ request: Request, _ context: AdminContext) async throws -> Response {
        let path = request.uri.path.split(separator: "/").map { String($0).removingPercentEncoding ?? String($0) }
        var query: [String: String] = [:]
        for (key, value) in request.uri.queryParameters { query[String(key)] = String(value) }
        let route: AdminRoute
        do throws(AdminRoute.Failure) {
            route = try AdminRoute(method: request.method.rawValue, path: path, query: query)
        } catch {
            switch error {
            case .unknown:
                if request.method == .get, let page = try page(request) { return page }
                throw Failure(APIProblem(code: .invalid, message: "there is no \(request.uri.path)"), .notFound)
            case .method(let allowed):
                var response = Self.problem(
                    APIProblem(code: .invalid, message: "\(request.method) is not for \(request.uri.path)"),
                    .methodNotAllowed)
                response.headers[.allow] = allowed
                return response
            case .parameter(let message): throw APIProblem(code: .invalid, message: message)
            }
        }
        try check(route, request)
        return try await answer(route, request, context)
    }

    private struct Failure: HTTPResponseError {
        var problem: APIProblem
        var status: HTTPResponse.Status
        init(_ problem: APIProblem, _ status: HTTPResponse.Status) {
            self.problem = problem
            self.status = status
        }
        func response(from request: Request, context: some RequestContext) throws -> Response {
            AdminResponder.problem(problem, status)
        }
    }

    private func check(_ route: AdminRoute, _ request: Request) throws {
        let headers = AdminAccess.Headers(
            authorization: request.headers[.authorization], host: request.head.authority,
            contentType: request.headers[.contentType], client: request.headers[.unstickClient],
            fetchSite: request.headers[.secFetchSite])
        do throws(AdminAccess.Denial) {
            try api.access.check(route, headers)
        } catch {
            switch error {
            case .unauthorized:
                throw Failure(APIProblem(code: .invalid, message: "the admin token is missing or wrong"), .unauthorized)
            case .foreignHost(let host):
                throw Failure(
                    APIProblem(code: .invalid, message: "'\(host.prefix(80))' is not this coordinator"), .forbidden)
            case .crossSite:
                throw Failure(
                    APIProblem(
                        code: .invalid, message: "send Content-Type: application/json or an Unstick-Client header"),
                    .forbidden)
            }
        }
    }

    /// Pages are behind the same guards as `GET /v1/status`.
    private func page(_ request: Request) throws -> Response? {
        guard let page = api.pages(request.uri.path) else { return nil }
        try check(.status, request)
        return Self.response(.ok, page.body, contentType: page.contentType)
    }

    private func answer(_ route: AdminRoute, _ request: Request, _ context: AdminContext) async throws -> Response {
        let coordinator = api.coordinator
        switch route {
        case .health:
            return coordinator.isHalted
                ? Self.response(.serviceUnavailable, "halted\n", contentType: "text/plain")
                : Self.response(.ok, "ok\n", contentType: "text/plain")
        case .ready:
            if coordinator.isHalted { return Self.response(.serviceUnavailable, "halted\n", contentType: "text/plain") }
            guard let reason = await api.unreadiness() else {
                return Self.response(.ok, "ready\n", contentType: "text/plain")
            }
            return Self.response(.serviceUnavailable, "\(reason)\n", contentType: "text/plain")
        case .metrics:
            var metrics = PrometheusText()
            Metrics.write(coordinator.status(), to: &metrics)
            await api.moreMetrics(&metrics)
            return Self.response(.ok, metrics.text, contentType: PrometheusText.contentType)
        case .status: return try Self.json(coordinator.status())
        case .gates: return try Self.json(await coordinator.gates())
        case .instances: return try Self.json(coordinator.instances())
        case .proxies: return try Self.json(coordinator.proxies())
        case .forget(let name):
            try coordinator.forget(proxy: name, by: nil, from: context.from)
            return Self.response(.noContent, "")
        case .report(let name):
            let report: ProxyReport = try await body(request)
            guard report.name == name else {
                throw APIProblem(code: .invalid, message: "the report is of '\(report.name)', the path says '\(name)'")
            }
            return try Self.json(try coordinator.accept(report))
        case .journal(let after, let limit, let wait):
            return try Self.json(try await coordinator.journalEntries(after: after, limit: limit, wait: wait))
        case .start:
            let operation: OperationRequest = try await body(request)
            return try Self.json(try await coordinator.submit(operation, from: context.from), .accepted)
        case .operation(let id, let wait):
            guard let status = try await coordinator.operation(id, wait: wait) else {
                throw Failure(APIProblem(code: .invalid, message: "there is no operation \(id)"), .notFound)
            }
            return try Self.json(status)
        case .currentOperation:
            guard let status = coordinator.currentOperation() else { return Self.response(.noContent, "") }
            return try Self.json(status)
        case .explain:
            let explain: ExplainRequest = try await body(request)
            return try Self.json(await coordinator.explain(session: explain.id))
        case .automation:
            return try Self.json(try coordinator.setAutomation(try await body(request), from: context.from))
        case .table(let after, let wait):
            guard let table = try await coordinator.table(newerThan: after, patience: wait) else {
                return Self.response(.noContent, "")
            }
            return try Self.json(table)
        }
    }

    // MARK: Bodies

    private func body<Value: Decodable>(_ request: Request) async throws -> Value {
        var request = request
        let buffer: ByteBuffer
        do {
            buffer = try await request.collectBody(upTo: CoordinatorAPI.bodyBytesLimit)
        } catch {
            throw Failure(
                APIProblem(code: .invalid, message: "the body has more than \(CoordinatorAPI.bodyBytesLimit) bytes"),
                .contentTooLarge)
        }
        do {
            return try ControlJSON.decode(Value.self, from: String(buffer: buffer))
        } catch {
            throw APIProblem(code: .invalid, message: "the body: \(ControlJSON.describe(error))")
        }
    }

    private static func json(_ value: some Encodable, _ status: HTTPResponse.Status = .ok) throws -> Response {
        response(status, try ControlJSON.text(value), contentType: "application/json")
    }

    static func problem(_ problem: APIProblem, _ status: HTTPResponse.Status? = nil) -> Response {
        let status = status ?? (problem.code == .locked || problem.code == .refused ? .conflict : .badRequest)
        let text = (try? ControlJSON.text(problem)) ?? "{}"
        return response(status, text, contentType: "application/json")
    }

    private static func response(
        _ status: HTTPResponse.Status, _ text: String, contentType: String? = nil
    ) -> Response {
        var headers = HTTPFields()
        if let contentType { headers[.contentType] = contentType }
        headers[.cacheControl] = "no-store"
        headers[.xContentTypeOptions] = "nosniff"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}

extension HTTPField.Name {
    fileprivate static let unstickClient = HTTPField.Name("Unstick-Client")!
    fileprivate static let secFetchSite = HTTPField.Name("Sec-Fetch-Site")!
}
