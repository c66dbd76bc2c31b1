internal import COpenSSL

/// Digests that other balancers put into their cookies. Never for anything of ours that has to withstand somebody.
public enum ForeignDigest: String, Sendable, CaseIterable {
    case md5, sha1, sha256

    /// The digest in lower-case hexadecimal; nil when this machine's libcrypto refuses the algorithm (FIPS mode).
    public func hex(of bytes: [UInt8]) -> String? {
        withOutput { output, length in
            EVP_Digest(bytes, bytes.count, output, &length, algorithm, nil)
        }
    }

    /// The HMAC (RFC 2104) in lower-case hexadecimal; nil as above.
    public func hmacHex(of bytes: [UInt8], key: [UInt8]) -> String? {
        withOutput { output, length in
            // A null key would mean the key of the call before.
            let empty: [UInt8] = [0]
            return HMAC(
                algorithm, key.isEmpty ? empty : key, Int32(key.count), bytes, bytes.count, output, &length) == nil
                ? 0 : 1
        }
    }

    private var algorithm: OpaquePointer? {
        switch self {
        case .md5: EVP_md5()
        case .sha1: EVP_sha1()
        case .sha256: EVP_sha256()
        }
    }

    private func withOutput(_ body: (UnsafeMutablePointer<UInt8>, inout UInt32) -> Int32) -> String? {
        var output = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var length: UInt32 = 0
        let result = output.withUnsafeMutableBufferPointer { body($0.baseAddress!, &length) }
        return result == 1 ? Hex.encode(output.prefix(Int(length))) : nil
    }
}

/// XXH64 (Collet, xxHash specification 0.1.1) with seed 0: HAProxy makes its dynamic cookies with it.
public enum XXHash64 {
    private static let primes: (UInt64, UInt64, UInt64, UInt64, UInt64) = (
        0x9e37_79b1_85eb_ca87, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x85eb_ca77_c2b2_ae63,
        0x27d4_eb2f_1656_67c5
    )

    public static func hash(_ bytes: [UInt8]) -> UInt64 {
        let (p1, p2, p3, p4, p5) = primes
        var position = 0
        var hash: UInt64
        if bytes.count >= 32 {
            var lanes = [p1 &+ p2, p2, 0, 0 &- p1]
            while position + 32 <= bytes.count {
                for lane in 0..<4 { lanes[lane] = round(lanes[lane], word(bytes, position + 8 * lane)) }
                position += 32
            }
            hash = rotate(lanes[0], 1) &+ rotate(lanes[1], 7) &+ rotate(lanes[2], 12) &+ rotate(lanes[3], 18)
            for lane in lanes { hash = (hash ^ round(0, lane)) &* p1 &+ p4 }
        } else {
            hash = p5
        }
        hash &+= UInt64(bytes.count)
        while position + 8 <= bytes.count {
            hash = rotate(hash ^ round(0, word(bytes, position)), 27) &* p1 &+ p4
            position += 8
        }
        if position + 4 <= bytes.count {
            hash = rotate(hash ^ (word(bytes, position, count: 4) &* p1), 23) &* p2 &+ p3
            position += 4
        }
        while position < bytes.count {
            hash = rotate(hash ^ (UInt64(bytes[position]) &* p5), 11) &* p1
            position += 1
        }
        hash = (hash ^ (hash >> 33)) &* p2
        hash = (hash ^ (hash >> 29)) &* p3
        return hash ^ (hash >> 32)
    }

    private static func round(_ lane: UInt64, _ input: UInt64) -> UInt64 {
        rotate(lane &+ input &* primes.1, 31) &* primes.0
    }

    private static func rotate(_ value: UInt64, _ bits: UInt64) -> UInt64 { value << bits | value >> (64 - bits) }

    /// Little-endian.
    private static func word(_ bytes: [UInt8], _ position: Int, count: Int = 8) -> UInt64 {
        var value: UInt64 = 0
        for offset in (0..<count).reversed() { value = value << 8 | UInt64(bytes[position + offset]) }
        return value
    }
}
