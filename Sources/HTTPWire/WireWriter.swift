/// Writes pieces of heads into memory.
public enum WireWriter {
    /// Most bytes that `writeDecimal` writes.
    public static let decimalBytesMax = 20

    /// Writes `value` in decimal digits; returns how many. `target` has room for `decimalBytesMax` bytes.
    public static func writeDecimal(_ value: UInt64, to target: UnsafeMutableRawPointer) -> Int { fatalError() }

    /// Writes a chunk header, `SIZE CRLF` in hex (RFC 9112 §7.1); returns how many bytes. Room for 18 is needed.
    public static func writeChunkHeader(size: UInt64, to target: UnsafeMutableRawPointer) -> Int { fatalError() }
}
