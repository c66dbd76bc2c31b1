/// How far a scan of field lines came.
private enum ScanEnd {
    /// The empty line has been read.
    case complete
    /// The bytes end in the middle of a line.
    case incomplete
    /// There is another line and no slot for it.
    case full
}

extension HeaderBlock {
    /// Reads field lines from `position` on (RFC 9112 §5) and moves `position` behind each complete one. Returns true when the
    /// empty line has been read, false when the bytes before `end` do not hold it.
    @inline(__always)
    mutating func scan(
        _ base: UnsafeRawPointer,
        end: Int,
        position: inout Int,
        maxFields: Int
    ) throws(HTTPWireError) -> Bool {
        while true {
            switch try scanLines(base, end: end, position: &position) {
            case .complete: return true
            case .incomplete: return false
            case .full:
                if fieldCount >= maxFields { throw HTTPWireError(.tooManyFields, at: position) }
                addSlots(maxFields: maxFields)
            }
        }
    }

    @inline(never)
    private mutating func addSlots(maxFields: Int) {
        let wanted = Swift.min(maxFields, Swift.max(12, slots.count &* 2))
        let unused = HeaderSlice(name: .empty, value: .empty, lineEnd: 0, known: .other)
        slots.append(contentsOf: repeatElement(unused, count: wanted &- slots.count))
    }

    /// The loop itself, on plain memory and local numbers: through `self` each line would cost a dozen stores and the
    /// array's checks.
    @inline(__always)
    private mutating func scanLines(
        _ base: UnsafeRawPointer,
        end: Int,
        position: inout Int
    ) throws(HTTPWireError) -> ScanEnd {
        var count = fieldCount
        var seen = present
        var again = repeated
        var start = position
        defer {
            fieldCount = count
            present = seen
            repeated = again
            position = start
        }
        return try slots.withUnsafeMutableBufferPointer { (slots) throws(HTTPWireError) -> ScanEnd in
            while start < end {
                if ByteScan.byte(base, start) < 0x21 {
                    guard try Self.emptyLine(base, start: start, end: end) else { return .incomplete }
                    start &+= 2
                    return .complete
                }
                let name = ByteScan.fieldNameEnd(base, from: start, end: end)
                let colon = name.end
                if colon == end { return .incomplete }
                let separator = ByteScan.byte(base, colon)
                guard separator == 0x3a, colon > start else {
                    throw HTTPWireError(ByteScan.isBlank(separator) ? .spaceBeforeColon : .badFieldName, at: colon)
                }

                var lower = colon &+ 1
                while lower < end, ByteScan.isBlank(ByteScan.byte(base, lower)) { lower &+= 1 }
                var upper = ByteScan.firstControl(base, from: lower, end: end)
                while upper < end, ByteScan.byte(base, upper) == 0x09 {
                    upper = ByteScan.firstControl(base, from: upper &+ 1, end: end)
                }
                if upper &+ 1 >= end {
                    if upper < end, ByteScan.byte(base, upper) != 0x0d { throw Self.badValue(base, upper) }
                    return .incomplete
                }
                guard ByteScan.byte(base, upper) == 0x0d, ByteScan.byte(base, upper &+ 1) == 0x0a else {
                    throw Self.badValue(base, upper)
                }
                let lineEnd = upper &+ 2
                while upper > lower, ByteScan.isBlank(ByteScan.byte(base, upper &- 1)) { upper &-= 1 }

                // The line is whole: only now may its number be held against the limit.
                if count == slots.count { return .full }
                let known = KnownField.identify(
                    base, start: start, count: colon &- start, end: end, isPlain: name.isPlain)
                let bit: UInt64 = 1 << UInt64(known.rawValue)
                again |= seen & bit
                seen |= bit
                slots[count] = HeaderSlice(
                    name: ByteSlice(start: start, end: colon),
                    value: ByteSlice(start: lower, end: upper),
                    lineEnd: lineEnd,
                    known: known
                )
                count &+= 1
                start = lineEnd
            }
            return .incomplete
        }
    }

    /// A line that does not begin with a name: true for the whole empty line, false when its LF is yet to come.
    private static func emptyLine(_ base: UnsafeRawPointer, start: Int, end: Int) throws(HTTPWireError) -> Bool {
        switch ByteScan.byte(base, start) {
        case 0x0d:
            guard start &+ 1 < end else { return false }
            guard ByteScan.byte(base, start &+ 1) == 0x0a else { throw HTTPWireError(.bareCarriageReturn, at: start) }
            return true
        case 0x0a: throw HTTPWireError(.bareLineFeed, at: start)
        // A fold, or white space before the first field: RFC 9112 §2.2 and §5.2 let a server refuse both.
        case 0x20, 0x09: throw HTTPWireError(.obsoleteFold, at: start)
        default: throw HTTPWireError(.badFieldName, at: start)
        }
    }

    private static func badValue(_ base: UnsafeRawPointer, _ offset: Int) -> HTTPWireError {
        switch ByteScan.byte(base, offset) {
        case 0x0d: HTTPWireError(.bareCarriageReturn, at: offset)
        case 0x0a: HTTPWireError(.bareLineFeed, at: offset)
        default: HTTPWireError(.badFieldValue, at: offset)
        }
    }

    /// Reads the `Connection` fields (RFC 9110 §7.6.1: a list of tokens).
    @inline(__always)
    mutating func readConnection(_ base: UnsafeRawPointer, end: Int) throws(HTTPWireError) {
        guard contains(.connection) else { return }
        connection = try withFields { (fields) throws(HTTPWireError) in
            var options: ConnectionOptions = []
            for line in fields where line.known == .connection {
                // Nearly always one word, and one of these two.
                if let option = Self.commonOption(base, line.value, end: end) {
                    options.insert(option)
                } else {
                    options.formUnion(try Self.options(base, in: line.value, end: end))
                }
            }
            return options
        }
    }

    /// `keep-alive` or `close`. Folding by bit 5 confuses no other byte that a value may hold with theirs.
    @inline(__always)
    private static func commonOption(_ base: UnsafeRawPointer, _ word: ByteSlice, end: Int) -> ConnectionOptions? {
        let fold = ByteScan.repeated(0x20)
        if word.count == 10 {
            let isKeepAlive =
                ByteScan.word(base, word.start) | fold == 0x696c_612d_7065_656b
                && ByteScan.word(base, word.end &- 8) | fold == 0x6576_696c_612d_7065
            return isKeepAlive ? .keepAlive : nil
        }
        guard word.count == 5 else { return nil }
        let isClose = ByteScan.shortWord(base, word.start, count: 5, end: end) | 0x20_2020_2020 == 0x0065_736f_6c63
        return isClose ? .close : nil
    }

    private static func options(
        _ base: UnsafeRawPointer, in list: ByteSlice, end: Int
    ) throws(HTTPWireError) -> ConnectionOptions {
        var options: ConnectionOptions = []
        var position = list.start
        while let option = ListElements.next(base, in: list, position: &position) {
            if let common = commonOption(base, option, end: end) {
                options.insert(common)
            } else {
                for offset in option.range where !ByteClass.token.contains(ByteScan.byte(base, offset)) {
                    throw HTTPWireError(.badConnection, at: offset)
                }
                options.insert(ByteScan.matches(base, option, "upgrade") ? .upgrade : .others)
            }
        }
        return options
    }

    /// What `Transfer-Encoding` and `Content-Length` say together (RFC 9112 §6.1 ... 6.3); nil when both are absent.
    ///
    /// Stricter than §6.3 allows: a repeated length is refused even if all its values agree, because somebody on the
    /// path may have read only one.
    func declaredFraming(
        _ base: UnsafeRawPointer,
        versionMinor: Int
    ) throws(HTTPWireError) -> MessageFraming? {
        if let coding = first(.transferEncoding) {
            let offset = coding.value.start
            if versionMinor == 0 { throw HTTPWireError(.transferEncodingInHTTP10, at: offset) }
            if contains(.contentLength) { throw HTTPWireError(.contentLengthWithTransferEncoding, at: offset) }
            if isRepeated(.transferEncoding) { throw HTTPWireError(.transferEncodingRepeated, at: offset) }
            if ByteScan.matches(base, coding.value, "chunked") { return .chunked }
            throw Self.refusedCoding(base, coding.value)
        }
        guard let length = first(.contentLength) else { return nil }
        if isRepeated(.contentLength) { throw HTTPWireError(.contentLengthRepeated, at: length.value.start) }
        return .length(try Self.contentLength(base, length.value))
    }

    /// Digits only, at most 2⁶³ − 1 (RFC 9110 §8.6): no sign, no list, no white space.
    private static func contentLength(_ base: UnsafeRawPointer, _ value: ByteSlice) throws(HTTPWireError) -> UInt64 {
        if value.isEmpty { throw HTTPWireError(.badContentLength, at: value.start) }
        var result: UInt64 = 0
        for offset in value.range {
            let byte = ByteScan.byte(base, offset)
            // (2⁶³ − 1) / 10: a larger number has no room for another digit; the comparison below sees to the last one.
            guard ByteScan.isDigit(byte), result <= 922_337_203_685_477_580 else {
                throw HTTPWireError(.badContentLength, at: offset)
            }
            result = result * 10 + UInt64(byte &- 0x30)
            if result > UInt64(Int64.max) { throw HTTPWireError(.badContentLength, at: offset) }
        }
        return result
    }

    private static func refusedCoding(_ base: UnsafeRawPointer, _ value: ByteSlice) -> HTTPWireError {
        var position = value.start
        var chunkedSeen = 0
        var lastIsChunked = false
        while let element = ListElements.next(base, in: value, position: &position) {
            lastIsChunked = ByteScan.matches(base, element, "chunked")
            if lastIsChunked { chunkedSeen += 1 }
        }
        if chunkedSeen > 1 { return HTTPWireError(.transferEncodingRepeated, at: value.start) }
        if chunkedSeen == 1, !lastIsChunked { return HTTPWireError(.chunkedNotLast, at: value.start) }
        return HTTPWireError(.transferEncodingNotSupported, at: value.start)
    }
}

/// Where a parser stands in a head that arrives in pieces.
struct HeadCursor: Sendable {
    /// Start of the line that is read next.
    var position = 0
    /// Offset up to which that line has been looked at without finding its end; `position` or less when it has not.
    var scanned = 0

    /// Whether reading the line again can lead anywhere: it is new, or its LF has arrived, or it has become too long.
    /// This keeps a head that arrives byte by byte from being scanned over and over.
    @inline(__always)
    mutating func mayAdvance(_ base: UnsafeRawPointer, end: Int, lineBytesMax: Int, headBytesMax: Int) -> Bool {
        if scanned <= position { return true }
        if end >= headBytesMax || end &- position > lineBytesMax { return true }
        if ByteScan.first(0x0a, base, from: scanned, end: end) < end { return true }
        scanned = end
        return false
    }

    /// The line at `position` is not complete.
    @inline(__always)
    mutating func waitForMore(end: Int, headBytesMax: Int) throws(HTTPWireError) {
        if end >= headBytesMax { throw HTTPWireError(.headTooLarge, at: end) }
        scanned = end
    }
}
