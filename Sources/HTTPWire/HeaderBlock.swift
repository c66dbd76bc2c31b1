/// The field lines of a head or a trailer section, in the order in which they came.
public struct HeaderBlock: Sendable {
    @usableFromInline var fields: ContiguousArray<HeaderSlice>
    @usableFromInline var present: UInt64
    /// What the `Connection` fields say.
    public internal(set) var connection: ConnectionOptions

    public init() { fatalError() }

    /// Whether the field occurs at least once.
    @inlinable public func contains(_ field: KnownField) -> Bool { fatalError() }
    /// The first line with that field.
    @inlinable public func first(_ field: KnownField) -> HeaderSlice? { fatalError() }
    /// Whether any `Unstick-*` field is among them, in whatever spelling.
    @inlinable public var containsUnstick: Bool { fatalError() }
    /// Whether a `Connection` field names this field, so that it must not be forwarded (RFC 9110 §7.6.1).
    public func isNamedByConnection(_ field: HeaderSlice, in bytes: UnsafeRawBufferPointer) -> Bool { fatalError() }
    /// The first line whose name equals `name` case-insensitively.
    public func first(named name: StaticString, in bytes: UnsafeRawBufferPointer) -> HeaderSlice? { fatalError() }
}

extension HeaderBlock: RandomAccessCollection {
    @inlinable public var startIndex: Int { 0 }
    @inlinable public var endIndex: Int { fields.count }
    @inlinable public subscript(position: Int) -> HeaderSlice { fields[position] }
}

/// The options in a message's `Connection` fields (RFC 9110 §7.6.1).
public struct ConnectionOptions: OptionSet, Sendable {
    public let rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let close = ConnectionOptions(rawValue: 1)
    public static let keepAlive = ConnectionOptions(rawValue: 2)
    public static let upgrade = ConnectionOptions(rawValue: 4)
    /// Names at least one other field, see ``HeaderBlock/isNamedByConnection(_:in:)``.
    public static let others = ConnectionOptions(rawValue: 8)
}
