/// A duration as people write it: `30s`, `5m`, `1h30m`, `250ms`, `2d`.
package struct TimeSpan: Sendable, Equatable {
    package var duration: Duration

    package init(_ duration: Duration) { self.duration = duration }

    /// Reads numbers, each with its unit (`ms`, `s`, `m`, `h`, `d`), the larger units first, each at most once; up to
    /// 400 days in all. Nil for anything else: a number without a unit is ambiguous.
    package init?(parsing text: String) {
        let units: [(name: String, milliseconds: Int64)] = [
            ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
        ]
        var rest = text[...]
        var total: Int64 = 0
        var smallest = -1
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { ("0"..."9").contains($0) }
            rest = rest.dropFirst(digits.count)
            let name = rest.prefix { !("0"..."9").contains($0) }
            rest = rest.dropFirst(name.count)
            guard let number = Int64(digits), number <= 400 * 86_400_000,
                let unit = units.firstIndex(where: { $0.name == name }), unit > smallest
            else { return nil }
            smallest = unit
            let (product, overflows) = number.multipliedReportingOverflow(by: units[unit].milliseconds)
            guard !overflows, product <= 400 * 86_400_000 - total else { return nil }
            total += product
        }
        duration = .milliseconds(total)
    }

    /// Whole seconds, rounded up.
    package var wholeSeconds: Int {
        let (seconds, attoseconds) = duration.components
        return Int(attoseconds > 0 ? seconds + 1 : seconds)
    }

    /// For people: `850 ms`, `3 s`, `2 min 5 s`, `1 h 20 min`, `3 d 4 h`. Rounded down.
    package static func words(milliseconds: Int64) -> String {
        let milliseconds = max(0, milliseconds)
        if milliseconds < 1000 { return "\(milliseconds) ms" }
        let seconds = milliseconds / 1000
        func two(_ large: Int64, _ largeUnit: String, _ small: Int64, _ smallUnit: String) -> String {
            small == 0 ? "\(large) \(largeUnit)" : "\(large) \(largeUnit) \(small) \(smallUnit)"
        }
        switch seconds {
        case ..<60: return "\(seconds) s"
        case ..<3600: return two(seconds / 60, "min", seconds % 60, "s")
        case ..<86_400: return two(seconds / 3600, "h", seconds / 60 % 60, "min")
        default: return two(seconds / 86_400, "d", seconds / 3600 % 24, "h")
        }
    }
}
