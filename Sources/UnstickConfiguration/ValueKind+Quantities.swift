extension ValueKind where Value == Int {
    /// A whole number without a unit.
    static func count(_ range: ClosedRange<Int>) -> ValueKind {
        let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        return .scalar(expected, format: { String($0) }) { value in
            let digits = value.text.first == "-" ? value.text.dropFirst() : value.text[...]
            guard value.isPlain, !digits.isEmpty, digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
                return .failure(ValueRefusal("is not a whole number"))
            }
            guard let number = Int(value.text), range.contains(number) else {
                return .failure(ValueRefusal("is outside \(range.lowerBound) to \(range.upperBound)"))
            }
            return .success(number)
        }
    }

    /// A number of bytes with a unit.
    static func size(_ range: ClosedRange<Int>) -> ValueKind {
        let bounds = "\(Quantity.size(range.lowerBound)) to \(Quantity.size(range.upperBound))"
        return .scalar("a size from \(bounds)\(ValueExamples.size)", format: Quantity.size) { value in
            Quantity.read(value.text, units: Quantity.sizeUnits, noun: "a size").flatMap { bytes in
                range.contains(bytes) ? .success(bytes) : .failure(ValueRefusal("is outside \(bounds)"))
            }
        }
    }
}

extension ValueKind where Value == Duration {
    /// A time span with a unit; milliseconds are the finest.
    static func duration(_ range: ClosedRange<Duration>) -> ValueKind {
        let bounds = "\(Quantity.duration(range.lowerBound)) to \(Quantity.duration(range.upperBound))"
        return .scalar("a duration from \(bounds)\(ValueExamples.duration)", format: Quantity.duration) {
            value in
            Quantity.read(value.text, units: Quantity.durationUnits, noun: "a duration").flatMap { milliseconds in
                let duration = Duration.milliseconds(milliseconds)
                return range.contains(duration) ? .success(duration) : .failure(ValueRefusal("is outside \(bounds)"))
            }
        }
    }
}

/// Numbers with units.
enum Quantity {
    /// In milliseconds, ascending.
    static let durationUnits = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)]
    /// In bytes. Binary and decimal prefixes (IEC 80000-13, SI).
    static let sizeUnits = [
        ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("kB", 1000), ("KB", 1000), ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ]

    /// Reads digits followed at once by a unit. 0 needs none; any other bare number is refused, because nobody knows
    /// whether it meant seconds or milliseconds.
    static func read(_ text: String, units: [(name: String, factor: Int)], noun: String) -> Result<Int, ValueRefusal> {
        let digits = text.prefix { $0 >= "0" && $0 <= "9" }
        let unit = text[digits.endIndex...]
        guard !digits.isEmpty else { return .failure(ValueRefusal("is not \(noun)")) }
        guard let number = Int(digits) else { return .failure(ValueRefusal("is too large")) }
        if unit.isEmpty {
            guard number != 0 else { return .success(0) }
            return .failure(ValueRefusal("has no unit"))
        }
        guard let factor = units.first(where: { $0.name == unit })?.factor else {
            let same = units.first { $0.name.lowercased() == unit.lowercased() }
            return .failure(
                ValueRefusal(
                    unit.first == "."
                        ? "is not a whole number with a unit"
                        : "has the unknown unit '\(ShownValue.text(String(unit)))'",
                    suggestion: same.map { "did you mean '\(digits)\($0.name)'?" }
                )
            )
        }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        // Far above every range here, and small enough for a Duration.
        guard !overflow, product <= 1 << 53 else { return .failure(ValueRefusal("is too large")) }
        return .success(product)
    }

    /// In the largest unit that divides it.
    static func duration(_ value: Duration) -> String {
        let (seconds, attoseconds) = value.components
        let milliseconds = Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000)
        guard milliseconds != 0 else { return "0" }
        let unit = durationUnits.last { milliseconds % $0.1 == 0 } ?? durationUnits[0]
        return "\(milliseconds / unit.1)\(unit.0)"
    }

    /// In the largest binary unit that divides it.
    static func size(_ bytes: Int) -> String {
        guard bytes != 0 else { return "0" }
        let unit = sizeUnits[..<4].last { bytes % $0.1 == 0 } ?? sizeUnits[0]
        return "\(bytes / unit.1)\(unit.0)"
    }
}
