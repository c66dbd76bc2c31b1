import HTTPWire
import Testing

@Suite("Writers")
struct WireWriterTests {
    static let numbers: [UInt64] = [
        0, 1, 9, 10, 15, 16, 99, 100, 255, 256, 4_095, 4_096, 999_999_999, 1 << 60, (1 << 60) - 1,
        9_999_999_999_999_999_999, 10_000_000_000_000_000_000, .max,
    ]

    @Test("numbers are written in decimal", arguments: numbers)
    func decimal(value: UInt64) {
        var bytes = [UInt8](repeating: 0xff, count: WireWriter.decimalBytesMax)
        let count = bytes.withUnsafeMutableBytes { WireWriter.writeDecimal(value, to: $0.baseAddress!) }
        #expect(latin1(bytes[..<count]) == String(value))
    }

    @Test("chunk sizes are written in hex", arguments: numbers)
    func chunkHeader(value: UInt64) {
        var bytes = [UInt8](repeating: 0xff, count: WireWriter.chunkHeaderBytesMax)
        let count = bytes.withUnsafeMutableBytes { WireWriter.writeChunkHeader(size: value, to: $0.baseAddress!) }
        #expect(latin1(bytes[..<count]) == String(value, radix: 16) + "\r\n")
    }
}
