/// Counts durations in buckets whose width is at most 1/16 of their value, so that memory stays fixed for any run.
package struct LatencyHistogram: Sendable {
    /// Exact below 32, then 16 buckets for each doubling, up to 2^40 µs.
    private static let exact = 32
    private static let bucketCount = 32 + 16 * 36

    private var buckets = [Int](repeating: 0, count: bucketCount)
    private var count = 0
    private var highest = 0

    package init() {}

    package mutating func record(microseconds: Int) {
        let value = max(0, min(microseconds, 1 << 40))
        buckets[Self.bucket(value)] += 1
        count += 1
        highest = max(highest, value)
    }

    /// The smallest bucket end that `share` (0 to 1) of the values don't exceed; 0 without values.
    package func percentile(_ share: Double) -> Int {
        guard count > 0 else { return 0 }
        let rank = max(1, Int((Double(count) * share).rounded(.up)))
        var seen = 0
        for (bucket, number) in buckets.enumerated() where number > 0 {
            seen += number
            if seen >= rank { return min(Self.end(bucket), highest) }
        }
        return highest
    }

    package var percentiles: SoakReport.Percentiles {
        SoakReport.Percentiles(
            p50Microseconds: percentile(0.5), p99Microseconds: percentile(0.99), maxMicroseconds: highest)
    }

    private static func bucket(_ value: Int) -> Int {
        guard value >= exact else { return value }
        let exponent = Int.bitWidth - 1 - value.leadingZeroBitCount
        return min(bucketCount - 1, exact + (exponent - 5) * 16 + (value >> (exponent - 4)) - 16)
    }

    /// The highest value in the bucket.
    private static func end(_ bucket: Int) -> Int {
        guard bucket >= exact else { return bucket }
        let exponent = 5 + (bucket - exact) / 16
        let step = (bucket - exact) % 16 + 16
        return (step + 1) << (exponent - 4) - 1
    }
}
