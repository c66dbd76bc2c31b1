/// Durations in fixed buckets for Prometheus: recording costs a table look-up and two additions, and never allocates.
struct DurationHistogram: Sendable {
    /// Upper, inclusive bounds in nanoseconds: 250 µs to 60 s, the range of what requests and stores take. What is longer
    /// falls into the bucket behind the last.
    static let bounds: InlineArray<17, UInt64> = [
        250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000,
        250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000, 30_000_000_000,
        60_000_000_000,
    ]

    /// For ``PrometheusText``.
    static let boundsInSeconds: [Double] = bounds.indices.map { Double(bounds[$0]) / 1e9 }

    /// The first bucket that a value of so many significant bits can fall into; at most two bounds lie between one power
    /// of two and the next, so at most two compares follow.
    private static let firstByWidth: InlineArray<65, UInt8> = {
        var table = InlineArray<65, UInt8>(repeating: 17)
        for width in 0...64 {
            let least: UInt64 = width == 0 ? 0 : 1 << UInt64(width - 1)
            table[width] = UInt8(bounds.indices.first { least <= bounds[$0] } ?? 17)
        }
        return table
    }()

    private(set) var counts = InlineArray<18, UInt64>(repeating: 0)
    /// Nanoseconds.
    private(set) var sum: UInt64 = 0

    var count: UInt64 {
        var total: UInt64 = 0
        for index in counts.indices { total &+= counts[index] }
        return total
    }

    @inline(__always)
    static func bucket(_ nanoseconds: UInt64) -> Int {
        var index = Int(firstByWidth[64 - nanoseconds.leadingZeroBitCount])
        while index < 17, nanoseconds > bounds[index] { index &+= 1 }
        return index
    }

    @inline(__always)
    mutating func record(nanoseconds: UInt64) {
        counts[Self.bucket(nanoseconds)] &+= 1
        sum &+= nanoseconds
    }

    @inline(__always)
    mutating func record(_ period: RequestObservation.Period) {
        guard let nanoseconds = period.nanoseconds else { return }
        record(nanoseconds: nanoseconds)
    }

    mutating func add(_ other: DurationHistogram) {
        for index in counts.indices { counts[index] &+= other.counts[index] }
        sum &+= other.sum
    }

    /// Not cumulative, for ``PrometheusText``.
    var bucketCounts: [UInt64] { counts.indices.map { counts[$0] } }

    var sumInSeconds: Double { Double(sum) / 1e9 }
}
