import NIOCore
public import UnstickCore

/// What a store refuses before it looks at what it holds, so that every driver refuses alike. A refusal is
/// ``StoreError/Code/invalid`` and names the field, its size and the limit, never the session id.
extension SessionRecord {
    /// Bytes of a session id in UTF-8, from 1. A cookie is at most 4096 bytes with its attributes (RFC 6265 section 6.1).
    public static let idBytesLimit = 4096
    /// Bytes of a state, from 0.
    public static let stateBytesLimit = 16 << 20
    /// Bytes of a codec's name, printable ASCII.
    public static let codecBytesLimit = 32
    /// Bytes of the name of an instance or incarnation.
    public static let nameBytesLimit = 256
    /// The highest version and generation: what a signed 64-bit column holds.
    public static let numberLimit = UInt64(Int64.max)

    /// Whether an operation may name this id.
    public static func check(id: String) throws(StoreError) {
        let count = id.utf8.count
        guard count >= 1, count <= idBytesLimit else {
            throw StoreError(code: .invalid, message: "session id of \(count) bytes; it must have 1 to \(idBytesLimit)")
        }
    }

    /// Whether a page or batch of this size may be asked for.
    public static func check(limit: Int) throws(StoreError) {
        guard limit >= 1, limit <= 10_000 else {
            throw StoreError(code: .invalid, message: "limit \(limit); it must be 1 to 10000")
        }
    }

    public static func check(home: String) throws(StoreError) { try check(name: home, as: "home") }

    public static func check(_ generation: Generation) throws(StoreError) {
        guard generation.rawValue <= numberLimit else {
            throw StoreError(code: .invalid, message: "generation \(generation); the highest is \(numberLimit)")
        }
    }

    /// Whether the record may be saved (`asTombstone` false) or destroyed with (true).
    public func check(asTombstone: Bool) throws(StoreError) {
        try Self.check(id: id)
        try Self.check(generation)
        guard isTombstone == asTombstone else {
            throw StoreError(
                code: .invalid,
                message: asTombstone ? "destroy was given a record, not a tombstone" : "save was given a tombstone")
        }
        guard version.version <= Self.numberLimit else {
            throw StoreError(code: .invalid, message: "version \(version.version); the highest is \(Self.numberLimit)")
        }
        let size = state.readableBytes
        guard size <= (asTombstone ? 0 : Self.stateBytesLimit) else {
            throw StoreError(
                code: .invalid,
                message: asTombstone
                    ? "tombstone with a state of \(size) bytes"
                    : "state of \(size) bytes; the most is \(Self.stateBytesLimit)")
        }
        guard codec.utf8.count <= Self.codecBytesLimit, codec.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw StoreError(
                code: .invalid,
                message:
                    "codec '\(codec.prefix(64))'; it must be at most \(Self.codecBytesLimit) printable ASCII characters"
            )
        }
        guard ttlSeconds >= 0 else { throw StoreError(code: .invalid, message: "ttl of \(ttlSeconds) seconds") }
        try Self.check(name: home, as: "home")
        try Self.check(name: writer, as: "writer")
    }

    private static func check(name: String, as field: String) throws(StoreError) {
        guard name.utf8.count <= nameBytesLimit else {
            throw StoreError(
                code: .invalid, message: "\(field) of \(name.utf8.count) bytes; the most is \(nameBytesLimit)")
        }
    }
}
