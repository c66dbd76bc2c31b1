/// Chooses by the name that a client asks for (RFC 6066 section 3): the exact name, else a wildcard for its first label, else
/// the default. Case does not matter.
struct ServerNameTable<Value> {
    private var exact: [String: Value] = [:]
    /// By what follows `*.`.
    private var wildcards: [String: Value] = [:]
    /// For clients that name no server or an unknown one.
    var fallback: Value?

    init() {}

    /// Enters a name such as `example.com` or `*.example.com`. The first one of a name stays.
    mutating func insert(_ name: String, _ value: Value) {
        let name = Self.normalized(name)
        if name.hasPrefix("*.") {
            let suffix = String(name.dropFirst(2))
            if wildcards[suffix] == nil { wildcards[suffix] = value }
        } else if exact[name] == nil {
            exact[name] = value
        }
    }

    /// - Parameter isStrict: nothing for a client that names no server or an unknown one.
    func value(for name: String?, isStrict: Bool = false) -> Value? {
        guard let name, !name.isEmpty else { return isStrict ? nil : fallback }
        let normal = Self.normalized(name)
        if let value = exact[normal] { return value }
        // A wildcard stands for exactly one label (RFC 9525 section 6.3).
        if let dot = normal.firstIndex(of: "."), dot > normal.startIndex,
            let value = wildcards[String(normal[normal.index(after: dot)...])]
        {
            return value
        }
        return isStrict ? nil : fallback
    }

    /// Lower case, without the dot of the root.
    private static func normalized(_ name: String) -> String {
        var name = name.lowercased()
        if name.last == "." { name.removeLast() }
        return name
    }
}

extension ServerNameTable: Sendable where Value: Sendable {}
