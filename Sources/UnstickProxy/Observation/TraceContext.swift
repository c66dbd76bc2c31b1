import NIOCore
import UnstickCore

/// A request's place in a trace: W3C Trace Context (level 1, https://www.w3.org/TR/trace-context/).
struct TraceContext: Sendable, Equatable {
    var trace: TraceID
    /// The caller's span; nil when the trace begins here.
    var parent: SpanID?
    /// The span of this request here.
    var server: SpanID
    /// The span of the request to the instance: what the instance gets as its parent.
    var upstream: SpanID
    /// Whether spans are recorded, here and by whoever comes next.
    var isSampled: Bool
    /// The caller's `tracestate` may be passed on: it belongs to the caller's `traceparent`, and means nothing without.
    var keepsState: Bool

    /// What a `traceparent` header says.
    struct Parent: Sendable, Equatable {
        var trace: TraceID
        var span: SpanID
        var isSampled: Bool

        /// Reads a header's value (section 3.2): lower-case hexadecimal only, no zero ids, version `ff` refused. Of
        /// version 00 the length is exact; of later versions what is known is read and must be followed by the end or `-`.
        /// - Returns: nil for anything else; the trace then begins anew (section 3.2.4).
        init?(_ value: UnsafeRawBufferPointer) {
            guard value.count >= 55, let version = Self.hex(value, 0, 2), version != 0xff,
                value[2] == 0x2d, value[35] == 0x2d, value[52] == 0x2d,
                version == 0 ? value.count == 55 : value.count == 55 || value[55] == 0x2d,
                let high = Self.hex(value, 3, 16), let low = Self.hex(value, 19, 16),
                let span = Self.hex(value, 36, 16).flatMap({ SpanID($0) }), let flags = Self.hex(value, 53, 2),
                let trace = TraceID(high: high, low: low)
            else { return nil }
            self.trace = trace
            self.span = span
            // Only the lowest bit has a meaning in version 00 (section 3.2.2.5).
            isSampled = flags & 1 != 0
        }

        init(trace: TraceID, span: SpanID, isSampled: Bool) {
            self.trace = trace
            self.span = span
            self.isSampled = isSampled
        }

        private static func hex(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ count: Int) -> UInt64? {
            var value: UInt64 = 0
            for index in start..<start + count {
                let digit: UInt8
                switch bytes[index] {
                case let byte where byte >= 0x30 && byte <= 0x39: digit = byte - 0x30
                case let byte where byte >= 0x61 && byte <= 0x66: digit = byte - 0x57
                default: return nil
                }
                value = value << 4 | UInt64(digit)
            }
            return value
        }
    }

    /// Goes on with the caller's trace, or begins one.
    /// - Parameters:
    ///   - sampled: of a trace that begins here; one that goes on keeps the caller's decision.
    ///   - random: never the zero that the standard forbids.
    init(parent: Parent?, sampled: @autoclosure () -> Bool, random: inout ObservationRandom) {
        self.parent = parent?.span
        trace = parent?.trace ?? random.nextTraceID()
        isSampled = parent?.isSampled ?? sampled()
        keepsState = parent != nil
        server = random.nextSpanID()
        upstream = random.nextSpanID()
    }

    /// Bytes of ``writeLine(to:)``.
    static let lineBytes = 70

    /// Writes `traceparent: 00-…-…-0X` and CRLF for the instance; `target` has room for ``lineBytes``.
    func writeLine(to target: UnsafeMutableRawPointer) {
        var writer = RawWriter(target, capacity: Self.lineBytes)
        writer.put("traceparent: 00-")
        writer.putHex(trace.high)
        writer.putHex(trace.low)
        writer.put("-")
        writer.putHex(upstream.value)
        writer.put(isSampled ? "-01\r\n" : "-00\r\n")
    }

    /// Whether a `tracestate` value may be passed on (section 3.3): at most 32 members `key=value` in at most 8 KiB, each
    /// key and value of the allowed characters. An invalid one is left out, its `traceparent` stays (section 3.3.1).
    static func isValidState(_ value: UnsafeRawBufferPointer) -> Bool {
        guard value.count <= 8192 else { return false }
        var members = 0
        var start = 0
        while start <= value.count {
            let end = value[start...].firstIndex(of: 0x2c) ?? value.count
            var (lower, upper) = (start, end)
            while lower < upper, value[lower] == 0x20 || value[lower] == 0x09 { lower += 1 }
            while upper > lower, value[upper - 1] == 0x20 || value[upper - 1] == 0x09 { upper -= 1 }
            start = end + 1
            // Empty members are allowed.
            if lower == upper { continue }
            members += 1
            guard members <= 32, isValidMember(UnsafeRawBufferPointer(rebasing: value[lower..<upper])) else {
                return false
            }
        }
        return true
    }

    private static func isValidMember(_ member: UnsafeRawBufferPointer) -> Bool {
        guard let equals = member.firstIndex(of: 0x3d), (1...256).contains(equals) else { return false }
        let text = member[(equals + 1)...]
        guard (1...256).contains(text.count), text.last != 0x20,
            text.allSatisfy({ $0 >= 0x20 && $0 <= 0x7e && $0 != 0x2c && $0 != 0x3d })
        else { return false }
        let key = member[..<equals]
        let isLetter = { (byte: UInt8) in byte >= 0x61 && byte <= 0x7a }
        let isDigit = { (byte: UInt8) in byte >= 0x30 && byte <= 0x39 }
        let at = key.firstIndex(of: 0x40)
        guard isLetter(key[0]) || (isDigit(key[0]) && at != nil) else { return false }
        if let at {
            // `tenant@system`: up to 241 and 14 bytes, the system begins with a letter.
            let system = key[(at + 1)...]
            guard (1...241).contains(at), (1...14).contains(system.count), isLetter(system[at + 1]) else {
                return false
            }
        }
        return key.enumerated().allSatisfy { index, byte in
            isLetter(byte) || isDigit(byte) || byte == 0x5f || byte == 0x2d || byte == 0x2a || byte == 0x2f
                || index == at
        }
    }
}

/// Random numbers for ids and samples: xoshiro-like quality is not needed, unpredictability neither; collisions must be
/// rare over all proxies, hence a 64-bit state from the system's generator and SplitMix64 (Steele, Lea, Flood 2014).
struct ObservationRandom: Sendable {
    private var high: UInt64
    private var low: UInt64

    /// - Parameters: two independent words of the system's generator.
    init(seed high: UInt64, _ low: UInt64) {
        self.high = high
        self.low = low
    }

    @inline(__always)
    mutating func next() -> UInt64 {
        high &+= 0x9e37_79b9_7f4a_7c15
        // A second, slower state: two loops whose first state meets do not go on alike.
        if high == 0 { low &+= 0xd1b5_4a32_d192_ed03 }
        var value = high ^ low
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    mutating func nextSpanID() -> SpanID {
        while true {
            if let id = SpanID(next()) { return id }
        }
    }

    mutating func nextTraceID() -> TraceID {
        while true {
            if let id = TraceID(high: next(), low: next()) { return id }
        }
    }
}

/// A share of cases, decided by one compare.
struct SampleShare: Sendable, Equatable {
    private let threshold: UInt64
    private let isEverything: Bool

    /// - Parameter share: 0 (never) to 1 (always).
    init(_ share: Double) {
        isEverything = share >= 1
        threshold = share <= 0 || share >= 1 ? 0 : UInt64(share * 0x1p64)
    }

    @inline(__always)
    func includes(_ random: inout ObservationRandom) -> Bool {
        if isEverything { return true }
        if threshold == 0 { return false }
        return random.next() < threshold
    }
}
