/// Writes pieces of messages into memory.
public enum WireWriter {
    /// Most bytes that `writeDecimal` writes.
    public static let decimalBytesMax = 20
    /// Most bytes that `writeChunkHeader` writes.
    public static let chunkHeaderBytesMax = 18

    /// Writes `value` in decimal digits; returns how many. `target` has room for `decimalBytesMax` bytes.
    public static func writeDecimal(_ value: UInt64, to target: UnsafeMutableRawPointer) -> Int {
        var count = 1
        var bound: UInt64 = 10
        while value >= bound {
            count += 1
            let (next, overflow) = bound.multipliedReportingOverflow(by: 10)
            if overflow { break }
            bound = next
        }
        var rest = value
        for index in stride(from: count - 1, through: 0, by: -1) {
            target.storeBytes(of: UInt8(truncatingIfNeeded: rest % 10) + 0x30, toByteOffset: index, as: UInt8.self)
            rest /= 10
        }
        return count
    }

    /// Writes a chunk's first line, `SIZE CRLF` in hex (RFC 9112 §7.1); returns how many bytes. `target` has room for
    /// `chunkHeaderBytesMax` bytes. A size of 0 writes the last chunk's line.
    public static func writeChunkHeader(size: UInt64, to target: UnsafeMutableRawPointer) -> Int {
        let digits = max(1, (67 - size.leadingZeroBitCount) / 4)
        var rest = size
        for index in stride(from: digits - 1, through: 0, by: -1) {
            let digit = UInt8(truncatingIfNeeded: rest & 0xf)
            target.storeBytes(of: digit < 10 ? digit + 0x30 : digit + 0x57, toByteOffset: index, as: UInt8.self)
            rest >>= 4
        }
        target.storeBytes(of: 0x0d, toByteOffset: digits, as: UInt8.self)
        target.storeBytes(of: 0x0a, toByteOffset: digits + 1, as: UInt8.self)
        return digits + 2
    }
}
