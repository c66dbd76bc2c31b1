/// A cookie as it is presented: `name=value`.
package struct Cookie: Sendable, Equatable {
    package var name: String
    package var value: String

    package init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// One client's cookies: what RFC 6265 section 5 asks of a user agent, for a single site.
///
/// `Domain` is ignored: all addresses of a run are one site (cookies don't tell ports apart, section 8.5). `Secure`
/// is ignored too: a soak stands where TLS already ended.
package struct CookieJar: Sendable {
    private struct Entry {
        var cookie: Cookie
        var path: String
        /// On the caller's clock, in seconds; nil: until the run ends.
        var expires: Int64?
    }

    /// RFC 6265 section 6.1 asks for at least these.
    private static let cookiesLimit = 50
    private static let bytesLimit = 4096

    private var entries: [Entry] = []
    /// Grows with every change of what is presented.
    package private(set) var revision = 0

    package init() {}

    package var cookies: [Cookie] { entries.map(\.cookie) }

    package mutating func removeAll() {
        entries = []
        revision += 1
    }

    /// Takes one `Set-Cookie` value.
    ///
    /// - Parameters:
    ///   - field: the header's value. A malformed one is ignored, as section 5.2 says.
    ///   - requestPath: path of the request that was answered, without the query.
    ///   - now: Unix time in seconds.
    /// - Returns: the cookie, when it was stored.
    @discardableResult
    package mutating func store(_ field: String, requestPath: String, now: Int64) -> Cookie? {
        guard field.utf8.count <= Self.bytesLimit else { return nil }
        var parts = field.split(separator: ";", omittingEmptySubsequences: false)[...]
        guard let pair = parts.popFirst(), let equals = pair.firstIndex(of: "=") else { return nil }
        let cookie = Cookie(name: trim(pair[..<equals]), value: trim(pair[pair.index(after: equals)...]))
        guard !cookie.name.isEmpty else { return nil }

        var path = Self.defaultPath(requestPath)
        var expires: Int64?
        var maxAge: Int64?
        for part in parts {
            let attribute = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = attribute.count == 2 ? trim(attribute[1]) : ""
            switch trim(attribute[0]).lowercased() {
            case "path": path = value.hasPrefix("/") ? value : Self.defaultPath(requestPath)
            case "max-age": maxAge = Int64(value) ?? maxAge
            case "expires": expires = CookieDate.seconds(value) ?? expires
            default: break
            }
        }
        // Max-Age has precedence (section 5.3 step 3).
        if let maxAge { expires = maxAge <= 0 ? Int64.min : now + min(maxAge, 1 << 40) }
        let index = entries.firstIndex { $0.cookie.name == cookie.name && $0.path == path }
        if let expires, expires <= now {
            if let index {
                entries.remove(at: index)
                revision += 1
            }
            return nil
        }
        let entry = Entry(cookie: cookie, path: path, expires: expires)
        if let index {
            if entries[index].cookie != cookie { revision += 1 }
            entries[index] = entry
        } else {
            guard entries.count < Self.cookiesLimit else { return nil }
            entries.append(entry)
            revision += 1
        }
        return cookie
    }

    /// Drops what has expired.
    package mutating func expire(now: Int64) {
        guard entries.contains(where: { $0.expires.map { $0 <= now } ?? false }) else { return }
        entries.removeAll { $0.expires.map { $0 <= now } ?? false }
        revision += 1
    }

    /// The cookies for a request path, longest `Path` first (section 5.4).
    package func cookies(path: String) -> [Cookie] {
        let matching = entries.filter { Self.matches(path, cookiePath: $0.path) }
        guard matching.count > 1 else { return matching.map(\.cookie) }
        // Stable: by position among equal lengths, as creation order demands.
        return matching.enumerated().sorted {
            ($1.element.path.utf8.count, $0.offset) < ($0.element.path.utf8.count, $1.offset)
        }.map(\.element.cookie)
    }

    /// The `Cookie` header; nil for no cookies.
    package static func header(_ cookies: [Cookie]) -> String? {
        cookies.isEmpty ? nil : cookies.map { "\($0.name)=\($0.value)" }.joined(separator: "; ")
    }

    /// Section 5.1.4.
    private static func defaultPath(_ requestPath: String) -> String {
        guard requestPath.hasPrefix("/"), let last = requestPath.lastIndex(of: "/"), last != requestPath.startIndex
        else {
            return "/"
        }
        return String(requestPath[..<last])
    }

    /// Section 5.1.4, path-match.
    private static func matches(_ path: String, cookiePath: String) -> Bool {
        guard path.hasPrefix(cookiePath) else { return false }
        return path.utf8.count == cookiePath.utf8.count || cookiePath.hasSuffix("/")
            || path.dropFirst(cookiePath.count).hasPrefix("/")
    }
}

private func trim(_ text: Substring) -> String {
    var text = text
    while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
    while let last = text.last, last == " " || last == "\t" { text.removeLast() }
    return String(text)
}

/// Dates in `Expires` (RFC 6265 section 5.1.1).
enum CookieDate {
    /// Unix time in seconds; nil when the text is no date.
    static func seconds(_ text: String) -> Int64? {
        var day: Int64?
        var month: Int64?
        var year: Int64?
        var time: Int64?
        for token in text.split(whereSeparator: { " ,-\t".contains($0) }) {
            if time == nil, let found = clock(token) {
                time = found
            } else if day == nil, token.utf8.count <= 2, let number = Int64(token) {
                day = number
            } else if month == nil, let index = months.firstIndex(of: token.prefix(3).lowercased()) {
                month = Int64(index) + 1
            } else if year == nil, token.utf8.count == 2 || token.utf8.count == 4, let number = Int64(token) {
                year = token.utf8.count == 4 ? number : number + (number < 70 ? 2000 : 1900)
            }
        }
        guard let day, let month, let year, let time, (1...31).contains(day), year >= 1601 else { return nil }
        return daysSince1970(year: year, month: month, day: day) * 86_400 + time
    }

    private static let months = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ]

    private static func clock(_ token: Substring) -> Int64? {
        let fields = token.split(separator: ":", omittingEmptySubsequences: false).map { Int64($0) }
        guard fields.count == 3, let hour = fields[0], let minute = fields[1], let second = fields[2],
            (0...23).contains(hour), (0...59).contains(minute), (0...59).contains(second)
        else { return nil }
        return hour * 3600 + minute * 60 + second
    }

    /// Proleptic Gregorian calendar, counted in years that begin in March, so that a leap day ends one.
    private static func daysSince1970(year: Int64, month: Int64, day: Int64) -> Int64 {
        let marchYear = month <= 2 ? year - 1 : year
        let era = marchYear / 400
        let yearOfEra = marchYear - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}
