/// A range of bytes in a buffer that the caller holds, as offsets from that buffer's first byte.
///
/// Slices stay valid as long as the bytes keep their place in the buffer. A buffer may hold up to 4 GiB − 1.
public struct ByteSlice: Hashable, Sendable {
    @usableFromInline var lower: UInt32
    @usableFromInline var upper: UInt32

    /// - Precondition: 0 ≤ start ≤ end < 2³².
    @inlinable
    public init(start: Int, end: Int) {
        assert(start <= end)
        lower = UInt32(truncatingIfNeeded: start)
        upper = UInt32(truncatingIfNeeded: end)
    }

    /// No bytes, at offset 0.
    public static var empty: ByteSlice { ByteSlice(start: 0, end: 0) }

    /// Offset of the first byte.
    @inlinable public var start: Int { Int(lower) }
    /// Offset behind the last byte.
    @inlinable public var end: Int { Int(upper) }
    @inlinable public var count: Int { Int(upper) - Int(lower) }
    @inlinable public var isEmpty: Bool { lower == upper }
    @inlinable public var range: Range<Int> { start..<end }

    /// The bytes themselves.
    ///
    /// - Precondition: the slice lies within `bytes`.
    @inlinable
    public func bytes(in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[start..<end])
    }

    /// The bytes read as UTF-8, faulty sequences repaired. Allocates: for logs and tests.
    public func text(in bytes: UnsafeRawBufferPointer) -> String {
        String(decoding: self.bytes(in: bytes), as: UTF8.self)
    }

    /// The same range seen from a buffer whose first byte is `distance` bytes earlier.
    @inlinable
    public func shifted(by distance: Int) -> ByteSlice { ByteSlice(start: start + distance, end: end + distance) }
}
