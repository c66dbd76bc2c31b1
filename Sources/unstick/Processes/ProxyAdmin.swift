import ControlAPI
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import UnstickConfiguration
import UnstickCoordinator
import UnstickProxy

/// The admin address of a proxy on its own: `/metrics`, `/healthz`, `/readyz`.
struct ProxyAdmin: Sendable {
    let host: String
    let port: Int
    let access: AdminAccess
    let proxy: Proxy
    let logger: Logger

    /// Nil when none is configured.
    init?(_ configuration: Configuration, proxy: Proxy) {
        guard let endpoint = configuration.proxy.admin else { return nil }
        host = endpoint.host
        port = endpoint.port
        let token = configuration.adminToken.map { String(decoding: $0.bytes, as: UTF8.self) }
        access = AdminAccess(token: token, hosts: [endpoint.host])
        self.proxy = proxy
        logger = configuration.log.logger("unstick.admin")
    }

    func run(onListening: @escaping @Sendable () async -> Void) async throws {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        let application = Application(
            responder: ProxyAdminResponder(admin: self),
            configuration: ApplicationConfiguration(address: .hostname(host, port: port), serverName: nil),
            onServerRunning: { _ in await onListening() }, logger: quiet)
        try await application.run()
    }
}

struct ProxyAdminResponder: HTTPResponder {
    typealias Context = BasicRequestContext

    let admin: ProxyAdmin

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        let path = request.uri.path
        guard ["/metrics", "/healthz", "/readyz"].contains(path) else {
            return Self.text(.notFound, "there is no \(path.prefix(80)); known are /metrics, /healthz and /readyz\n")
        }
        guard request.method == .get || request.method == .head else {
            var response = Self.text(.methodNotAllowed, "\(request.method.rawValue) is not for \(path)\n")
            response.headers[.allow] = "GET, HEAD"
            return response
        }
        do throws(AdminAccess.Denial) {
            try admin.access.check(
                isOpen: path != "/metrics",
                AdminAccess.Headers(authorization: request.headers[.authorization], host: request.head.authority))
        } catch {
            switch error {
            case .unauthorized: return Self.text(.unauthorized, "the admin token is missing or wrong\n")
            case .foreignHost(let host): return Self.text(.forbidden, "'\(host.prefix(80))' is not this proxy\n")
            case .crossSite: return Self.text(.forbidden, "refused\n")
            }
        }
        switch path {
        case "/metrics":
            var text = PrometheusText()
            await admin.proxy.writeMetrics(to: &text)
            ProcessUsage.current()?.write(to: &text)
            return Self.text(.ok, text.text, contentType: PrometheusText.contentType)
        case "/readyz":
            guard let reason = await admin.proxy.unreadiness() else { return Self.text(.ok, "ready\n") }
            return Self.text(.serviceUnavailable, "\(reason)\n")
        default: return Self.text(.ok, "ok\n")
        }
    }

    private static func text(
        _ status: HTTPResponse.Status, _ text: String, contentType: String = "text/plain; charset=utf-8"
    ) -> Response {
        var headers = HTTPFields()
        headers[.contentType] = contentType
        headers[.cacheControl] = "no-store"
        headers[.xContentTypeOptions] = "nosniff"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}

extension Serving.Part {
    static func proxyAdmin(_ admin: ProxyAdmin) -> Serving.Part {
        let service = ProxyAdminService(admin: admin)
        var settings = ServiceGroupConfiguration(
            services: [service], logger: Logger(label: "unstick.services") { _ in SwiftLogNoOpLogHandler() })
        settings.maximumGracefulShutdownDuration = .seconds(1)
        let group = ServiceGroup(configuration: settings)
        return Serving.Part(
            name: "proxy.admin", address: "\(SocketEndpoint(host: admin.host, port: admin.port))",
            run: { ready in
                service.onListening.withLock { $0 = ready }
                try await group.run()
            },
            stop: { Task { await group.triggerGracefulShutdown() } })
    }
}

private final class ProxyAdminService: Service {
    let admin: ProxyAdmin
    let onListening = Mutex<(@Sendable () -> Void)?>(nil)

    init(admin: ProxyAdmin) { self.admin = admin }

    func run() async throws {
        try await admin.run { self.onListening.withLock { $0 }?() }
    }
}
