/// A session state's version and the digest that tells two states of the same version apart: `12-9f86d081`.
///
/// The tag is the first 8 hexadecimal digits of SHA-256 over the state's bytes (bridge contract, version 1).
public struct VersionTag: Hashable, Sendable {
    /// Counts a session's changes, from 1.
    public let version: UInt64
    /// The digest's first 32 bits, big-endian.
    public let tag: UInt32

    public init(version: UInt64, tag: UInt32) {
        self.version = version
        self.tag = tag
    }

    /// Reads `VERSION-TAG`: decimal digits without a sign, a hyphen, 8 hexadecimal digits.
    public init?(_ text: some StringProtocol) {
        self.init(bytes: text.utf8)
    }

    /// Reads `VERSION-TAG` from UTF-8.
    @inlinable
    public init?(bytes: some Collection<UInt8>) {
        guard let hyphen = bytes.firstIndex(of: UInt8(ascii: "-")) else { return nil }
        guard let tag = VersionTag.tag(hex: bytes[bytes.index(after: hyphen)...]) else { return nil }
        guard let version = VersionTag.version(decimal: bytes[..<hyphen]) else { return nil }
        self.init(version: version, tag: tag)
    }

    /// Reads decimal digits only; nil for a sign, an empty text, or more than 64 bits.
    public static func version(decimal text: some StringProtocol) -> UInt64? { version(decimal: text.utf8) }

    @inlinable
    public static func version(decimal bytes: some Collection<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        guard !bytes.isEmpty else { return nil }
        for byte in bytes {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(byte - 0x30))
            guard !overflow, !carry else { return nil }
            value = sum
        }
        return value
    }

    /// Reads exactly 8 hexadecimal digits.
    public static func tag(hex text: some StringProtocol) -> UInt32? { tag(hex: text.utf8) }

    @inlinable
    public static func tag(hex bytes: some Collection<UInt8>) -> UInt32? {
        var value: UInt32 = 0
        var digits = 0
        for byte in bytes {
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte - 0x30
            case 0x61...0x66: digit = byte - 0x61 + 10
            case 0x41...0x46: digit = byte - 0x41 + 10
            default: return nil
            }
            digits += 1
            guard digits <= 8 else { return nil }
            value = value << 4 | UInt32(digit)
        }
        return digits == 8 ? value : nil
    }

    /// Writes `VERSION-TAG` without making a string.
    public func append(to bytes: inout [UInt8]) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &digits) { digits in
            var start = digits.count
            var rest = version
            repeat {
                start -= 1
                digits[start] = UInt8(truncatingIfNeeded: rest % 10) + 0x30
                rest /= 10
            } while rest > 0
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: digits[start...]))
        }
        bytes.append(0x2d)
        for shift in stride(from: 28, through: 0, by: -4) {
            let digit = UInt8(truncatingIfNeeded: tag >> UInt32(shift)) & 0xf
            bytes.append(digit < 10 ? digit + 0x30 : digit + 0x57)
        }
    }

    /// The tag as 8 lower-case hexadecimal digits.
    public var tagHex: String {
        let hex = String(tag, radix: 16)
        return String(repeating: "0", count: 8 - hex.count) + hex
    }
}

extension VersionTag: CustomStringConvertible {
    public var description: String { "\(version)-\(tagHex)" }
}

extension VersionTag: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = VersionTag(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "'\(text)' is not VERSION-TAG")
        }
        self = value
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
