import ControlAPI
import UnstickCore

/// A request to the admin address, understood: pure, so that every route is tested without a server.
enum AdminRoute: Equatable {
    case health
    case ready
    case metrics
    case status
    case gates
    case instances
    case proxies
    case forget(proxy: String)
    case report(proxy: String)
    case journal(after: Int64, limit: Int, wait: Duration)
    case start
    case operation(Int64, wait: Duration)
    case currentOperation
    case explain
    case automation
    case table(after: Epoch?, wait: Duration)

    enum Failure: Error, Equatable {
        /// 404
        case unknown
        /// 405, with what is allowed.
        case method(allowed: String)
        /// 400
        case parameter(String)
    }

    /// Longest wait of a long poll, seconds.
    static let waitMax: Int64 = 60
    static let journalLimitMax = 1000

    /// - Parameter path: percent-decoded segments, without the empty ones at both ends.
    init(method: String, path: [String], query: [String: String]) throws(Failure) {
        switch (path.first, path.dropFirst().first, path.dropFirst(2).first, path.count) {
        case ("healthz", nil, nil, 1): self = try Self.get(method, .health)
        case ("readyz", nil, nil, 1): self = try Self.get(method, .ready)
        case ("metrics", nil, nil, 1): self = try Self.get(method, .metrics)
        case ("v1", "status", nil, 2): self = try Self.get(method, .status)
        case ("v1", "gates", nil, 2): self = try Self.get(method, .gates)
        case ("v1", "instances", nil, 2): self = try Self.get(method, .instances)
        case ("v1", "proxies", nil, 2): self = try Self.get(method, .proxies)
        case ("v1", "proxies", let name?, 3):
            guard method == "DELETE" else { throw .method(allowed: "DELETE") }
            self = .forget(proxy: name)
        case ("v1", "proxies", let name?, 4) where path[3] == "report":
            self = try Self.post(method, .report(proxy: name))
        case ("v1", "journal", nil, 2):
            self = try Self.get(
                method,
                .journal(
                    after: Self.number(query, "after", 0, 0...Int64.max) ?? 0,
                    limit: Int(Self.number(query, "limit", 100, 1...Int64(Self.journalLimitMax)) ?? 100),
                    wait: Self.wait(query)))
        case ("v1", "operations", nil, 2): self = try Self.post(method, .start)
        case ("v1", "operations", "current", 3): self = try Self.get(method, .currentOperation)
        case ("v1", "operations", let text?, 3):
            guard let id = Int64(text), id > 0 else { throw .unknown }
            self = try Self.get(method, .operation(id, wait: Self.wait(query)))
        case ("v1", "sessions", "explain", 3): self = try Self.post(method, .explain)
        case ("v1", "automation", nil, 2): self = try Self.post(method, .automation)
        case ("v1", "table", nil, 2):
            let after = try Self.number(query, "after", nil, 0...Int64.max)
            self = try Self.get(method, .table(after: after.map { Epoch(UInt64($0)) }, wait: Self.wait(query)))
        default: throw .unknown
        }
    }

    /// Whether it changes or reveals something that a page of another site must not reach through a browser.
    var demandsClient: Bool {
        switch self {
        case .forget, .report, .start, .explain, .automation: true
        default: false
        }
    }

    /// Liveness and readiness say nothing that needs a token.
    var isOpen: Bool { self == .health || self == .ready }

    private static func get(_ method: String, _ route: AdminRoute) throws(Failure) -> AdminRoute {
        guard method == "GET" || method == "HEAD" else { throw .method(allowed: "GET, HEAD") }
        return route
    }

    private static func post(_ method: String, _ route: AdminRoute) throws(Failure) -> AdminRoute {
        guard method == "POST" else { throw .method(allowed: "POST") }
        return route
    }

    private static func wait(_ query: [String: String]) throws(Failure) -> Duration {
        .seconds(try number(query, "wait", 0, 0...waitMax) ?? 0)
    }

    private static func number(
        _ query: [String: String], _ key: String, _ fallback: Int64?, _ range: ClosedRange<Int64>
    ) throws(Failure) -> Int64? {
        guard let text = query[key] else { return fallback }
        guard let value = Int64(text), range.contains(value) else {
            throw .parameter("\(key)=\(text.prefix(40)): expected \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }
}
