/// Highest random weight (Thaler and Ravishankar 1998): every process that knows the same names chooses the same one
/// for a key, and a name that comes or goes moves only its own keys.
public enum Rendezvous {
    /// How strongly a name wants a key.
    /// - Parameter nameHash: ``StableHash`` of the name.
    @inlinable
    public static func score(_ key: UInt64, _ nameHash: UInt64) -> UInt64 { StableHash.mix(key ^ nameHash) }

    /// Whether a score wins over another when both have weights: the larger of `weight / -ln(score / 2⁶⁴)` (Schindelhauer
    /// and Schomaker 2005). With equal weights this is the larger score.
    ///
    /// In integers only, because two machines' `log` may differ in the last place, and then two proxies would send one
    /// session to two instances.
    /// - Precondition: weights are 1 to 2²⁰.
    public static func wins(
        _ score: UInt64, weight: Int, over other: UInt64, weight otherWeight: Int
    ) -> Bool {
        if weight == otherWeight { return score > other }
        let left = UInt64(weight) &* negativeLog2(other)
        let right = UInt64(otherWeight) &* negativeLog2(score)
        return left == right ? score > other : left > right
    }

    /// `-log2(score / 2⁶⁴)` with 32 bits behind the point, by squaring (Knuth, TAOCP 1.2.2, exercise 25).
    static func negativeLog2(_ score: UInt64) -> UInt64 {
        let score = max(score, 1)
        let zeros = score.leadingZeroBitCount
        // 1 ≤ mantissa < 2, with 63 bits behind the point.
        var mantissa = score << UInt64(zeros)
        var fraction: UInt64 = 0
        for _ in 0..<32 {
            let square = mantissa.multipliedFullWidth(by: mantissa).high
            fraction <<= 1
            if square & (1 << 63) != 0 {
                fraction |= 1
                mantissa = square
            } else {
                mantissa = square << 1
            }
        }
        return (64 << 32) - (UInt64(63 - zeros) << 32 | fraction)
    }
}
