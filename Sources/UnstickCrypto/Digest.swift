internal import COpenSSL

/// SHA-256 (FIPS 180-4) by the system's libcrypto.
public enum SHA256Digest {
    public static let byteCount = 32

    /// The digest of `bytes`, written into `output`, which must have room for 32 bytes.
    public static func write(of bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) {
        precondition(output.count >= byteCount)
        let empty: UInt8 = 0
        withUnsafePointer(to: empty) { fallback in
            let input = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? fallback
            _ = COpenSSL.SHA256(input, bytes.count, output.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
    }

    public static func digest(of bytes: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            write(of: bytes, into: UnsafeMutableRawBufferPointer(buffer))
            count = byteCount
        }
    }

    public static func digest(of bytes: [UInt8]) -> [UInt8] {
        bytes.withUnsafeBytes { digest(of: $0) }
    }

    /// The digest's first 32 bits, big-endian: the tag of bridge contract version 1.
    public static func prefix32(of bytes: UnsafeRawBufferPointer) -> UInt32 {
        withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: 8) { output in
            write(of: bytes, into: output)
            return UInt32(bigEndian: output.loadUnaligned(as: UInt32.self))
        }
    }
}

/// HMAC-SHA256 (RFC 2104, FIPS 198-1) by the system's libcrypto, with a key that stays in this value.
public struct HMACSHA256: Sendable {
    private let key: [UInt8]

    public init(key: [UInt8]) {
        self.key = key
    }

    /// The 32-byte code of the concatenation of `message`.
    public func authenticate(_ message: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: SHA256Digest.byteCount) { buffer, count in
            let empty: UInt8 = 0
            withUnsafePointer(to: empty) { fallback in
                let input = message.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? fallback
                var length: UInt32 = 0
                _ = key.withUnsafeBytes { keyBytes in
                    HMAC(
                        EVP_sha256(), keyBytes.baseAddress, Int32(keyBytes.count), input, message.count,
                        buffer.baseAddress, &length)
                }
                count = Int(length)
            }
        }
    }

    public func authenticate(_ message: [UInt8]) -> [UInt8] {
        message.withUnsafeBytes { authenticate($0) }
    }

    public func authenticate(_ message: String) -> [UInt8] {
        authenticate(Array(message.utf8))
    }
}

/// Compares without telling by its duration where the difference is.
public func constantTimeEqual(_ lhs: [UInt8], _ rhs: [UInt8]) -> Bool {
    guard lhs.count == rhs.count else { return false }
    return CRYPTO_memcmp(lhs, rhs, lhs.count) == 0
}

/// Random bytes from libcrypto's generator.
public enum SecureRandom {
    public static func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            let result = RAND_bytes(buffer.baseAddress, Int32(count))
            precondition(result == 1, "the system's random generator failed")
            initialized = count
        }
    }

    /// `2 × byteCount` lower-case hexadecimal digits.
    public static func hex(byteCount: Int) -> String {
        Hex.encode(bytes(byteCount))
    }
}

/// Lower-case hexadecimal.
public enum Hex {
    public static func encode(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
