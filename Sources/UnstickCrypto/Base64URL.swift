/// base64url (RFC 4648 section 5), written without padding, read with or without.
public enum Base64URL {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    /// Values of the alphabet's bytes; 255 for others.
    private static let values: [UInt8] = {
        var table = [UInt8](repeating: 255, count: 256)
        for (value, byte) in alphabet.enumerated() { table[Int(byte)] = UInt8(value) }
        return table
    }()

    /// Appends the text of `bytes` through `write`, at most once per byte of text.
    public static func encode(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        let length = (bytes.count * 4 + 2) / 3
        return [UInt8](unsafeUninitializedCapacity: length) { output, count in
            var written = 0
            alphabet.withUnsafeBufferPointer { alphabet in
                var index = 0
                while index + 2 < bytes.count {
                    let group = UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2])
                    output[written] = alphabet[Int(group >> 18)]
                    output[written + 1] = alphabet[Int(group >> 12 & 63)]
                    output[written + 2] = alphabet[Int(group >> 6 & 63)]
                    output[written + 3] = alphabet[Int(group & 63)]
                    written += 4
                    index += 3
                }
                switch bytes.count - index {
                case 1:
                    let group = UInt32(bytes[index]) << 16
                    output[written] = alphabet[Int(group >> 18)]
                    output[written + 1] = alphabet[Int(group >> 12 & 63)]
                    written += 2
                case 2:
                    let group = UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8
                    output[written] = alphabet[Int(group >> 18)]
                    output[written + 1] = alphabet[Int(group >> 12 & 63)]
                    output[written + 2] = alphabet[Int(group >> 6 & 63)]
                    written += 3
                default: break
                }
            }
            count = written
        }
    }

    public static func encode(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.withUnsafeBytes { encode($0) }, as: UTF8.self)
    }

    /// Nil when a byte is not of the alphabet, the length is impossible, or unused bits are set.
    public static func decode(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
        var end = text.count
        while end > 0, text[end - 1] == UInt8(ascii: "="), text.count - end < 2 { end -= 1 }
        let remainder = end % 4
        guard remainder != 1 else { return nil }
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: end / 4 * 3 + 2) { output, count in
            var written = 0
            var index = 0
            values.withUnsafeBufferPointer { values in
                func value(_ offset: Int) -> UInt32 {
                    let value = values[Int(text[offset])]
                    if value == 255 { failed = true }
                    return UInt32(value)
                }
                while index + 3 < end {
                    let group = value(index) << 18 | value(index + 1) << 12 | value(index + 2) << 6 | value(index + 3)
                    output[written] = UInt8(truncatingIfNeeded: group >> 16)
                    output[written + 1] = UInt8(truncatingIfNeeded: group >> 8)
                    output[written + 2] = UInt8(truncatingIfNeeded: group)
                    written += 3
                    index += 4
                }
                if remainder == 2 {
                    let group = value(index) << 18 | value(index + 1) << 12
                    output[written] = UInt8(truncatingIfNeeded: group >> 16)
                    written += 1
                    if group & 0xffff != 0 { failed = true }
                } else if remainder == 3 {
                    let group = value(index) << 18 | value(index + 1) << 12 | value(index + 2) << 6
                    output[written] = UInt8(truncatingIfNeeded: group >> 16)
                    output[written + 1] = UInt8(truncatingIfNeeded: group >> 8)
                    written += 2
                    if group & 0xff != 0 { failed = true }
                }
            }
            count = written
        }
        return failed ? nil : bytes
    }

    public static func decode(_ text: String) -> [UInt8]? {
        Array(text.utf8).withUnsafeBytes { decode($0) }
    }
}
