import UnstickCore

extension BridgeResponse {
    /// Upper bound of what a session may live, in seconds (ten years): keeps expiry arithmetic far from overflow.
    public static let ttlSecondsMax: Int64 = 315_360_000

    /// Reads a header value, see ``init(parsing:knownID:knownIncarnation:)``.
    public init(parsing value: some StringProtocol) throws(BridgeFormatError) {
        var bytes = Array(value.utf8)
        let result: Result<BridgeResponse, BridgeFormatError> = bytes.withUnsafeMutableBytes { bytes in
            do throws(BridgeFormatError) {
                return .success(try BridgeResponse(parsing: UnsafeRawBufferPointer(bytes)))
            } catch {
                return .failure(error)
            }
        }
        self = try result.get()
    }

    /// Reads a header value: attributes `name=value` or `name`, separated by `;` and optional spaces; unknown ones
    /// are ignored (a newer bridge may say more), repeated ones are refused.
    ///
    /// This runs once per response. The strings that it would most likely make again can be given: one whose bytes are
    /// the same is used as it is.
    public init(
        parsing bytes: UnsafeRawBufferPointer, knownID: String? = nil, knownIncarnation: String? = nil
    ) throws(BridgeFormatError) {
        let attributes = try BridgeAttributes(bytes)
        switch try attributes.operation() {
        case .put: answer = .put(try attributes.change(knownID: knownID))
        case .rotate:
            answer = .rotate(try attributes.change(knownID: nil), old: try attributes.id(.old, known: knownID))
        case .touch:
            answer = .touch(
                id: try attributes.id(.id, known: knownID), version: try attributes.versionTag(),
                ttlSeconds: try attributes.ttl())
        case .destroy:
            answer = .destroy(
                id: try attributes.id(.id, known: knownID), version: try attributes.version(),
                ttlSeconds: try attributes.ttl())
        case .none: answer = .none
        case .late: answer = .late(id: try attributes.id(.id, known: knownID))
        case .missing: answer = .missing(id: try attributes.id(.id, known: knownID))
        case .stale:
            answer = .stale(
                id: try attributes.id(.id, known: knownID), have: attributes[.have].flatMap { VersionTag(bytes: $0) })
        }
        incarnation = BridgeAttributes.text(try attributes.required(.inst), known: knownIncarnation)
        unserializable = try attributes.badCount()
    }
}

/// The attributes of one header value, as ranges of its bytes.
private struct BridgeAttributes {
    enum Name: UInt8, CaseIterable {
        case op, id, ver, tag, base, ttl, codec, inst, old, have, bad

        var text: StaticString {
            switch self {
            case .op: "op"
            case .id: "id"
            case .ver: "ver"
            case .tag: "tag"
            case .base: "base"
            case .ttl: "ttl"
            case .codec: "codec"
            case .inst: "inst"
            case .old: "old"
            case .have: "have"
            case .bad: "bad"
            }
        }
    }

    enum Operation { case put, touch, destroy, rotate, none, late, missing, stale }

    private static let attributesMax = 16
    private let bytes: UnsafeRawBufferPointer
    private var names = InlineArray<16, Range<Int>>(repeating: 0..<0)
    private var values = InlineArray<11, Range<Int>?>(repeating: nil)
    private var count = 0

    init(_ bytes: UnsafeRawBufferPointer) throws(BridgeFormatError) {
        self.bytes = bytes
        var start = 0
        while start <= bytes.count {
            var end = start
            while end < bytes.count, bytes[end] != UInt8(ascii: ";") { end += 1 }
            try take(Self.trimmed(bytes, start..<end))
            start = end + 1
        }
    }

    private mutating func take(_ item: Range<Int>) throws(BridgeFormatError) {
        guard !item.isEmpty else { return }
        guard count < Self.attributesMax else {
            throw BridgeFormatError("more than \(Self.attributesMax) attributes")
        }
        var equals = item.lowerBound
        while equals < item.upperBound, bytes[equals] != UInt8(ascii: "=") { equals += 1 }
        let name = item.lowerBound..<equals
        for index in 0..<count where slice(names[index]).elementsEqual(slice(name)) {
            throw BridgeFormatError("'\(String(decoding: slice(name).prefix(16), as: UTF8.self))' appears twice")
        }
        names[count] = name
        count += 1
        let value = min(equals + 1, item.upperBound)..<item.upperBound
        for known in Name.allCases where Self.matches(slice(name), known.text) {
            values[Int(known.rawValue)] = value
            return
        }
    }

    private func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }

    private static func matches(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<bytes.count where bytes[index] != text.utf8Start[index] { return false }
        return true
    }

    /// Without spaces and tabs at either end.
    private static func trimmed(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Range<Int> {
        var lower = range.lowerBound
        var upper = range.upperBound
        func isBlank(_ index: Int) -> Bool { bytes[index] == 0x20 || bytes[index] == 0x09 }
        while lower < upper, isBlank(lower) { lower += 1 }
        while upper > lower, isBlank(upper - 1) { upper -= 1 }
        return lower..<upper
    }

    static func text(_ bytes: UnsafeRawBufferPointer, known: String?) -> String {
        if let known, known.utf8.count == bytes.count, known.utf8.elementsEqual(bytes) { return known }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: Values

    /// Nil when it is not there; empty when it has no value.
    subscript(name: Name) -> UnsafeRawBufferPointer? {
        values[Int(name.rawValue)].map { slice($0) }
    }

    func required(_ name: Name) throws(BridgeFormatError) -> UnsafeRawBufferPointer {
        guard let value = self[name], !value.isEmpty else { throw BridgeFormatError("'\(name.text)' is missing") }
        return value
    }

    func operation() throws(BridgeFormatError) -> Operation {
        let value = try required(.op)
        if Self.matches(value, "touch") { return .touch }
        if Self.matches(value, "put") { return .put }
        if Self.matches(value, "none") { return .none }
        if Self.matches(value, "missing") { return .missing }
        if Self.matches(value, "stale") { return .stale }
        if Self.matches(value, "destroy") { return .destroy }
        if Self.matches(value, "rotate") { return .rotate }
        if Self.matches(value, "late") { return .late }
        let shown = String(decoding: value.prefix(16), as: UTF8.self)
        throw BridgeFormatError("'op' is '\(shown)', which contract version 1 does not know")
    }

    func id(_ name: Name, known: String?) throws(BridgeFormatError) -> String {
        let value = try required(name)
        guard value.count <= 4096 else { throw BridgeFormatError("'\(name.text)' is longer than 4096 bytes") }
        return Self.text(value, known: known)
    }

    func ttl() throws(BridgeFormatError) -> Int64 {
        let limit = BridgeResponse.ttlSecondsMax
        guard let seconds = VersionTag.version(decimal: try required(.ttl)), seconds <= UInt64(limit) else {
            throw BridgeFormatError("'ttl' is not a number of seconds up to \(limit)")
        }
        return Int64(seconds)
    }

    func version() throws(BridgeFormatError) -> UInt64 {
        // Far below 2^63, so that no store's signed integers and no sum of two overflow.
        guard let number = VersionTag.version(decimal: try required(.ver)), number < 1 << 62 else {
            throw BridgeFormatError("'ver' is not a version number")
        }
        return number
    }

    func versionTag() throws(BridgeFormatError) -> VersionTag {
        guard let tag = VersionTag.tag(hex: try required(.tag)) else {
            throw BridgeFormatError("'tag' is not 8 hexadecimal digits")
        }
        return VersionTag(version: try version(), tag: tag)
    }

    func change(knownID: String?) throws(BridgeFormatError) -> BridgeChange {
        var base: VersionTag?
        if let text = self[.base], !text.isEmpty {
            guard let parsed = VersionTag(bytes: text) else { throw BridgeFormatError("'base' is not VERSION-TAG") }
            base = parsed
        }
        let codec = try required(.codec)
        guard codec.count <= 32 else { throw BridgeFormatError("'codec' is longer than 32 bytes") }
        return BridgeChange(
            id: try id(.id, known: knownID), version: try versionTag(), base: base, ttlSeconds: try ttl(),
            codec: String(decoding: codec, as: UTF8.self))
    }

    func badCount() throws(BridgeFormatError) -> Int {
        guard let bad = self[.bad] else { return 0 }
        guard let count = VersionTag.version(decimal: bad), count <= UInt64(Int32.max) else {
            throw BridgeFormatError("'bad' is not a count")
        }
        return Int(count)
    }
}
