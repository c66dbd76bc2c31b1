/// The number of a routing table's version. Every change of phase, ramp or instance state is a new, higher epoch.
public struct Epoch: RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public init(_ value: UInt64) { rawValue = value }
    public static func < (lhs: Epoch, rhs: Epoch) -> Bool { lhs.rawValue < rhs.rawValue }
    public var next: Epoch { Epoch(rawValue + 1) }
    public var description: String { String(rawValue) }
    public init(from decoder: any Decoder) throws { rawValue = try decoder.singleValueContainer().decode(UInt64.self) }
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

/// The number of one mirroring run. A store copy of an older generation is never hydrated: between two runs the
/// application changed sessions that the store did not see.
public struct Generation: RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public init(_ value: UInt64) { rawValue = value }
    /// Whether a run is under way: runs have odd numbers, and going back to `sticky` closes one by the next even
    /// number. So a proxy that knows no routing table can tell from the store whether its copies count at all.
    public var isOpen: Bool { rawValue % 2 == 1 }
    /// The generation of the next run.
    public var nextOpen: Generation { Generation(isOpen ? rawValue + 2 : rawValue + 1) }
    /// The generation that ends this run.
    public var closing: Generation { isOpen ? Generation(rawValue + 1) : self }
    /// Before the first run.
    public static let none = Generation(0)
    public static func < (lhs: Generation, rhs: Generation) -> Bool { lhs.rawValue < rhs.rawValue }
    public var next: Generation { Generation(rawValue + 1) }
    public var description: String { String(rawValue) }
    public init(from decoder: any Decoder) throws { rawValue = try decoder.singleValueContainer().decode(UInt64.self) }
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

/// A point in time in milliseconds since 1970-01-01 UTC. Session expiry and journal times are kept in it.
public struct UnixMilliseconds: RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    public let rawValue: Int64
    public init(rawValue: Int64) { self.rawValue = rawValue }
    public init(_ value: Int64) { rawValue = value }
    public static func < (lhs: UnixMilliseconds, rhs: UnixMilliseconds) -> Bool { lhs.rawValue < rhs.rawValue }
    public func adding(seconds: Int64) -> UnixMilliseconds { UnixMilliseconds(rawValue + seconds * 1000) }
    public func adding(milliseconds: Int64) -> UnixMilliseconds { UnixMilliseconds(rawValue + milliseconds) }
    /// Whole seconds since 1970, rounded down.
    public var seconds: Int64 { rawValue / 1000 }
    public var description: String { String(rawValue) }
    public init(from decoder: any Decoder) throws { rawValue = try decoder.singleValueContainer().decode(Int64.self) }
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

/// Tells the time of day. A parameter wherever expiry or signatures depend on it, so that tests choose it.
public typealias WallClock = @Sendable () -> UnixMilliseconds
