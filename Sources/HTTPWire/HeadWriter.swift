/// Writes a head into memory that the caller provides. Never allocates; a rewritten head is a few copies of memory.
///
/// What does not fit is not written, and ``overflowed`` says so: the memory then holds a part of a head, which must not be
/// sent. Callers that size their memory by the rewriters' bounds never see it.
public struct HeadWriter {
    @usableFromInline let base: UnsafeMutableRawPointer
    /// Bytes that fit.
    public let capacity: Int
    /// Bytes written.
    public private(set) var count = 0
    /// Whether something did not fit. Stays true.
    public private(set) var overflowed = false

    /// - Precondition: `memory` is not empty and outlives the writer.
    @inline(__always)
    public init(_ memory: UnsafeMutableRawBufferPointer) {
        base = memory.baseAddress!
        capacity = memory.count
    }

    @inline(__always)
    public init(base: UnsafeMutableRawPointer, capacity: Int) {
        self.base = base
        self.capacity = capacity
    }

    /// What has been written.
    @inline(__always)
    public var written: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    @inline(__always)
    private mutating func reserve(_ length: Int) -> UnsafeMutableRawPointer? {
        guard length <= capacity &- count, !overflowed else {
            overflowed = true
            return nil
        }
        let place = base + count
        count &+= length
        return place
    }

    /// - Precondition: `length` bytes can be read at `bytes`.
    @inline(__always)
    public mutating func append(_ bytes: UnsafeRawPointer, count length: Int) {
        guard let place = reserve(length) else { return }
        place.copyMemory(from: bytes, byteCount: length)
    }

    @inline(__always)
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        append(start, count: bytes.count)
    }

    /// Appends `bytes[range]`.
    ///
    /// - Precondition: the range lies within `bytes`.
    @inline(__always)
    public mutating func append(_ slice: ByteSlice, of bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        append(start + slice.start, count: slice.count)
    }

    @inline(__always)
    public mutating func append(_ text: StaticString) {
        append(text.utf8Start, count: text.utf8CodeUnitCount)
    }

    @inline(__always)
    public mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { append($0) }
    }

    /// Labelled, because a literal would be taken for a `String` otherwise, which is several times slower to write.
    public mutating func append(text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    @inline(__always)
    public mutating func append(byte: UInt8) {
        guard let place = reserve(1) else { return }
        place.storeBytes(of: byte, as: UInt8.self)
    }

    /// In decimal digits without leading zeros.
    @inline(__always)
    public mutating func append(decimal value: UInt64) {
        var digits: UInt64 = 1
        var bound = value / 10
        while bound > 0 {
            digits &+= 1
            bound /= 10
        }
        guard let place = reserve(Int(digits)) else { return }
        var rest = value
        var index = Int(digits)
        while index > 0 {
            index &-= 1
            place.storeBytes(of: UInt8(truncatingIfNeeded: rest % 10) &+ 0x30, toByteOffset: index, as: UInt8.self)
            rest /= 10
        }
    }
}
