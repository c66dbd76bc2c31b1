/// Latencies in microseconds, in buckets that are at most 12.5 % wide; fixed memory, no allocation when recording.
struct LatencyHistogram {
    private var counts = [UInt32](repeating: 0, count: 64 * 8)
    private(set) var count: UInt64 = 0

    private static func bucket(_ value: UInt64) -> Int {
        guard value >= 8 else { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount
        return (exponent - 2) * 8 + Int(value >> UInt64(exponent - 3) & 7)
    }

    private static func upperBound(_ bucket: Int) -> UInt64 {
        guard bucket >= 8 else { return UInt64(bucket) }
        let exponent = UInt64(bucket / 8 + 2)
        return (8 + UInt64(bucket % 8) + 1) << (exponent - 3) - 1
    }

    mutating func record(microseconds: UInt64) {
        counts[Self.bucket(min(microseconds, 1 << 40))] &+= 1
        count += 1
    }

    /// The upper bound of the bucket that holds the given share (0 to 1) of the values; 0 when there are none.
    func quantile(_ share: Double) -> Int {
        guard count > 0 else { return 0 }
        var remaining = UInt64((Double(count) * share).rounded(.up))
        for (bucket, value) in counts.enumerated() where value > 0 {
            if remaining <= UInt64(value) { return Int(Self.upperBound(bucket)) }
            remaining -= UInt64(value)
        }
        return 0
    }

    mutating func merge(_ other: LatencyHistogram) {
        for index in counts.indices { counts[index] &+= other.counts[index] }
        count += other.count
    }

    mutating func reset() {
        for index in counts.indices { counts[index] = 0 }
        count = 0
    }
}
