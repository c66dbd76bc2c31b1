/// A set of ASCII bytes as two words of bits: no memory is touched to ask it.
struct ByteClass: Sendable {
    let low: UInt64
    let high: UInt64

    @inline(__always)
    func contains(_ byte: UInt8) -> Bool {
        let word = byte & 0x40 == 0 ? low : high
        return byte < 0x80 && (word >> UInt64(byte & 0x3f)) & 1 != 0
    }

    /// `tchar` (RFC 9110 §5.6.2): letters, digits and !#$%&'*+-.^_`|~
    static let token = ByteClass(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c7ff_fffe)
    /// What a `reg-name` holds without a percent-encoding (RFC 3986 §3.2.2): letters, digits and -._~!$&'()*+,;=
    static let registeredName = ByteClass(low: 0x2bff_7fd2_0000_0000, high: 0x47ff_fffe_87ff_fffe)
}

/// Searches over raw memory, eight bytes at a time (S. E. Anderson, "Bit Twiddling Hacks": `hasless`, `haszero`).
///
/// Those tests can raise false alarms only above a true hit, never below, so the lowest bit set marks the first hit.
enum ByteScan {
    @inline(__always)
    static func repeated(_ byte: UInt8) -> UInt64 { 0x0101_0101_0101_0101 &* UInt64(byte) }

    /// Bit 7 of each byte of `word` that is less than `bound` (at most 128).
    @inline(__always)
    static func less(_ word: UInt64, than bound: UInt8) -> UInt64 {
        (word &- repeated(bound)) & ~word & repeated(0x80)
    }

    /// Bit 7 of each byte of `word` that equals `byte`.
    @inline(__always)
    static func equal(_ word: UInt64, to byte: UInt8) -> UInt64 { less(word ^ repeated(byte), than: 1) }

    /// Eight bytes, the first one in the lowest bits.
    @inline(__always)
    static func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    static func byte(_ base: UnsafeRawPointer, _ offset: Int) -> UInt8 {
        base.load(fromByteOffset: offset, as: UInt8.self)
    }

    /// `count` (at most 8) bytes in the lowest bits, zeros above. Reads no byte at or behind `end`.
    @inline(__always)
    static func shortWord(_ base: UnsafeRawPointer, _ offset: Int, count: Int, end: Int) -> UInt64 {
        if offset &+ 8 <= end {
            return count == 8 ? word(base, offset) : word(base, offset) & ((1 << UInt64(count &* 8)) &- 1)
        }
        var value: UInt64 = 0
        var index = count
        while index > 0 {
            index &-= 1
            value = value << 8 | UInt64(byte(base, offset &+ index))
        }
        return value
    }

    /// Bit 7 of each byte of `word` that is a letter, a digit or `-`: what nearly all field names are made of.
    ///
    /// Exact for every byte: sums of two numbers below 128 carry nothing into the next byte.
    @inline(__always)
    static func plainNameBytes(_ word: UInt64) -> UInt64 {
        let low = word & repeated(0x7f)
        let folded = low | repeated(0x20)
        let letters = (folded &+ repeated(0x80 - 0x61)) & ~(folded &+ repeated(0x7f - 0x7a))
        let digits = (low &+ repeated(0x80 - 0x30)) & ~(low &+ repeated(0x7f - 0x39))
        let notHyphens = (low ^ repeated(0x2d)) &+ repeated(0x7f)
        return (letters | digits | ~notHyphens) & ~word & repeated(0x80)
    }

    /// Offset of the first byte that is no `tchar` in `from ..< end`, else `end`; plain names hold letters, digits and `-` only.
    @inline(__always)
    static func fieldNameEnd(_ base: UnsafeRawPointer, from: Int, end: Int) -> (end: Int, isPlain: Bool) {
        var offset = from
        while offset &+ 8 <= end {
            let others = ~plainNameBytes(word(base, offset)) & repeated(0x80)
            if others == 0 {
                offset &+= 8
                continue
            }
            offset &+= others.trailingZeroBitCount >> 3
            // By far the most frequent end.
            if byte(base, offset) == 0x3a { return (offset, true) }
            break
        }
        var isPlain = true
        while offset < end {
            let byte = byte(base, offset)
            guard ByteClass.token.contains(byte) else { break }
            if byte == 0x5f { isPlain = false }
            offset &+= 1
        }
        return (offset, isPlain)
    }

    /// Offset of the first control (0 ... 31, 127) in `from ..< end`, else `end`. HTAB counts as one.
    @inline(__always)
    static func firstControl(_ base: UnsafeRawPointer, from: Int, end: Int) -> Int {
        var offset = from
        while offset &+ 16 <= end {
            let one = word(base, offset)
            let two = word(base, offset &+ 8)
            let first = less(one, than: 0x20) | equal(one, to: 0x7f)
            let second = less(two, than: 0x20) | equal(two, to: 0x7f)
            if first | second != 0 {
                return first != 0
                    ? offset &+ first.trailingZeroBitCount >> 3 : offset &+ 8 &+ second.trailingZeroBitCount >> 3
            }
            offset &+= 16
        }
        while offset &+ 8 <= end {
            let word = word(base, offset)
            let hits = less(word, than: 0x20) | equal(word, to: 0x7f)
            if hits != 0 { return offset &+ hits.trailingZeroBitCount >> 3 }
            offset &+= 8
        }
        while offset < end {
            let byte = byte(base, offset)
            if byte < 0x20 || byte == 0x7f { return offset }
            offset &+= 1
        }
        return end
    }

    /// Offset of the first byte outside 0x21 ... 0x7e in `from ..< end`, else `end`.
    @inline(__always)
    static func firstNotVisible(_ base: UnsafeRawPointer, from: Int, end: Int) -> Int {
        var offset = from
        while offset &+ 8 <= end {
            let word = word(base, offset)
            let hits = less(word, than: 0x21) | equal(word, to: 0x7f) | word & repeated(0x80)
            if hits != 0 { return offset &+ hits.trailingZeroBitCount >> 3 }
            offset &+= 8
        }
        while offset < end {
            let byte = byte(base, offset)
            if byte < 0x21 || byte > 0x7e { return offset }
            offset &+= 1
        }
        return end
    }

    /// Offset of the first `wanted` in `from ..< end`, else `end`.
    @inline(__always)
    static func first(_ wanted: UInt8, _ base: UnsafeRawPointer, from: Int, end: Int) -> Int {
        var offset = from
        while offset &+ 8 <= end {
            let hits = equal(word(base, offset), to: wanted)
            if hits != 0 { return offset &+ hits.trailingZeroBitCount >> 3 }
            offset &+= 8
        }
        while offset < end {
            if byte(base, offset) == wanted { return offset }
            offset &+= 1
        }
        return end
    }

    /// `start ..< end` without SP and HTAB at both ends.
    @inline(__always)
    static func trimmed(_ base: UnsafeRawPointer, from start: Int, to end: Int) -> ByteSlice {
        var lower = start
        var upper = end
        while lower < upper, isBlank(byte(base, lower)) { lower &+= 1 }
        while lower < upper, isBlank(byte(base, upper &- 1)) { upper &-= 1 }
        return ByteSlice(start: lower, end: upper)
    }

    /// SP or HTAB.
    @inline(__always)
    static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    /// The value of a hex digit, else nil.
    @inline(__always)
    static func hexValue(_ byte: UInt8) -> UInt8? {
        if isDigit(byte) { return byte &- 0x30 }
        let letter = (byte | 0x20) &- 0x61
        return letter < 6 ? letter &+ 10 : nil
    }

    @inline(__always)
    static func lowercased(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

    /// Whether the bytes are those of `text` when case is ignored. `text` is ASCII in lower case.
    static func matches(_ base: UnsafeRawPointer, _ slice: ByteSlice, _ text: StaticString) -> Bool {
        guard slice.count == text.utf8CodeUnitCount else { return false }
        let expected = text.utf8Start
        for index in 0..<slice.count where lowercased(byte(base, slice.start &+ index)) != expected[index] {
            return false
        }
        return true
    }

    /// Whether the bytes are those of `text`, case included.
    static func equals(_ base: UnsafeRawPointer, _ slice: ByteSlice, _ text: StaticString) -> Bool {
        guard slice.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<slice.count where byte(base, slice.start &+ index) != text.utf8Start[index] { return false }
        return true
    }

    /// Whether two ranges hold the same bytes when the case of letters is ignored.
    static func matchesIgnoringCase(_ base: UnsafeRawPointer, _ one: ByteSlice, _ other: ByteSlice) -> Bool {
        guard one.count == other.count else { return false }
        for index in 0..<one.count
        where lowercased(byte(base, one.start &+ index)) != lowercased(byte(base, other.start &+ index)) {
            return false
        }
        return true
    }
}
