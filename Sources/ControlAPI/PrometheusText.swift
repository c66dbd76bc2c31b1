/// Writes metrics in Prometheus's text exposition format, version 0.0.4.
///
/// A family's samples stand together below its `# HELP` and `# TYPE` lines, as the format demands; a family without
/// samples is left out. Names follow the naming practices: base units (`_seconds`, `_bytes`), `_total` on counters.
public struct PrometheusText: Sendable {
    /// Value of `Content-Type`.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    public enum Kind: String, Sendable { case counter, gauge, histogram }

    public typealias Labels = KeyValuePairs<String, String>

    /// What has been written.
    public private(set) var text = ""

    public init() {}

    /// Begins a family. A family is written once.
    /// - Parameter body: writes the samples.
    public mutating func family(
        _ name: String, _ kind: Kind, _ help: String, _ body: (inout Family) -> Void
    ) {
        var family = Family(name: name)
        body(&family)
        guard !family.lines.isEmpty else { return }
        text += "# HELP \(name) \(Self.escapedHelp(help))\n# TYPE \(name) \(kind.rawValue)\n"
        text += family.lines
    }

    public mutating func gauge(_ name: String, _ help: String, _ value: Int) {
        family(name, .gauge, help) { $0.sample([:], value) }
    }

    public mutating func gauge(_ name: String, _ help: String, _ value: Double) {
        family(name, .gauge, help) { $0.sample([:], value) }
    }

    public mutating func counter(_ name: String, _ help: String, _ value: UInt64) {
        family(name, .counter, help) { $0.sample([:], value) }
    }

    /// The samples of one family.
    public struct Family: Sendable {
        let name: String
        fileprivate var lines = ""

        public mutating func sample(_ labels: Labels, _ value: some FixedWidthInteger) {
            line("", labels, extra: nil, "\(value)")
        }

        public mutating func sample(_ labels: Labels, _ value: Double) {
            line("", labels, extra: nil, PrometheusText.number(value))
        }

        /// A histogram's lines: one cumulative bucket per bound and `+Inf`, sum, count.
        /// - Parameters:
        ///   - bounds: upper, inclusive bounds in ascending order, without `+Inf`.
        ///   - counts: observations per bucket, not cumulative; one more than bounds.
        public mutating func histogram(_ labels: Labels, bounds: [Double], counts: [UInt64], sum: Double) {
            precondition(counts.count == bounds.count + 1)
            var total: UInt64 = 0
            for (bound, count) in zip(bounds, counts) {
                total += count
                line("_bucket", labels, extra: ("le", PrometheusText.number(bound)), "\(total)")
            }
            total += counts[bounds.count]
            line("_bucket", labels, extra: ("le", "+Inf"), "\(total)")
            line("_sum", labels, extra: nil, PrometheusText.number(sum))
            line("_count", labels, extra: nil, "\(total)")
        }

        private mutating func line(
            _ suffix: String, _ labels: Labels, extra: (String, String)?, _ value: String
        ) {
            lines += name
            lines += suffix
            var separator = "{"
            for (key, value) in labels {
                lines += "\(separator)\(key)=\"\(PrometheusText.escapedLabel(value))\""
                separator = ","
            }
            if let extra {
                lines += "\(separator)\(extra.0)=\"\(extra.1)\""
                separator = ","
            }
            if separator == "," { lines += "}" }
            lines += " \(value)\n"
        }
    }

    /// Whole numbers without a fraction, as client libraries write them.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value.rounded() == value, value.magnitude < 1e15 { return "\(Int64(value))" }
        return "\(value)"
    }

    /// A label's value: backslash, quote and line feed are escaped.
    static func escapedLabel(_ value: String) -> String {
        guard value.utf8.contains(where: { $0 == 0x5c || $0 == 0x22 || $0 == 0x0a }) else { return value }
        return value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }

    /// A help text: backslash and line feed are escaped.
    static func escapedHelp(_ value: String) -> String {
        value.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
    }
}
