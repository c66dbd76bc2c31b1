/// What a soak does: which addresses it drives, how hard, and for how long.
public struct SoakOptions: Sendable {
    /// Where the application is reached: `http://HOST[:PORT][/PREFIX]` or `https://…`, at least one, at most 64. All are
    /// the same application to a client: its cookies go to each of them.
    public var urls: [String]
    /// A PEM file of the authorities for `https` addresses; nil: the system's.
    public var authorityFile: String?
    /// Takes any certificate of `https` addresses.
    public var verifiesCertificates = true
    /// Whether every client walks through all addresses, one a request; otherwise each client stays at one.
    public var alternateURLs = false
    /// 1 to 10 000.
    public var clients = 64
    /// Time until clients stop beginning requests. What is in flight then, and the final reading of every counter, comes
    /// on top and is bounded by twice the request timeout.
    public var duration: Duration
    /// Requests after which the clients stop, all together; nil: no limit. Logout's own probes and the final reading
    /// are on top.
    public var maxRequests: Int?
    /// Time from sending a request to the end of its answer. 10 ms to 10 min.
    public var requestTimeout: Duration = .seconds(10)
    public var parallel = Parallelism.none
    /// Chance of each step to be a logout instead. 0 to 1.
    public var logoutProbability = 0.01
    /// Chance of each step to present a logged-out session's cookies instead, where the client has some. 0 to 1.
    public var ghostProbability = 0.02
    public var mix = Mix()
    /// Pause of a client between an answer and its next request, varied by half.
    public var thinkTime: Duration = .zero
    /// Requests a second of the whole run; nil: each client sends as soon as it has its answer and has thought.
    public var targetRate: Double?
    /// The same seed makes the same decisions, client by client.
    public var seed: UInt64 = 1
    /// The `Host` header; nil: the address's.
    public var hostHeader: String?
    public var userAgent = "unstick-soak/1"
    /// Threads that drive the clients. 1 to 64; one is enough for tens of thousands of requests a second.
    public var eventLoops = 1

    public init(urls: [String], duration: Duration) {
        self.urls = urls
        self.duration = duration
    }

    /// Requests of one session at the same time.
    public enum Parallelism: Sendable, Equatable {
        /// One after the other.
        case none
        /// This many at a time, each with a counter of its own (`?key=k0`, `?key=k1`, …). 1 to 64.
        case distinctKeys(Int)
        /// This many at a time on one counter: only for applications that guard their sessions against lost updates.
        case sameKey(Int)

        var lanes: Int {
            switch self {
            case .none: 1
            case .distinctKeys(let count), .sameKey(let count): count
            }
        }

        var keys: Int {
            if case .distinctKeys(let count) = self { count } else { 1 }
        }
    }

    /// Shares of requests, relative to each other.
    public struct Mix: Sendable, Equatable {
        public var increments: Int
        public var reads: Int

        public init(increments: Int = 3, reads: Int = 2) {
            self.increments = increments
            self.reads = reads
        }
    }

    /// Checks everything at once, so that a bad value is refused before the first request.
    /// - Returns: the addresses, parsed.
    package func validated() throws(SoakError) -> [SoakAddress] {
        func require(_ holds: Bool, _ name: String, _ value: some Any, _ range: String) throws(SoakError) {
            if !holds { throw SoakError.badOption(name: name, value: "\(value)", expected: range) }
        }
        try require((1...64).contains(urls.count), "urls", "\(urls.count) of them", "1 to 64 of them")
        try require((1...10_000).contains(clients), "clients", clients, "1 to 10000")
        try require(
            duration > .zero && duration <= .seconds(86_400 * 30), "duration", duration, "above 0, up to 30 days")
        try require(
            requestTimeout >= .milliseconds(10) && requestTimeout <= .seconds(600),
            "requestTimeout", requestTimeout, "10 ms to 10 min")
        try require((1...64).contains(parallel.lanes), "parallel", parallel.lanes, "1 to 64")
        try require((0...1).contains(logoutProbability), "logoutProbability", logoutProbability, "0 to 1")
        try require((0...1).contains(ghostProbability), "ghostProbability", ghostProbability, "0 to 1")
        try require(
            mix.increments >= 0 && mix.reads >= 0 && mix.increments + mix.reads > 0
                && mix.increments <= 1_000_000 && mix.reads <= 1_000_000,
            "mix", "\(mix.increments):\(mix.reads)", "shares from 0 to 1000000, not both 0")
        try require(
            thinkTime >= .zero && thinkTime <= .seconds(3600), "thinkTime", thinkTime, "0 to 1 h")
        if let maxRequests { try require(maxRequests >= 1, "maxRequests", maxRequests, "at least 1") }
        if let targetRate {
            try require(
                targetRate >= 0.001 && targetRate <= 1e7, "targetRate", targetRate, "0.001 to 10000000 a second")
        }
        try require((1...64).contains(eventLoops), "eventLoops", eventLoops, "1 to 64")
        for (name, text) in [("hostHeader", hostHeader ?? "x"), ("userAgent", userAgent)] {
            try require(
                !text.isEmpty && text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f },
                name, text.debugDescription, "printable ASCII")
        }
        var addresses: [SoakAddress] = []
        for url in urls { addresses.append(try SoakAddress(url)) }
        return addresses
    }
}

/// Why a soak did not start.
public enum SoakError: Error, Sendable, Equatable, CustomStringConvertible {
    /// An option is outside its range.
    case badOption(name: String, value: String, expected: String)
    /// An address cannot be used.
    case badURL(String, reason: String)
    /// `run` was called a second time.
    case alreadyRan

    public var description: String {
        switch self {
        case .badOption(let name, let value, let expected): "soak option \(name) is \(value); expected \(expected)"
        case .badURL(let url, let reason): "soak address \(url.debugDescription): \(reason)"
        case .alreadyRan: "this soak already ran; make a new one"
        }
    }
}

/// `http://HOST[:PORT][/PREFIX]` or `https://…`, taken apart.
package struct SoakAddress: Sendable, Equatable {
    package var isSecure: Bool
    package var host: String
    package var port: Int
    /// What `Host` says.
    package var authority: String
    /// Empty, or `/PREFIX` without a slash at its end.
    package var prefix: String

    package init(_ url: String) throws(SoakError) {
        isSecure = url.lowercased().hasPrefix("https://")
        guard isSecure || url.lowercased().hasPrefix("http://") else {
            throw SoakError.badURL(url, reason: "expected http:// or https://")
        }
        let rest = url.dropFirst(isSecure ? "https://".count : "http://".count)
        guard rest.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }), !rest.contains(where: { "?#@\\".contains($0) }) else {
            throw SoakError.badURL(url, reason: "expected host, port and path only")
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        authority = String(rest[..<slash])
        var path = rest[slash...]
        while path.hasSuffix("/") { path.removeLast() }
        prefix = String(path)

        var portText: Substring = isSecure ? "443" : "80"
        if authority.hasPrefix("[") {
            guard let bracket = authority.firstIndex(of: "]") else {
                throw SoakError.badURL(url, reason: "the bracket of the IPv6 address is not closed")
            }
            host = String(authority[authority.index(after: authority.startIndex)..<bracket])
            let after = authority[authority.index(after: bracket)...]
            guard after.isEmpty || after.hasPrefix(":") else {
                throw SoakError.badURL(
                    url, reason: "expected a port after the bracket, found \(after.debugDescription)")
            }
            if !after.isEmpty { portText = after.dropFirst() }
        } else {
            let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2 else {
                throw SoakError.badURL(url, reason: "an IPv6 address stands in brackets")
            }
            host = String(parts[0])
            if parts.count == 2 { portText = parts[1] }
        }
        guard !host.isEmpty else { throw SoakError.badURL(url, reason: "the host is missing") }
        guard portText.allSatisfy(\.isNumber), let port = Int(portText), (1...65_535).contains(port) else {
            throw SoakError.badURL(url, reason: "port \(portText.debugDescription) is not a number from 1 to 65535")
        }
        self.port = port
    }
}
