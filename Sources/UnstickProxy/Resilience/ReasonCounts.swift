/// A counter for each case of an enum, in place: counting allocates nothing.
struct ReasonCounts<Reason: CaseIterable & RawRepresentable<UInt8>> {
    private var counts = InlineArray<16, UInt64>(repeating: 0)

    init() { assert(Reason.allCases.count <= 16 && Reason.allCases.allSatisfy { $0.rawValue < 16 }) }

    subscript(reason: Reason) -> UInt64 { counts[Int(reason.rawValue)] }

    mutating func add(_ reason: Reason) { counts[Int(reason.rawValue)] &+= 1 }

    var total: UInt64 { Reason.allCases.reduce(0) { $0 &+ self[$1] } }
}
