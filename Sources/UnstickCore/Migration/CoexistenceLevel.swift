/// The steps between which proxies may differ, finer than ``Phase``: neighbours can coexist, levels two apart cannot.
/// These are the levels of the model in `Tests/Model`.
public enum CoexistenceLevel: Int, Sendable, Comparable, CaseIterable, Codable {
    case sticky = 0
    /// `mirroring` without hydration: what memory lacks is gone, as a proxy in `sticky` would have it.
    case mirroringUncovered
    /// `mirroring` with hydration: from when this is acknowledged, a death loses nothing.
    case mirroringCovered
    /// `externalized` at the home only.
    case externalizedAtHome
    /// `externalized`, elsewhere when the home is out of reach.
    case externalized
    case stateless
    case completed

    public init(_ table: RoutingTable) {
        switch table.phase {
        case .sticky: self = .sticky
        case .mirroring: self = table.hydrates ? .mirroringCovered : .mirroringUncovered
        case .externalized: self = table.rehoming ? .externalized : .externalizedAtHome
        case .stateless: self = .stateless
        case .completed: self = .completed
        }
    }

    public func canCoexist(with other: CoexistenceLevel) -> Bool { abs(rawValue - other.rawValue) <= 1 }

    /// Whether the death of an instance loses nothing, so that its sessions may be re-homed.
    public var isCovered: Bool { self >= .mirroringCovered }

    public static func < (lhs: CoexistenceLevel, rhs: CoexistenceLevel) -> Bool { lhs.rawValue < rhs.rawValue }
}
