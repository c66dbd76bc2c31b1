import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization
import UnstickSoak

/// A person with a browser: logs in to the shop's admin, puts a kettle into the cart, and comes back again and again.
final class AdminVisitor: Sendable {
    /// What a look at the shop found.
    enum Look: Sendable, Equatable {
        case loggedIn
        /// Why it counts as lost: a login page, another session cookie, an empty cart.
        case lost(String)
    }

    private struct Page {
        var status: Int
        var body: String
        var location: String?
    }

    private let url: String
    private let http: HTTPClient
    private let jar = Mutex(CookieJar())
    /// The session cookie of the login.
    private let session = Mutex<String?>(nil)

    private static let timeout = TimeAmount.seconds(10)
    private static let pageBytesLimit = 4 << 20

    /// - Parameter http: follows no redirects.
    init(url: String, http: HTTPClient) {
        self.url = url
        self.http = http
    }

    func logIn(user: String, password: String) async throws {
        let login = try await load(.GET, "/admin/login/?next=/admin/")
        guard let token = Self.formToken(login.body) else {
            throw DemoError.chapter("the admin's login page has no form (status \(login.status))")
        }
        let answer = try await load(
            .POST, "/admin/login/?next=/admin/",
            form: ["csrfmiddlewaretoken": token, "username": user, "password": password, "next": "/admin/"])
        guard answer.status == 302, answer.location == "/admin/" else {
            throw DemoError.chapter("logging in to the admin was answered with status \(answer.status)")
        }
        let catalogue = try await load(.GET, "/")
        guard let token = Self.formToken(catalogue.body) else {
            throw DemoError.chapter("the shop's catalogue has no form (status \(catalogue.status))")
        }
        let added = try await load(.POST, "/cart/add/kettle", form: ["csrfmiddlewaretoken": token])
        guard added.status == 302 else {
            throw DemoError.chapter("adding to the cart was answered with status \(added.status)")
        }
        session.withLock { $0 = sessionCookie }
        guard case .loggedIn = try await look() else {
            throw DemoError.chapter("the admin is not logged in right after the login")
        }
    }

    /// Loads the admin's page and the cart. As a person does, it loads a page again that a gateway could not deliver
    /// (502, 503, 504), for up to ten seconds; being asked to log in is a loss at once.
    func look() async throws -> Look {
        let admin = try await reload("/admin/")
        guard admin.status == 200, admin.body.contains("id=\"user-tools\""), admin.body.contains("admin/logout") else {
            return .lost(
                "/admin/ answered status \(admin.status)" + (admin.location == nil ? "" : " to the login page"))
        }
        let cart = try await reload("/cart/")
        guard cart.status == 200, cart.body.contains("Copper kettle") else {
            return .lost("the kettle is not in the cart any more (status \(cart.status))")
        }
        guard let now = sessionCookie, now == session.withLock(\.self) else {
            return .lost("the session cookie changed")
        }
        return .loggedIn
    }

    private var sessionCookie: String? {
        jar.withLock { jar in jar.cookies.first { $0.name == "sessionid" }?.value }
    }

    private func reload(_ path: String) async throws -> Page {
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(10)
        while true {
            let page: Page?
            do {
                page = try await load(.GET, path)
            } catch {
                // A broken connection; the browser shows its own page.
                try Task.checkCancellation()
                guard clock.now < deadline else { throw error }
                page = nil
            }
            if let page, ![502, 503, 504].contains(page.status) || clock.now >= deadline { return page }
            try await clock.sleep(for: .milliseconds(200))
        }
    }

    private func load(_ method: HTTPMethod, _ target: String, form: [String: String]? = nil) async throws -> Page {
        var request = HTTPClientRequest(url: url + target)
        request.method = method
        let path = String(target.prefix { $0 != "?" })
        if let cookies = jar.withLock({ CookieJar.header($0.cookies(path: path)) }) {
            request.headers.add(name: "Cookie", value: cookies)
        }
        request.headers.add(name: "User-Agent", value: "unstick-demo/1")
        if let form {
            request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
            request.headers.add(name: "Origin", value: url)
            request.body = .bytes(ByteBuffer(string: Self.encode(form)))
        }
        let response = try await http.execute(request, timeout: Self.timeout)
        let now = Int64(Date().timeIntervalSince1970)
        jar.withLock { jar in
            for field in response.headers["Set-Cookie"] { jar.store(field, requestPath: path, now: now) }
        }
        let body = try await response.body.collect(upTo: Self.pageBytesLimit)
        return Page(
            status: Int(response.status.code), body: String(buffer: body),
            location: response.headers.first(name: "Location"))
    }

    /// The hidden field that Django demands of every form.
    static func formToken(_ page: String) -> String? {
        guard let name = page.range(of: "name=\"csrfmiddlewaretoken\" value=\"") else { return nil }
        let rest = page[name.upperBound...]
        guard let quote = rest.firstIndex(of: "\"") else { return nil }
        return String(rest[..<quote])
    }

    /// `application/x-www-form-urlencoded`, everything but letters and digits escaped.
    static func encode(_ form: [String: String]) -> String {
        func escape(_ text: String) -> String {
            text.utf8.map { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    String(UnicodeScalar(byte))
                default: (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
                }
            }.joined()
        }
        return form.sorted { $0.key < $1.key }.map { "\(escape($0.key))=\(escape($0.value))" }.joined(separator: "&")
    }
}
