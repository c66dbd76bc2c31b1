import HTTPWire

/// Writes text into memory that somebody else owns, without allocation. What does not fit is not written, and
/// ``isOverfull`` says so.
struct RawWriter {
    private let base: UnsafeMutableRawPointer
    private let capacity: Int
    private(set) var count: Int
    private(set) var isOverfull = false

    /// - Parameter count: bytes that `base` holds already.
    init(_ base: UnsafeMutableRawPointer, capacity: Int, count: Int = 0) {
        self.base = base
        self.capacity = capacity
        self.count = count
    }

    /// Forgets what was written behind `count`.
    mutating func rewind(to count: Int) {
        self.count = count
        isOverfull = false
    }

    @inline(__always)
    private mutating func room(_ bytes: Int) -> Bool {
        if count &+ bytes <= capacity { return true }
        isOverfull = true
        return false
    }

    @inline(__always)
    mutating func put(byte: UInt8) {
        guard room(1) else { return }
        base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count &+= 1
    }

    @inline(__always)
    mutating func put(_ text: StaticString) {
        let size = text.utf8CodeUnitCount
        guard room(size) else { return }
        (base + count).copyMemory(from: text.utf8Start, byteCount: size)
        count &+= size
    }

    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, room(bytes.count) else { return }
        (base + count).copyMemory(from: source, byteCount: bytes.count)
        count &+= bytes.count
    }

    mutating func put(_ bytes: [UInt8]) { bytes.withUnsafeBytes { put($0) } }

    mutating func put(_ text: String) {
        var text = text
        text.withUTF8 { put(UnsafeRawBufferPointer($0)) }
    }

    mutating func putDecimal(_ value: UInt64) {
        guard room(WireWriter.decimalBytesMax) else { return }
        count &+= WireWriter.writeDecimal(value, to: base + count)
    }

    /// With leading zeros, the lowest `digits` of them.
    mutating func putDecimal(_ value: UInt64, digits: Int) {
        guard room(digits) else { return }
        var rest = value
        for index in stride(from: digits - 1, through: 0, by: -1) {
            base.storeBytes(
                of: UInt8(truncatingIfNeeded: rest % 10) + 0x30, toByteOffset: count + index, as: UInt8.self)
            rest /= 10
        }
        count &+= digits
    }

    /// 16 lower-case digits.
    mutating func putHex(_ value: UInt64) {
        guard room(16) else { return }
        for index in 0..<16 {
            let digit = UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * index) & 0xf)
            base.storeBytes(of: digit < 10 ? digit + 0x30 : digit + 0x57, toByteOffset: count &+ index, as: UInt8.self)
        }
        count &+= 16
    }

    /// Seconds with six digits behind the point, microseconds cut off.
    mutating func putSeconds(nanoseconds: UInt64) {
        putDecimal(nanoseconds / 1_000_000_000)
        put(byte: 0x2e)
        putDecimal(nanoseconds / 1000 % 1_000_000, digits: 6)
    }

    /// `2026-11-24T06:44:42.500Z` (RFC 3339).
    mutating func putTimestamp(milliseconds: Int64) {
        let time = CivilTime(milliseconds: milliseconds)
        putDecimal(UInt64(time.year), digits: 4)
        put(byte: 0x2d)
        putDecimal(UInt64(time.month), digits: 2)
        put(byte: 0x2d)
        putDecimal(UInt64(time.day), digits: 2)
        put(byte: 0x54)
        putClock(time)
        put(byte: 0x2e)
        putDecimal(UInt64(time.millisecond), digits: 3)
        put(byte: 0x5a)
    }

    /// `24/Nov/2026:06:44:42 +0000`, as in NCSA's common log format.
    mutating func putLogTime(milliseconds: Int64) {
        let time = CivilTime(milliseconds: milliseconds)
        putDecimal(UInt64(time.day), digits: 2)
        put(byte: 0x2f)
        put(CivilTime.months[time.month - 1])
        put(byte: 0x2f)
        putDecimal(UInt64(time.year), digits: 4)
        put(byte: 0x3a)
        putClock(time)
        put(" +0000")
    }

    private mutating func putClock(_ time: CivilTime) {
        putDecimal(UInt64(time.hour), digits: 2)
        put(byte: 0x3a)
        putDecimal(UInt64(time.minute), digits: 2)
        put(byte: 0x3a)
        putDecimal(UInt64(time.second), digits: 2)
    }

    /// Within a JSON string (RFC 8259 section 7), at most `limit` bytes of the input: quotes, backslashes and controls are
    /// escaped; so is every byte beyond ASCII, as the Latin-1 character that it would be, because a client's bytes need not
    /// be UTF-8. No input can end the string or the line.
    mutating func putJSON(_ bytes: UnsafeRawBufferPointer, limit: Int) {
        escape(bytes, limit: limit) { writer, byte in
            writer.put("\\u00")
            writer.putHexByte(byte)
        }
    }

    /// Within the quotes of a combined log line: quotes, backslashes, controls and everything beyond ASCII as `\xHH`, as
    /// nginx and Apache do.
    mutating func putCombined(_ bytes: UnsafeRawBufferPointer, limit: Int) {
        escape(bytes, limit: limit) { writer, byte in
            writer.put("\\x")
            writer.putHexByte(byte)
        }
    }

    @inline(__always)
    private mutating func escape(
        _ bytes: UnsafeRawBufferPointer, limit: Int, _ escaped: (inout RawWriter, UInt8) -> Void
    ) {
        for byte in bytes.prefix(limit) {
            if byte >= 0x20, byte < 0x7f, byte != 0x22, byte != 0x5c {
                put(byte: byte)
            } else {
                escaped(&self, byte)
            }
        }
        if bytes.count > limit { put("...") }
    }

    private mutating func putHexByte(_ byte: UInt8) {
        putHexDigit(byte >> 4)
        putHexDigit(byte & 0xf)
    }

    private mutating func putHexDigit(_ digit: UInt8) { put(byte: digit < 10 ? digit + 0x30 : digit + 0x57) }
}

/// A moment in UTC, proleptic Gregorian.
struct CivilTime {
    var year: Int
    var month: Int
    var day: Int
    var hour: Int
    var minute: Int
    var second: Int
    var millisecond: Int

    static let months: InlineArray<12, StaticString> = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// - Parameter milliseconds: since 1970, 0 to the year 9999; what is outside is clamped.
    init(milliseconds: Int64) {
        let clamped = Int(max(0, min(milliseconds, 253_402_300_799_999)))
        millisecond = clamped % 1000
        let seconds = clamped / 1000
        second = seconds % 60
        minute = seconds / 60 % 60
        hour = seconds / 3600 % 24
        // Days since 0000-03-01: leap days then come last in their year, and months have a linear rule.
        let days = seconds / 86400 + 719_468
        let era = days / 146_097
        let dayOfEra = days % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }
}
