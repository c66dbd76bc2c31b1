import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix

/// One visitor: sends its cookies and keeps those it gets, by name. Follows no redirect.
struct Browser {
    struct Answer: Sendable {
        var status: Int
        var headers: HTTPHeaders
        var body: String
        /// The instance that served it.
        var servedBy: String? { headers.first(name: "X-Served-By") }
    }

    /// Never shut down: it lives as long as the tests.
    static let http = HTTPClient(
        eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
        configuration: {
            var configuration = HTTPClient.Configuration()
            configuration.redirectConfiguration = .disallow
            configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 64
            // An instance that was killed must not be met again through a kept connection.
            configuration.connectionPool.idleTimeout = .seconds(2)
            return configuration
        }())

    var address: String
    var cookies: [String: String] = [:]

    init(_ address: String) { self.address = address }

    static func get(_ url: String) async throws -> Answer {
        var browser = Browser(url)
        return try await browser.send(.GET, "")
    }

    mutating func get(_ path: String) async throws -> Answer { try await send(.GET, path) }

    mutating func post(_ path: String, form: [(String, String)] = []) async throws -> Answer {
        try await send(.POST, path, form: form)
    }

    mutating func send(
        _ method: HTTPMethod, _ path: String, form: [(String, String)] = [], headers: [(String, String)] = [],
        timeout: TimeAmount = .seconds(30)
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: address + path)
        request.method = method
        if !cookies.isEmpty {
            request.headers.add(name: "Cookie", value: cookies.map { "\($0)=\($1)" }.joined(separator: "; "))
        }
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if !form.isEmpty {
            request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
            let body = form.map { "\(Self.escaped($0))=\(Self.escaped($1))" }.joined(separator: "&")
            request.body = .bytes(ByteBuffer(string: body))
        } else if method == .POST {
            request.headers.add(name: "Content-Length", value: "0")
        }
        let response = try await Self.http.execute(request, timeout: timeout)
        for field in response.headers["Set-Cookie"] { keep(field) }
        let body = try await response.body.collect(upTo: 64 << 20)
        return Answer(status: Int(response.status.code), headers: response.headers, body: String(buffer: body))
    }

    private mutating func keep(_ field: String) {
        let parts = field.split(separator: ";")
        guard let pair = parts.first, let equals = pair.firstIndex(of: "=") else { return }
        let name = String(pair[..<equals]).trimmingPrefix(while: { $0 == " " })
        let value = String(pair[pair.index(after: equals)...])
        let isGone = value.isEmpty || value == "\"\"" || parts.dropFirst().contains { $0.lowercased() == " max-age=0" }
        cookies[String(name)] = isGone ? nil : value
    }

    /// RFC 3986's unreserved characters stay.
    private static func escaped(_ text: String) -> String {
        text.utf8.map { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                String(UnicodeScalar(byte))
            default: byte < 16 ? "%0\(String(byte, radix: 16))" : "%\(String(byte, radix: 16))"
            }
        }.joined()
    }
}
