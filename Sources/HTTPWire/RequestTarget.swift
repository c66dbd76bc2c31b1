/// Questions about a request target.
public enum RequestTarget {
    /// Whether the target lies at or under `/.well-known/unstick`, in any disguise that some server might undo: up to three
    /// layers of percent-encoding, dot segments, doubled slashes, backslashes, `;params`, letter case, absolute form, and
    /// `//host/…`. Errs on the side of true: a path that passes through the place and leaves it by `..` counts too.
    ///
    /// - Parameter target: the whole target, as sent.
    public static func isReservedPath(_ target: UnsafeRawBufferPointer) -> Bool {
        guard let base = target.baseAddress else { return false }
        // `.well-known` begins with a dot behind a slash, or something in the path is encoded. Almost no path does or is.
        var previous: UInt8 = 0
        for offset in 0..<target.count {
            let byte = ByteScan.byte(base, offset)
            if byte == 0x3f { return false }
            if byte == 0x25 || (byte == 0x2e && isSlash(previous)) { return isReservedAfterDecoding(target) }
            previous = byte
        }
        return false
    }

    /// The value of `;parameter=VALUE` in the path, up to the next `/`, `?`, `;` or `#`; nil when it is empty. The name is
    /// compared byte by byte; the first wins.
    public static func sessionID(
        in target: ByteSlice,
        of bytes: UnsafeRawBufferPointer,
        parameter: CookieName
    ) -> ByteSlice? {
        guard let base = bytes.baseAddress else { return nil }
        let end = ByteScan.first(0x3f, base, from: target.start, end: target.end)
        var offset = ByteScan.first(0x3b, base, from: target.start, end: end)
        while offset < end {
            let nameStart = offset + 1
            let valueStart = nameStart + parameter.bytes.count + 1
            if valueStart <= end, ByteScan.byte(base, valueStart - 1) == 0x3d,
                parameter.matches(base, ByteSlice(start: nameStart, end: valueStart - 1))
            {
                var valueEnd = valueStart
                while valueEnd < end, !isValueEnd(ByteScan.byte(base, valueEnd)) { valueEnd += 1 }
                return valueEnd > valueStart ? ByteSlice(start: valueStart, end: valueEnd) : nil
            }
            offset = ByteScan.first(0x3b, base, from: nameStart, end: end)
        }
        return nil
    }

    private static func isValueEnd(_ byte: UInt8) -> Bool { byte == 0x2f || byte == 0x3b || byte == 0x23 }
    private static func isSlash(_ byte: UInt8) -> Bool { byte == 0x2f || byte == 0x5c }

    /// Looks at the path as sent and after each of three rounds of percent-decoding.
    @inline(never)
    private static func isReservedAfterDecoding(_ target: UnsafeRawBufferPointer) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: target.count, alignment: 1) { view in
            view.copyMemory(from: target)
            var count = target.count
            for _ in 0..<4 {
                if isReservedView(UnsafeRawBufferPointer(rebasing: view[..<count])) { return true }
                let decoded = decode(view, count: count)
                if decoded == count { return false }
                count = decoded
            }
            return false
        }
    }

    /// Undoes one layer of percent-encoding in place; returns the new length.
    private static func decode(_ view: UnsafeMutableRawBufferPointer, count: Int) -> Int {
        var source = 0
        var sink = 0
        while source < count {
            var byte = view[source]
            if byte == 0x25, source + 2 < count, let high = ByteScan.hexValue(view[source + 1]),
                let low = ByteScan.hexValue(view[source + 2])
            {
                byte = high << 4 | low
                source += 2
            }
            view[sink] = byte
            source += 1
            sink += 1
        }
        return sink
    }

    private static func isReservedView(_ view: UnsafeRawBufferPointer) -> Bool {
        if walk(view, from: 0) { return true }
        // `scheme://host/…`, and `//host/…`, which some servers read as an authority.
        var offset = 0
        while offset < view.count, !isSlash(view[offset]) { offset += 1 }
        let hasScheme = offset > 0 && view[offset - 1] == 0x3a
        guard offset == 0 || hasScheme, offset + 1 < view.count, isSlash(view[offset + 1]) else { return false }
        while offset < view.count, isSlash(view[offset]) { offset += 1 }
        while offset < view.count, !isSlash(view[offset]) { offset += 1 }
        return walk(view, from: offset)
    }

    /// Walks a path's segments as a file system would and says whether the walk ever stands at or under the place.
    private static func walk(_ view: UnsafeRawBufferPointer, from start: Int) -> Bool {
        var depth = 0
        var firstFits = false
        var offset = start
        while offset < view.count {
            if isSlash(view[offset]) {
                offset += 1
                continue
            }
            let segmentStart = offset
            while offset < view.count, !isSegmentEnd(view[offset]) { offset += 1 }
            let segment = UnsafeRawBufferPointer(rebasing: view[segmentStart..<offset])
            switch segment.count {
            case 1 where segment[0] == 0x2e: break
            case 2 where segment[0] == 0x2e && segment[1] == 0x2e: depth = max(0, depth - 1)
            // Nothing but parameters: a server may see an empty segment and drop it.
            case 0: break
            default:
                if depth == 0 { firstFits = equals(segment, ".well-known") }
                if depth == 1, firstFits, equals(segment, "unstick") { return true }
                depth += 1
            }
            // Parameters are no part of the name.
            while offset < view.count, !isSlash(view[offset]), !isPathEnd(view[offset]) { offset += 1 }
            if offset < view.count, isPathEnd(view[offset]) { return false }
        }
        return false
    }

    private static func isPathEnd(_ byte: UInt8) -> Bool { byte == 0x3f || byte == 0x23 || byte == 0 }
    private static func isSegmentEnd(_ byte: UInt8) -> Bool { isSlash(byte) || byte == 0x3b || isPathEnd(byte) }

    private static func equals(_ segment: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard let base = segment.baseAddress else { return false }
        return ByteScan.matches(base, ByteSlice(start: 0, end: segment.count), text)
    }
}
