extension ValueKind where Value == Bool {
    static var truth: ValueKind {
        .scalar("true or false", format: { String($0) }) { value in
            switch value.text {
            case "true" where value.isPlain: .success(true)
            case "false" where value.isPlain: .success(false)
            default: .failure(ValueRefusal("is neither"))
            }
        }
    }
}

extension ValueKind where Value: RawRepresentable, Value.RawValue == String {
    /// One word of a fixed set.
    static func word(_ values: [Value], unavailable: String? = nil) -> ValueKind {
        let words = values.map(\.rawValue)
        let expected = words.count == 1 ? words[0] : "one of " + words.joined(separator: ", ")
        return .scalar(expected, format: \.rawValue) { value in
            if let match = Value(rawValue: value.text), words.contains(value.text) { return .success(match) }
            let nearest = NearestWord.nearest(to: value.text, among: words)
            return .failure(
                ValueRefusal(
                    unavailable ?? "is not known here",
                    suggestion: nearest.map { "did you mean '\($0)'?" }
                )
            )
        }
    }
}

extension ValueKind where Value == String {
    /// A text whose bytes all satisfy a rule.
    private static func text(
        _ expected: String,
        most length: Int,
        reason: String,
        where allowed: @escaping (String) -> Bool
    ) -> ValueKind {
        .scalar(expected, format: \.self) { value in
            guard !value.text.isEmpty else { return .failure(ValueRefusal("is empty")) }
            guard value.text.utf8.count <= length else {
                return .failure(ValueRefusal("is longer than \(length) bytes"))
            }
            return allowed(value.text) ? .success(value.text) : .failure(ValueRefusal(reason))
        }
    }

    /// A name that stands in cookies, metrics, logs and on command lines.
    static var name: ValueKind {
        text(
            "a name of letters, digits, '.', '_' and '-', up to 64 bytes, beginning with a letter or digit",
            most: 64,
            reason: "is not such a name"
        ) { name in
            name.utf8.allSatisfy { isAlphanumeric($0) || "._-".utf8.contains($0) }
                && isAlphanumeric(name.utf8.first ?? 0)
        }
    }

    /// A cookie's name: a token (RFC 6265 section 4.1.1).
    static var cookieName: ValueKind {
        text(
            "a cookie name (RFC 6265 token), up to 128 bytes", most: 128, reason: "is not a cookie name", where: isToken
        )
    }

    /// A header field's name (RFC 9110 section 5.1), except those that only proxy and bridge use.
    static var fieldName: ValueKind {
        text(
            "a header name (RFC 9110 token) that does not begin with Unstick-, up to 128 bytes",
            most: 128,
            reason: "is not such a header name"
        ) { isToken($0) && !$0.lowercased().replacing("_", with: "-").hasPrefix("unstick-") }
    }

    /// A query or path parameter's name; only characters that no client escapes (RFC 3986 section 2.3).
    static var parameterName: ValueKind {
        text(
            "a parameter name of letters, digits, '.', '_', '-' and '~', up to 128 bytes",
            most: 128,
            reason: "is not such a parameter name"
        ) { $0.utf8.allSatisfy { isAlphanumeric($0) || "._-~".utf8.contains($0) } }
    }

    /// The path of a health check: origin-form (RFC 9112 section 3.2.1).
    static var target: ValueKind {
        text("a path that begins with '/', up to 1024 bytes", most: 1024, reason: "is not such a path") { path in
            path.first == "/" && path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") }
        }
    }

    /// A cookie's `Path` (RFC 6265 section 4.1.1).
    static var cookiePath: ValueKind {
        text("a path that begins with '/', without ';', up to 1024 bytes", most: 1024, reason: "is not such a path") {
            path in
            path.first == "/" && path.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ";") }
        }
    }

    /// A cookie's `Domain` (RFC 6265 section 4.1.2.3).
    static var domain: ValueKind {
        text("a domain such as example.com", most: 253, reason: "is not a domain") {
            SocketEndpoint.isHostName($0[...])
        }
    }

    /// A file's path; resolved later against the configuration's folder.
    static var filePath: ValueKind {
        text("a file's path", most: 4096, reason: "is not a path") { !$0.utf8.contains(0) }
    }

    /// A host name for the resolver.
    static var discoveredHost: ValueKind {
        text("a host name such as app.internal", most: 253, reason: "is not a host name") {
            SocketEndpoint.isHostName($0[...])
        }
    }

    /// A backend's name in ingress-nginx.
    static var backendName: ValueKind {
        text("a name such as default-shop-80, up to 256 bytes", most: 256, reason: "is not such a name") {
            $0.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
        }
    }

    private static func isToken(_ text: String) -> Bool {
        text.utf8.allSatisfy { isAlphanumeric($0) || "!#$%&'*+-.^_`|~".utf8.contains($0) }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: false
        }
    }
}

extension ValueKind where Value == SocketEndpoint {
    /// Where to listen. A name could resolve to anything, so only `localhost` is accepted beside addresses.
    static var listenAddress: ValueKind {
        .scalar("ADDRESS:PORT\(ValueExamples.address)", format: \.description) { value in
            SocketEndpoint.parse(value.text).flatMap { endpoint in
                guard endpoint.address != nil || endpoint.host == "localhost" else {
                    return .failure(ValueRefusal("is not an address to listen on: '\(endpoint.host)' is a name"))
                }
                return .success(endpoint)
            }
        }
    }

    /// `http://HOST:PORT`, a final `/` forgiven.
    static var httpURL: ValueKind {
        .scalar("http://HOST:PORT", format: { "http://\($0)" }) { value in
            let text = value.text
            if text.lowercased().hasPrefix("https://") {
                return .failure(ValueRefusal("asks for TLS, which is not available here yet"))
            }
            guard text.lowercased().hasPrefix("http://") else { return .failure(ValueRefusal("is not an http URL")) }
            return authority(text.dropFirst("http://".count))
        }
    }

    fileprivate static func authority(_ text: Substring) -> Result<SocketEndpoint, ValueRefusal> {
        var authority = text
        if authority.last == "/" { authority.removeLast() }
        guard !authority.contains("@") else { return .failure(ValueRefusal("has a user in it")) }
        guard !authority.contains(where: { "/?#".contains($0) }) else {
            return .failure(ValueRefusal("has a path or query in it"))
        }
        return SocketEndpoint.parse(String(authority))
    }
}

/// Where an instance listens, and how it is spoken to.
struct InstanceLocation: CustomStringConvertible {
    var endpoint: SocketEndpoint
    var isSecure: Bool

    var description: String { "\(isSecure ? "https" : "http")://\(endpoint)" }
}

extension ValueKind where Value == InstanceLocation {
    /// `http://HOST:PORT` or `https://HOST:PORT`, a final `/` forgiven.
    static var instanceURL: ValueKind {
        .scalar("http://HOST:PORT or https://HOST:PORT", format: \.description) { value in
            let text = value.text
            let isSecure = text.lowercased().hasPrefix("https://")
            guard isSecure || text.lowercased().hasPrefix("http://") else {
                return .failure(ValueRefusal("is not an http or https URL"))
            }
            return ValueKind<SocketEndpoint>.authority(text.dropFirst(isSecure ? 8 : 7)).map {
                InstanceLocation(endpoint: $0, isSecure: isSecure)
            }
        }
    }
}

extension SocketEndpoint {
    fileprivate static func parse(_ text: String) -> Result<SocketEndpoint, ValueRefusal> {
        do throws(EndpointRefusal) {
            return .success(try SocketEndpoint(parsing: text))
        } catch {
            return .failure(ValueRefusal(ShownValue.text(error.description)))
        }
    }
}

extension ValueKind where Value == AddressRange {
    static var addressRange: ValueKind {
        .scalar("an address or a range such as 10.0.0.0/8 or fd00::/8", format: \.description) { value in
            AddressRange(value.text).map { .success($0) }
                ?? .failure(ValueRefusal("is not an address range (no bits may be set behind the prefix)"))
        }
    }
}

extension ValueKind where Value == Configuration.Store.Location {
    static var storeURL: ValueKind {
        .scalar("sqlite:FILE or memory:", format: \.description) { value in
            let text = value.text
            guard let colon = text.firstIndex(of: ":") else {
                let nearest =
                    ["memory", "sqlite"].contains(text)
                    ? "did you mean '\(text == "memory" ? "memory:" : "sqlite:unstick.db")'?" : nil
                return .failure(ValueRefusal("is not a store URL", suggestion: nearest))
            }
            let rest = text[text.index(after: colon)...]
            switch text[..<colon] {
            case "memory":
                return rest.isEmpty ? .success(.memory) : .failure(ValueRefusal("has something behind 'memory:'"))
            case "sqlite":
                guard !rest.isEmpty, !rest.utf8.contains(0) else { return .failure(ValueRefusal("names no file")) }
                // sqlite:///var/lib/x.db is a common spelling; sqlite://x.db has a host where the file should be.
                if rest.hasPrefix("///") { return .success(.sqlite(path: String(rest.dropFirst(2)))) }
                guard !rest.hasPrefix("//") else { return .failure(ValueRefusal("names a host")) }
                return .success(.sqlite(path: String(rest)))
            case let scheme:
                let nearest = NearestWord.nearest(to: String(scheme), among: ["sqlite", "memory"])
                return .failure(
                    ValueRefusal(
                        "is for a '\(ShownValue.text(String(scheme)))' store, which is not available yet",
                        suggestion: nearest.map { "did you mean '\($0):'?" }
                    )
                )
            }
        }
    }
}

extension Configuration.Store.Location: CustomStringConvertible {
    /// As it stands in the configuration.
    public var description: String {
        switch self {
        case .memory: "memory:"
        case .sqlite(let path): "sqlite:\(path)"
        }
    }
}
