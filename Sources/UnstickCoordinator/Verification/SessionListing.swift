import BridgeContract
import UnstickCore

/// One session as an instance lists it.
struct ListedSession: Sendable, Equatable {
    /// What the client presents; a secret.
    var id: String
    var version: VersionTag
    /// Seconds that the framework gives the session from its last use.
    var ttlSeconds: Int64
    /// Bytes of the state.
    var size: Int
    /// Unix seconds of its last use; nil when the bridge does not know.
    var accessed: Int64?
    /// Attributes that could not be serialized.
    var unserializable = 0
    /// Their names, as far as the bridge tells them.
    var attributes: [String] = []
}

/// One page of `GET sessions` (bridge contract 1): NDJSON, a line a session, and a last line `{"cursor":"…"}` when
/// there is more.
struct SessionListing: Sendable, Equatable {
    var sessions: [ListedSession] = []
    /// Where the next page begins; nil when this was the last.
    var cursor: String?

    /// Bytes of an id, as in every bridge header.
    static let idBytesMax = 4096
    static let cursorBytesMax = 8192
    /// Names of unserializable attributes kept of one session.
    static let attributesMax = 20

    init(sessions: [ListedSession] = [], cursor: String? = nil) {
        self.sessions = sessions
        self.cursor = cursor
    }

    /// Strict in what the contract names, lenient towards members that it does not name. An empty body is an empty
    /// page; anything after the cursor's line is refused, since it would be compared twice or never.
    init(parsing bytes: UnsafeRawBufferPointer) throws(ListingFormatError) {
        var start = 0
        var line = 0
        while start < bytes.count {
            line += 1
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            guard cursor == nil else { throw ListingFormatError(line: line, message: "it comes after the cursor") }
            do throws(FlatJSONError) {
                try read(FlatJSON(parsing: UnsafeRawBufferPointer(rebasing: bytes[start..<end])))
            } catch {
                throw ListingFormatError(line: line, message: error.message)
            }
            start = end + 1
        }
    }

    private mutating func read(_ object: FlatJSON) throws(FlatJSONError) {
        if object.has("cursor") {
            guard object.names.count == 1 else { throw FlatJSONError("'cursor' stands with other members") }
            cursor = try object.text("cursor", bytes: 1...Self.cursorBytesMax)
            return
        }
        let id = try object.text("id", bytes: 1...Self.idBytesMax)
        guard !id.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else {
            throw FlatJSONError("'id' has a control character")
        }
        guard let tag = VersionTag.tag(hex: try object.text("tag", bytes: 0...64)) else {
            throw FlatJSONError("'tag' is not 8 hexadecimal digits")
        }
        let version = try object.integer("ver", in: 0...(1 << 62) - 1)
        var session = ListedSession(
            id: id, version: VersionTag(version: UInt64(version), tag: tag),
            ttlSeconds: try object.integer("ttl", in: 0...BridgeResponse.ttlSecondsMax),
            size: Int(try object.integer("size", in: 0...Int64.max)),
            accessed: object.isNullOrAbsent("accessed") ? nil : try object.integer("accessed", in: 0...Int64.max))
        if !object.isNullOrAbsent("bad") {
            session.unserializable = Int(try object.integer("bad", in: 0...Int64(Int32.max)))
        }
        if session.unserializable > 0 {
            session.attributes = Array(object.texts("attributes").prefix(Self.attributesMax))
        }
        sessions.append(session)
    }
}

/// Why a page cannot be used: which line and member, never its value (it may be a session id).
struct ListingFormatError: Error, Sendable, Equatable, CustomStringConvertible {
    /// From 1.
    var line: Int
    var message: String
    var description: String { "line \(line) of the listing: \(message)" }
}
