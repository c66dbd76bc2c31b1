/// A JSON object (RFC 8259) of texts, whole numbers and lists of texts. Written by hand because a verification reads a
/// million of them and a general decoder takes longer for that than the network does.
///
/// Members of other kinds are checked for their syntax and kept as `other`.
struct FlatJSON {
    enum Value: Equatable {
        case text(String)
        case integer(Int64)
        case texts([String])
        case null
        case other
    }

    private(set) var names: [String] = []
    private var values: [Value] = []

    static let membersMax = 64
    static let depthMax = 16

    init(parsing bytes: UnsafeRawBufferPointer) throws(FlatJSONError) {
        var scanner = JSONScanner(bytes: bytes)
        try scanner.expect(UInt8(ascii: "{"), "an object")
        if !scanner.take(UInt8(ascii: "}")) {
            repeat {
                let name = try scanner.string()
                guard !names.contains(name) else { throw FlatJSONError("a member appears twice") }
                guard names.count < Self.membersMax else { throw FlatJSONError("more than \(Self.membersMax) members") }
                try scanner.expect(UInt8(ascii: ":"), "a colon")
                names.append(name)
                values.append(try scanner.value(depth: 1))
            } while scanner.take(UInt8(ascii: ","))
            try scanner.expect(UInt8(ascii: "}"), "a comma or the object's end")
        }
        guard scanner.isAtEnd else { throw FlatJSONError("something follows the object") }
    }

    private func value(_ name: String) -> Value? { names.firstIndex(of: name).map { values[$0] } }

    func has(_ name: String) -> Bool { names.contains(name) }

    func isNullOrAbsent(_ name: String) -> Bool { value(name).map { $0 == .null } ?? true }

    func text(_ name: String, bytes: ClosedRange<Int>) throws(FlatJSONError) -> String {
        guard let value = value(name) else { throw FlatJSONError("'\(name)' is missing") }
        guard case .text(let text) = value else { throw FlatJSONError("'\(name)' is not a text") }
        guard bytes.contains(text.utf8.count) else {
            throw FlatJSONError(
                "'\(name)' has \(text.utf8.count) bytes; it must have \(bytes.lowerBound) to \(bytes.upperBound)")
        }
        return text
    }

    func integer(_ name: String, in range: ClosedRange<Int64>) throws(FlatJSONError) -> Int64 {
        guard let value = value(name) else { throw FlatJSONError("'\(name)' is missing") }
        guard case .integer(let number) = value else { throw FlatJSONError("'\(name)' is not a whole number") }
        guard range.contains(number) else {
            throw FlatJSONError("'\(name)' is \(number); it must be \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// Empty when there is no such list.
    func texts(_ name: String) -> [String] {
        if case .texts(let texts) = value(name) { return texts }
        return []
    }
}

struct FlatJSONError: Error, Equatable {
    var message: String
    init(_ message: String) { self.message = message }
}

private struct JSONScanner {
    let bytes: UnsafeRawBufferPointer
    var position = 0

    init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    private mutating func skipSpace() {
        while position < bytes.count, bytes[position] <= 0x20 {
            let byte = bytes[position]
            guard byte == 0x20 || byte == 0x09 || byte == 0x0d || byte == 0x0a else { return }
            position += 1
        }
    }

    var isAtEnd: Bool {
        mutating get {
            skipSpace()
            return position == bytes.count
        }
    }

    mutating func take(_ byte: UInt8) -> Bool {
        skipSpace()
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    mutating func expect(_ byte: UInt8, _ what: String) throws(FlatJSONError) {
        guard take(byte) else { throw FlatJSONError("byte \(position + 1) is not \(what)") }
    }

    mutating func value(depth: Int) throws(FlatJSONError) -> FlatJSON.Value {
        guard depth <= FlatJSON.depthMax else { throw FlatJSONError("nested deeper than \(FlatJSON.depthMax)") }
        skipSpace()
        guard position < bytes.count else { throw FlatJSONError("it ends where a value is due") }
        switch bytes[position] {
        case UInt8(ascii: "\""): return .text(try string())
        case UInt8(ascii: "["): return try list(depth: depth)
        case UInt8(ascii: "{"):
            position += 1
            if take(UInt8(ascii: "}")) { return .other }
            repeat {
                _ = try string()
                try expect(UInt8(ascii: ":"), "a colon")
                _ = try value(depth: depth + 1)
            } while take(UInt8(ascii: ","))
            try expect(UInt8(ascii: "}"), "a comma or the object's end")
            return .other
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "t"): return try word("true", .other)
        case UInt8(ascii: "f"): return try word("false", .other)
        default: return try number()
        }
    }

    private mutating func list(depth: Int) throws(FlatJSONError) -> FlatJSON.Value {
        position += 1
        var texts: [String] = []
        var isOfTexts = true
        if take(UInt8(ascii: "]")) { return .texts([]) }
        repeat {
            if case .text(let text) = try value(depth: depth + 1) { texts.append(text) } else { isOfTexts = false }
        } while take(UInt8(ascii: ","))
        try expect(UInt8(ascii: "]"), "a comma or the list's end")
        return isOfTexts ? .texts(texts) : .other
    }

    private mutating func word(_ word: StaticString, _ value: FlatJSON.Value) throws(FlatJSONError) -> FlatJSON.Value {
        let count = word.utf8CodeUnitCount
        guard position + count <= bytes.count,
            UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
                .elementsEqual(UnsafeRawBufferPointer(start: word.utf8Start, count: count))
        else { throw FlatJSONError("byte \(position + 1) begins no value") }
        position += count
        return value
    }

    /// Fractions and exponents are legal JSON and nothing that the contract has: `other`.
    private mutating func number() throws(FlatJSONError) -> FlatJSON.Value {
        let start = position
        let isNegative = take(UInt8(ascii: "-"))
        let firstDigit = position
        var value: Int64 = 0
        var fits = true
        while position < bytes.count, bytes[position] >= 0x30, bytes[position] <= 0x39 {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int64(bytes[position] - 0x30))
            if overflow || carry { fits = false }
            value = sum
            position += 1
        }
        guard position > firstDigit else { throw FlatJSONError("byte \(start + 1) begins no value") }
        guard bytes[firstDigit] != 0x30 || position == firstDigit + 1 else {
            throw FlatJSONError("byte \(start + 1) begins a number with a leading zero")
        }
        var isWhole = true
        while position < bytes.count, "0123456789.eE+-".utf8.contains(bytes[position]) {
            isWhole = false
            position += 1
        }
        return isWhole && fits ? .integer(isNegative ? -value : value) : .other
    }

    mutating func string() throws(FlatJSONError) -> String {
        try expect(UInt8(ascii: "\""), "a text")
        let start = position
        while position < bytes.count, bytes[position] != UInt8(ascii: "\""), bytes[position] != UInt8(ascii: "\\"),
            bytes[position] >= 0x20
        {
            position += 1
        }
        guard position < bytes.count else { throw FlatJSONError("a text does not end") }
        if bytes[position] == UInt8(ascii: "\"") {
            position += 1
            return try utf8(UnsafeRawBufferPointer(rebasing: bytes[start..<position - 1]))
        }
        var unescaped = Array(bytes[start..<position])
        while true {
            guard position < bytes.count else { throw FlatJSONError("a text does not end") }
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return try utf8(unescaped)
            case UInt8(ascii: "\\"): try escape(into: &unescaped)
            case 0..<0x20: throw FlatJSONError("a text has a bare control character")
            default: unescaped.append(byte)
            }
        }
    }

    private func utf8(_ bytes: some Collection<UInt8>) throws(FlatJSONError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw FlatJSONError("a text is not UTF-8") }
        return text
    }

    private mutating func escape(into text: inout [UInt8]) throws(FlatJSONError) {
        guard position < bytes.count else { throw FlatJSONError("a text does not end") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var unit = try codeUnit()
            if unit & 0xfc00 == 0xd800 {
                guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
                    bytes[position + 1] == UInt8(ascii: "u")
                else { throw FlatJSONError("half a surrogate pair") }
                position += 2
                let low = try codeUnit()
                guard low & 0xfc00 == 0xdc00 else { throw FlatJSONError("half a surrogate pair") }
                unit = 0x10000 + (unit & 0x3ff) << 10 + low & 0x3ff
            }
            guard let scalar = Unicode.Scalar(unit) else { throw FlatJSONError("half a surrogate pair") }
            text.append(contentsOf: UTF8.encode(scalar)!)
        default: throw FlatJSONError("a text has an unknown escape")
        }
    }

    private mutating func codeUnit() throws(FlatJSONError) -> UInt32 {
        guard position + 4 <= bytes.count else { throw FlatJSONError("a text does not end") }
        var unit: UInt32 = 0
        for byte in bytes[position..<position + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw FlatJSONError("\\u is not followed by 4 hexadecimal digits")
            }
            unit = unit << 4 | UInt32(digit)
        }
        position += 4
        return unit
    }
}
