/// A trace's id (W3C Trace Context section 3.2.2.3): 16 bytes, not all zero.
public struct TraceID: Sendable, Hashable, CustomStringConvertible {
    public let high: UInt64
    public let low: UInt64

    /// Nil for zero, which the standard forbids.
    public init?(high: UInt64, low: UInt64) {
        guard high | low != 0 else { return nil }
        self.high = high
        self.low = low
    }

    /// 32 lower-case hexadecimal digits.
    public var description: String { SpanID.hex(high) + SpanID.hex(low) }
}

/// A span's id (W3C Trace Context section 3.2.2.4, "parent-id"): 8 bytes, not all zero.
public struct SpanID: Sendable, Hashable, CustomStringConvertible {
    public let value: UInt64

    /// Nil for zero, which the standard forbids.
    public init?(_ value: UInt64) {
        guard value != 0 else { return nil }
        self.value = value
    }

    /// 16 lower-case hexadecimal digits.
    public var description: String { Self.hex(value) }

    static func hex(_ value: UInt64) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: 16 - text.utf8.count) + text
    }
}
