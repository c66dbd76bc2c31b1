/// Who may use the admin address; pure.
package struct AdminAccess: Sendable {
    /// Required as `Authorization: Bearer`; nil: everybody on the loopback may.
    let token: String?
    /// Host names besides the loopback's that a request may name; a configured admin host.
    let hosts: Set<String>

    /// For an admin address with the token, or one that only this machine reaches.
    package init(token: String?, hosts: Set<String> = []) {
        self.token = token
        self.hosts = hosts
    }

    package enum Denial: Error, Equatable {
        /// 401
        case unauthorized
        /// 403: the Host header names something else, as after DNS rebinding.
        case foreignHost(String)
        /// 403: a form or a simple request of a web page.
        case crossSite
    }

    package struct Headers: Sendable {
        var authorization: String?
        var host: String?
        var contentType: String?
        var client: String?
        /// `Sec-Fetch-Site`, set by browsers only.
        var fetchSite: String?

        package init(
            authorization: String?, host: String?, contentType: String? = nil, client: String? = nil,
            fetchSite: String? = nil
        ) {
            self.authorization = authorization
            self.host = host
            self.contentType = contentType
            self.client = client
            self.fetchSite = fetchSite
        }
    }

    /// - Parameter isOpen: needs no token, only a name that is this machine's.
    package func check(isOpen: Bool, _ headers: Headers) throws(Denial) {
        if let token {
            guard isOpen || Self.isBearer(headers.authorization, token) else { throw .unauthorized }
        } else {
            let host = Self.hostName(headers.host ?? "")
            guard Self.isLoopback(host) || hosts.contains(host) else { throw .foreignHost(host) }
        }
    }

    func check(_ route: AdminRoute, _ headers: Headers) throws(Denial) {
        try check(isOpen: route.isOpen, headers)
        guard route.demandsClient else { return }
        let isJSON =
            headers.contentType?.prefix { $0 != ";" && $0 != " " }.lowercased() == "application/json"
        guard isJSON || headers.client != nil else { throw .crossSite }
        if let site = headers.fetchSite, site != "same-origin", site != "none" { throw .crossSite }
    }

    /// In constant time for equal lengths: the token's length is no secret.
    static func isBearer(_ value: String?, _ token: String) -> Bool {
        guard let value, value.count > 7, value.prefix(7).lowercased() == "bearer " else { return false }
        let presented = Array(value.dropFirst(7).utf8)
        let expected = Array(token.utf8)
        guard presented.count == expected.count else { return false }
        return zip(presented, expected).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    /// The name of a Host header, without the port, in lower case (RFC 9110 section 7.2).
    static func hostName(_ value: String) -> String {
        if value.hasPrefix("[") {
            return String(value.dropFirst().prefix { $0 != "]" }).lowercased()
        }
        return String(value.prefix { $0 != ":" }).lowercased()
    }

    /// `localhost`, 127.0.0.0/8, `::1`. A name like `127.evil.example` is not an address.
    static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
