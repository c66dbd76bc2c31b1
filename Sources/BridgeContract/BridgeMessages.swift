public import UnstickCore

/// Header names and paths of bridge contract 1.
public enum BridgeHeader {
    public static let session = "Unstick-Session"
    public static let state = "Unstick-State"
    public static let authentication = "Unstick-Auth"
    public static let endpointPrefix = "/.well-known/unstick/v1/"
    /// States up to this many bytes travel in `Unstick-State`; larger ones by the endpoints.
    public static let inlineStateBytesMax = 4096
}

/// What the proxy tells the bridge about the session of a request.
public enum BridgeExpectation: Sendable, Equatable {
    /// No session is presented, or the memory has the authority.
    case none
    /// The instance must serve this version (phase `externalized`: this or a newer one).
    case want(VersionTag)
    /// The state comes along (or just came by `PUT`).
    case put(VersionTag, codec: String, ttlSeconds: Int64, signature: String)
    /// The store has no such session: the application starts fresh.
    case absent
}

/// Writes `Unstick-Session` request header values.
public enum BridgeRequest {
    public static func value(
        authentication: String, phase: Phase, generation: Generation, expectation: BridgeExpectation
    ) -> String {
        var text = "v=1; auth=\(authentication); phase=\(phase.name); gen=\(generation)"
        switch expectation {
        case .none: break
        case .want(let version): text += "; want=\(version)"
        case .put(let version, let codec, let ttl, let signature):
            text += "; put=\(version); codec=\(codec); ttl=\(ttl); sig=\(signature)"
        case .absent: text += "; absent"
        }
        return text
    }

    /// Value of the header of `PUT sessions/ID`. The phase comes along since from `stateless` on the store's version
    /// replaces a newer one in memory too (a change that was never acknowledged).
    public static func putValue(
        version: VersionTag, codec: String, ttlSeconds: Int64, signature: String, phase: Phase
    ) -> String {
        "put=\(version); codec=\(codec); ttl=\(ttlSeconds); sig=\(signature); phase=\(phase.name)"
    }
}

/// What a bridge says of a session, from an `Unstick-Session` response header.
public enum BridgeAnswer: Sendable, Equatable {
    case put(BridgeChange)
    case touch(id: String, version: VersionTag, ttlSeconds: Int64)
    case destroy(id: String, version: UInt64, ttlSeconds: Int64)
    case rotate(BridgeChange, old: String)
    case none
    case late(id: String)
    case missing(id: String)
    case stale(id: String, have: VersionTag?)
}

/// A new version of a session.
public struct BridgeChange: Sendable, Equatable {
    public var id: String
    public var version: VersionTag
    /// What the request's copy started from; nil for a new session.
    public var base: VersionTag?
    public var ttlSeconds: Int64
    public var codec: String

    public init(id: String, version: VersionTag, base: VersionTag?, ttlSeconds: Int64, codec: String) {
        self.id = id
        self.version = version
        self.base = base
        self.ttlSeconds = ttlSeconds
        self.codec = codec
    }
}

/// An answer with what every one carries.
public struct BridgeResponse: Sendable, Equatable {
    public var answer: BridgeAnswer
    /// The instance's process start.
    public var incarnation: String
    /// Attributes that could not be serialized; the session is not externalized when it is above 0.
    public var unserializable: Int

    public init(answer: BridgeAnswer, incarnation: String, unserializable: Int = 0) {
        self.answer = answer
        self.incarnation = incarnation
        self.unserializable = unserializable
    }
}

/// Why a bridge's header cannot be used. Carries attribute names only, never values: those may be session ids.
public struct BridgeFormatError: Error, Sendable, Equatable, CustomStringConvertible {
    public var message: String
    public init(_ message: String) { self.message = message }
    public var description: String { "the bridge's Unstick-Session header cannot be used: \(message)" }
}

extension BridgeResponse {
    /// Upper bound of what a session may live, in seconds (ten years): keeps expiry arithmetic far from overflow.
    public static let ttlSecondsMax: Int64 = 315_360_000

    /// Reads a header value: attributes `name=value` or `name`, separated by `;` and optional spaces; unknown ones
    /// are ignored (a newer bridge may say more), repeated ones are refused.
    public init(parsing value: some StringProtocol) throws(BridgeFormatError) {
        var attributes: [(name: Substring, value: Substring)] = []
        for part in Substring(value).split(separator: ";", omittingEmptySubsequences: false) {
            let item = part.trimmingSpaces()
            if item.isEmpty { continue }
            guard attributes.count < 16 else { throw BridgeFormatError("more than 16 attributes") }
            let equals = item.utf8.firstIndex(of: UInt8(ascii: "="))
            let name = equals.map { item[..<$0] } ?? item
            guard !attributes.contains(where: { $0.name == name }) else {
                throw BridgeFormatError("'\(name.prefix(16))' appears twice")
            }
            attributes.append((name, equals.map { item[item.utf8.index(after: $0)...] } ?? ""))
        }
        func optional(_ name: String) -> Substring? { attributes.first { $0.name == name }?.value }
        func required(_ name: String) throws(BridgeFormatError) -> String {
            guard let value = optional(name), !value.isEmpty else { throw BridgeFormatError("'\(name)' is missing") }
            return String(value)
        }
        func id(_ name: String = "id") throws(BridgeFormatError) -> String {
            let value = try required(name)
            guard value.utf8.count <= 4096 else { throw BridgeFormatError("'\(name)' is longer than 4096 bytes") }
            return value
        }
        func ttl() throws(BridgeFormatError) -> Int64 {
            guard let seconds = VersionTag.version(decimal: try required("ttl")), seconds <= UInt64(Self.ttlSecondsMax)
            else { throw BridgeFormatError("'ttl' is not a number of seconds up to \(Self.ttlSecondsMax)") }
            return Int64(seconds)
        }
        func version() throws(BridgeFormatError) -> UInt64 {
            // Far below 2^63, so that no store's signed integers and no sum of two overflow.
            guard let number = VersionTag.version(decimal: try required("ver")), number < 1 << 62 else {
                throw BridgeFormatError("'ver' is not a version number")
            }
            return number
        }
        func versionTag() throws(BridgeFormatError) -> VersionTag {
            guard let tag = VersionTag.tag(hex: try required("tag")) else {
                throw BridgeFormatError("'tag' is not 8 hexadecimal digits")
            }
            return VersionTag(version: try version(), tag: tag)
        }
        func change() throws(BridgeFormatError) -> BridgeChange {
            var base: VersionTag?
            if let text = optional("base"), !text.isEmpty {
                guard let parsed = VersionTag(text) else { throw BridgeFormatError("'base' is not VERSION-TAG") }
                base = parsed
            }
            let codec = try required("codec")
            guard codec.utf8.count <= 32 else { throw BridgeFormatError("'codec' is longer than 32 bytes") }
            return BridgeChange(
                id: try id(), version: try versionTag(), base: base, ttlSeconds: try ttl(), codec: codec)
        }
        let operation = try required("op")
        switch operation {
        case "put": answer = .put(try change())
        case "rotate": answer = .rotate(try change(), old: try id("old"))
        case "touch": answer = .touch(id: try id(), version: try versionTag(), ttlSeconds: try ttl())
        case "destroy": answer = .destroy(id: try id(), version: try version(), ttlSeconds: try ttl())
        case "none": answer = .none
        case "late": answer = .late(id: try id())
        case "missing": answer = .missing(id: try id())
        case "stale":
            answer = .stale(id: try id(), have: optional("have").flatMap { VersionTag($0) })
        default: throw BridgeFormatError("'op' is '\(operation.prefix(16))', which contract version 1 does not know")
        }
        incarnation = try required("inst")
        guard let bad = optional("bad") else {
            unserializable = 0
            return
        }
        guard let count = Int(bad), count >= 0 else { throw BridgeFormatError("'bad' is not a count") }
        unserializable = count
    }
}

extension Substring {
    /// Without spaces and tabs at either end.
    fileprivate func trimmingSpaces() -> Substring {
        var text = self
        while let first = text.utf8.first, first == 0x20 || first == 0x09 { text = text.dropFirst() }
        while let last = text.utf8.last, last == 0x20 || last == 0x09 { text = text.dropLast() }
        return text
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters, as ids in endpoint paths are written.
public func percentEncoded(_ id: String) -> String {
    var text = ""
    for byte in id.utf8 {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e:
            text.unicodeScalars.append(Unicode.Scalar(byte))
        default:
            let hex = String(byte, radix: 16, uppercase: true)
            text += hex.count == 1 ? "%0\(hex)" : "%\(hex)"
        }
    }
    return text
}
