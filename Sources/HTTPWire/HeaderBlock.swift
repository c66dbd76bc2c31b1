/// The field lines of a head or a trailer section, in the order in which they came.
public struct HeaderBlock: Sendable {
    /// Memory for lines; the first ``fieldCount`` of them are in use. It grows and is never given back, so a reused block
    /// does not allocate.
    @usableFromInline var slots = ContiguousArray<HeaderSlice>()
    @usableFromInline var fieldCount = 0
    /// One bit for each `KnownField` that occurs.
    @usableFromInline var present: UInt64 = 0
    /// One bit for each `KnownField` that occurs more than once.
    @usableFromInline var repeated: UInt64 = 0
    /// What the `Connection` fields say.
    public internal(set) var connection: ConnectionOptions = []

    public init() {}

    /// The fields that occur at least once.
    @inlinable public var presentFields: KnownFieldSet { KnownFieldSet(bits: present) }

    /// Whether the field occurs at least once.
    @inlinable
    public func contains(_ field: KnownField) -> Bool { present & (1 << UInt64(field.rawValue)) != 0 }

    /// Whether the field occurs more than once.
    @inlinable
    public func isRepeated(_ field: KnownField) -> Bool { repeated & (1 << UInt64(field.rawValue)) != 0 }

    /// The first line with that field.
    @inlinable
    public func first(_ field: KnownField) -> HeaderSlice? {
        guard contains(field) else { return nil }
        return slots.withUnsafeBufferPointer { slots in
            for index in 0..<fieldCount where slots[index].known == field { return slots[index] }
            return nil
        }
    }

    /// Calls `body` with all lines as plain memory: what a loop over them should use where speed counts.
    @inlinable
    @inline(__always)
    public func withFields<Result, Failure: Error>(
        _ body: (UnsafeBufferPointer<HeaderSlice>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try slots.withUnsafeBufferPointer { (all) throws(Failure) in
            try body(UnsafeBufferPointer(start: all.baseAddress, count: fieldCount))
        }
    }

    /// Whether any `Unstick-*` field is among them, in whatever spelling.
    @inlinable
    public var containsUnstick: Bool {
        contains(.unstick) || contains(.unstickSession) || contains(.unstickState)
    }

    /// Whether a `Connection` field names this field, so that it must not be forwarded (RFC 9110 §7.6.1). Always false
    /// for fields that are meant for all recipients, see ``KnownField/isRemovableByConnection``.
    public func isNamedByConnection(_ field: HeaderSlice, in bytes: UnsafeRawBufferPointer) -> Bool {
        guard connection.contains(.others), field.known.isRemovableByConnection, let base = bytes.baseAddress else {
            return false
        }
        for line in self where line.known == .connection {
            var position = line.value.start
            while let option = ListElements.next(base, in: line.value, position: &position) {
                if ByteScan.matchesIgnoringCase(base, option, field.name) { return true }
            }
        }
        return false
    }

    /// The first line whose name equals `name`, ASCII in lower case, when case is ignored.
    public func first(named name: StaticString, in bytes: UnsafeRawBufferPointer) -> HeaderSlice? {
        guard let base = bytes.baseAddress else { return nil }
        return first { ByteScan.matches(base, $0.name, name) }
    }

    /// The first line whose name equals `name` (bytes in lower case) when case is ignored.
    public func first(named name: FieldName, in bytes: UnsafeRawBufferPointer) -> HeaderSlice? {
        guard let base = bytes.baseAddress else { return nil }
        return first { name.matches(base, $0.name) }
    }

    mutating func removeAll() {
        fieldCount = 0
        present = 0
        repeated = 0
        connection = []
    }
}

extension HeaderBlock: RandomAccessCollection {
    @inlinable public var startIndex: Int { 0 }
    @inlinable public var endIndex: Int { fieldCount }
    @inlinable public subscript(position: Int) -> HeaderSlice {
        precondition(position < fieldCount)
        return slots[position]
    }
}

/// A field's name chosen at run time, such as a header that carries the session id. Case is ignored (RFC 9110 §5.1).
public struct FieldName: Hashable, Sendable {
    let lowercase: ContiguousArray<UInt8>

    /// Nil unless `name` is a token.
    public init?(_ name: String) {
        let bytes = ContiguousArray(name.utf8.map { ByteScan.lowercased($0) })
        guard !bytes.isEmpty, bytes.allSatisfy({ ByteClass.token.contains($0) }) else { return nil }
        lowercase = bytes
    }

    func matches(_ base: UnsafeRawPointer, _ slice: ByteSlice) -> Bool {
        guard slice.count == lowercase.count else { return false }
        for index in 0..<slice.count
        where ByteScan.lowercased(ByteScan.byte(base, slice.start &+ index)) != lowercase[index] {
            return false
        }
        return true
    }
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

/// The elements of a comma-separated list without quoted strings (RFC 9110 §5.6.1); empty ones are skipped.
enum ListElements {
    static func next(_ base: UnsafeRawPointer, in list: ByteSlice, position: inout Int) -> ByteSlice? {
        while position < list.end {
            let comma = ByteScan.first(0x2c, base, from: position, end: list.end)
            let element = ByteScan.trimmed(base, from: position, to: comma)
            position = comma &+ 1
            if !element.isEmpty { return element }
        }
        return nil
    }
}
