extension ValueKind where Value == Int {
    /// `20%`, as 20.
    static func percent(_ range: ClosedRange<Int>) -> ValueKind {
        let bounds = "\(range.lowerBound)% to \(range.upperBound)%"
        return .scalar("a percentage from \(bounds)", format: { "\($0)%" }) { value in
            guard value.text.last == "%", let number = Quantity.digits(value.text.dropLast()) else {
                return .failure(ValueRefusal("is not a whole number with %"))
            }
            return range.contains(number) ? .success(number) : .failure(ValueRefusal("is outside \(bounds)"))
        }
    }

    /// `500B/s` or `1KiB/s`, as bytes.
    static func byteRate(_ range: ClosedRange<Int>) -> ValueKind {
        let bounds = "\(Quantity.size(range.lowerBound))/s to \(Quantity.size(range.upperBound))/s"
        return .scalar("a rate from \(bounds)\(ValueExamples.byteRate)", format: { "\(Quantity.size($0))/s" }) {
            value in
            guard value.text.hasSuffix("/s") || value.text == "0" else {
                return .failure(ValueRefusal("is not a size with /s"))
            }
            let size = value.text.hasSuffix("/s") ? String(value.text.dropLast(2)) : value.text
            return Quantity.read(size, units: Quantity.sizeUnits, noun: "a size with /s").flatMap { bytes in
                range.contains(bytes) ? .success(bytes) : .failure(ValueRefusal("is outside \(bounds)"))
            }
        }
    }

    /// `1.9`, as 19.
    static func tenths(_ range: ClosedRange<Int>) -> ValueKind {
        func shown(_ tenths: Int) -> String { "\(tenths / 10).\(tenths % 10)" }
        let bounds = "\(shown(range.lowerBound)) to \(shown(range.upperBound))"
        return .scalar("a number from \(bounds) with at most one decimal", format: shown) { value in
            let parts = value.text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
            guard let whole = Quantity.digits(parts[0]), whole <= 1_000_000,
                let part = parts.count == 1 ? 0 : Quantity.digits(parts[1]), parts.count == 1 || parts[1].count == 1
            else { return .failure(ValueRefusal("is not such a number")) }
            let tenths = whole * 10 + part
            return range.contains(tenths) ? .success(tenths) : .failure(ValueRefusal("is outside \(bounds)"))
        }
    }
}

extension ValueKind where Value == Configuration.Rate {
    /// `100/s`, `30/m` or `5/h`.
    static func rate(_ counts: ClosedRange<Int>) -> ValueKind {
        let bounds = "\(counts.lowerBound) to \(counts.upperBound)"
        return .scalar("\(bounds) requests per s, m or h, such as 100/s", format: \.description) { value in
            let parts = value.text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, let count = Quantity.digits(parts[0]) else {
                return .failure(ValueRefusal("is not a rate"))
            }
            guard let period = Configuration.Rate.Period(rawValue: String(parts[1])) else {
                return .failure(ValueRefusal("has the unknown period '\(ShownValue.text(String(parts[1])))'"))
            }
            guard counts.contains(count) else { return .failure(ValueRefusal("is outside \(bounds)")) }
            return .success(Configuration.Rate(count: count, period: period))
        }
    }
}

extension ValueKind where Value == ClosedRange<Int> {
    /// `204` or `200-399` (RFC 9110 section 15).
    static var statusRange: ValueKind {
        .scalar(
            "a status or a range such as 200-399, within 100 to 599",
            format: { $0.lowerBound == $0.upperBound ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
        ) { value in
            let parts = value.text.split(separator: "-", omittingEmptySubsequences: false)
            guard parts.count <= 2, let first = Quantity.digits(parts[0]),
                let last = parts.count == 1 ? first : Quantity.digits(parts[1])
            else { return .failure(ValueRefusal("is not a status")) }
            guard first >= 100, last <= 599 else { return .failure(ValueRefusal("is outside 100 to 599")) }
            guard first <= last else { return .failure(ValueRefusal("ends before it begins")) }
            return .success(first...last)
        }
    }
}

extension ValueKind where Value == String {
    /// A value of `Host` (RFC 9110 section 7.2), in the form of a name or IPv4 address.
    static var hostField: ValueKind {
        .scalar("a host such as shop.example or shop.example:8080", format: \.self) { value in
            let parts = value.text.split(separator: ":", omittingEmptySubsequences: false)
            let port = parts.count == 2 ? Quantity.digits(parts[1]) : 80
            guard parts.count <= 2, SocketEndpoint.isHostName(parts[0]), let port, (1...65535).contains(port),
                value.text.utf8.count <= 253
            else { return .failure(ValueRefusal("is not a host")) }
            return .success(value.text)
        }
    }

    /// A request method (RFC 9110 section 9.1): a token, and written as requests write it, in capitals.
    static var method: ValueKind {
        .scalar("a method such as GET, in capitals", format: \.self) { value in
            let isMethod = value.text.utf8.allSatisfy { (0x41...0x5a).contains($0) || $0 == 0x2d || $0 == 0x5f }
            guard !value.text.isEmpty, value.text.utf8.count <= 32, isMethod else {
                let upper = value.text.uppercased()
                return .failure(
                    ValueRefusal(
                        "is not such a method",
                        suggestion: upper != value.text && value.text.utf8.count <= 32
                            ? "did you mean '\(ShownValue.text(upper))'?" : nil))
            }
            return .success(value.text)
        }
    }

    /// The beginning of normalized paths: nothing in it that normalizing would change, or it could never fit.
    static var pathPrefix: ValueKind {
        let expected = "a path that begins with '/', decoded, without '//', dot segments, '?', '#', '%', ';' and '\\'"
        return .scalar(expected, format: \.self) { value in
            guard value.text.first == "/" else { return .failure(ValueRefusal("does not begin with '/'")) }
            guard value.text.utf8.count <= 1024 else { return .failure(ValueRefusal("is longer than 1024 bytes")) }
            let isClean = value.text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f && !"?#%;\\".utf8.contains($0) }
            let segments = value.text.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
            guard isClean, !value.text.contains("//"), !segments.contains("."), !segments.contains("..") else {
                return .failure(ValueRefusal("is not in normal form"))
            }
            return .success(value.text)
        }
    }
}

extension Quantity {
    /// A whole number of digits alone; nil for anything else or far too many.
    static func digits(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.count <= 12, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
            return nil
        }
        return Int(text)
    }
}
