/// Instances that could not be reached for one request: up to eight, of any index. A request is given up long before.
struct TriedInstances: Equatable {
    private var indices = SIMD8<Int16>(repeating: -1)
    private(set) var count = 0

    static let capacity = 8

    init() {}

    @inline(__always)
    func contains(_ index: Int) -> Bool {
        count > 0 && any(indices .== SIMD8(repeating: Int16(truncatingIfNeeded: index)))
    }

    /// A ninth takes the place of the oldest.
    /// - Precondition: 0 ≤ index < 2¹⁵.
    mutating func insert(_ index: Int) {
        guard !contains(index) else { return }
        indices[count % Self.capacity] = Int16(index)
        count += 1
    }

    func inserting(_ index: Int) -> TriedInstances {
        var copy = self
        copy.insert(index)
        return copy
    }
}
