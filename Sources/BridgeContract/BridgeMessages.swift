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
        var bytes: [UInt8] = []
        append(authentication: authentication, phase: phase, generation: generation, to: &bytes)
        append(expectation, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The part of the value that is the same for all requests of one second, phase and generation.
    public static func append(
        authentication: String, phase: Phase, generation: Generation, to bytes: inout [UInt8]
    ) {
        bytes.append(contentsOf: "v=1; auth=\(authentication); phase=\(phase.name); gen=\(generation)".utf8)
    }

    /// The rest of the value.
    public static func append(_ expectation: BridgeExpectation, to bytes: inout [UInt8]) {
        switch expectation {
        case .none: break
        case .want(let version):
            bytes.append(contentsOf: "; want=".utf8)
            version.append(to: &bytes)
        case .put(let version, let codec, let ttl, let signature):
            bytes.append(contentsOf: "; put=".utf8)
            version.append(to: &bytes)
            bytes.append(contentsOf: "; codec=".utf8)
            bytes.append(contentsOf: codec.utf8)
            bytes.append(contentsOf: "; ttl=\(ttl); sig=".utf8)
            bytes.append(contentsOf: signature.utf8)
        case .absent: bytes.append(contentsOf: "; absent".utf8)
        }
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
