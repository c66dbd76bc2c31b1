/// A stage of a migration, in the order in which it is walked.
///
/// Neighbouring phases may be live in different proxies at the same time without a lost or stale answer; phases two
/// apart may not. Every change is therefore one step, and the next waits for every proxy's acknowledgement.
public enum Phase: Int, Sendable, CaseIterable, Comparable, Hashable {
    /// Routing by affinity, the home's memory has the authority, nothing is written to the store.
    case sticky = 0
    /// As `sticky`, and every change is written to the store before its response is released.
    case mirroring = 1
    /// Routing by affinity; the store has the authority and is read before the application runs.
    case externalized = 2
    /// The ramp's share of the sessions goes to any instance; the rest as in `externalized`.
    case stateless = 3
    /// Any instance for everybody; affinity cookies expire. There is no way back.
    case completed = 4

    /// The word used in configuration, headers, JSON and on the command line.
    public var name: String {
        switch self {
        case .sticky: "sticky"
        case .mirroring: "mirroring"
        case .externalized: "externalized"
        case .stateless: "stateless"
        case .completed: "completed"
        }
    }

    public init?(name: some StringProtocol) {
        guard let match = Phase.allCases.first(where: { $0.name == name }) else { return nil }
        self = match
    }

    /// Whether the store, not an instance's memory, decides what a session's state is.
    public var storeHasAuthority: Bool { self >= .externalized }

    /// Whether responses wait for the store.
    public var mirrors: Bool { self >= .mirroring }

    public static func < (lhs: Phase, rhs: Phase) -> Bool { lhs.rawValue < rhs.rawValue }

    /// Whether proxies in the two phases can serve the same session without a lost or stale answer.
    public func canCoexist(with other: Phase) -> Bool { abs(rawValue - other.rawValue) <= 1 }
}

extension Phase: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let name = try container.decode(String.self)
        guard let phase = Phase(name: name) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "no phase is called '\(name)'")
        }
        self = phase
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(name)
    }
}

extension Phase: CustomStringConvertible {
    public var description: String { name }
}
