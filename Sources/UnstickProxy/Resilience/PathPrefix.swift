/// A prefix of paths, compared by whole segments: `/api` is a prefix of `/api` and `/api/x`, not of `/apix`; one that ends
/// in `/` covers what is below only.
///
/// Paths are compared after one round of percent-decoding, without doubled slashes, dot segments (RFC 3986 section 5.2.4)
/// and path parameters: a server behind would serve the same page for all these spellings, so a limit has to see one
/// page as well.
struct PathPrefix: Equatable {
    private let bytes: [UInt8]

    /// - Parameter text: begins with `/`, as it stands in a normalized path; empty covers everything.
    init(_ text: String) { bytes = Array(text.utf8) }

    /// - Parameter target: path and query as sent; empty means `/`. What stands behind `?` or `#` does not count.
    func covers(_ target: UnsafeRawBufferPointer) -> Bool {
        guard !bytes.isEmpty else { return true }
        var end = 0
        var isPlain = true
        var previous: UInt8 = 0
        scan: while end < target.count {
            let byte = target[end]
            switch byte {
            case UInt8(ascii: "?"), UInt8(ascii: "#"): break scan
            case UInt8(ascii: "%"), UInt8(ascii: ";"), UInt8(ascii: "\\"): isPlain = false
            case UInt8(ascii: "/") where previous == byte, UInt8(ascii: ".") where previous == UInt8(ascii: "/"):
                isPlain = false
            default: break
            }
            previous = byte
            end += 1
        }
        let path = UnsafeRawBufferPointer(rebasing: target[..<end])
        guard !isPlain else { return isPrefix(of: path) }
        return withUnsafeTemporaryAllocation(byteCount: path.count + 1, alignment: 1) { buffer in
            isPrefix(of: UnsafeRawBufferPointer(rebasing: buffer[..<PathPrefix.normalize(path, into: buffer)]))
        }
    }

    private func isPrefix(of path: UnsafeRawBufferPointer) -> Bool {
        guard path.count >= bytes.count else {
            // The root, sent as an empty path.
            return path.isEmpty && bytes == [UInt8(ascii: "/")]
        }
        for index in bytes.indices where path[index] != bytes[index] { return false }
        return bytes.last == UInt8(ascii: "/") || path.count == bytes.count || path[bytes.count] == UInt8(ascii: "/")
    }

    /// Writes the normalized path; returns its length, not above the path's own plus one.
    private static func normalize(_ path: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        var length = 0
        var index = 0
        while index < path.count {
            // One segment, with the slash before it.
            var start = length
            while index < path.count, let byte = decoded(path, at: index), isSlash(byte.value) { index = byte.next }
            buffer[length] = UInt8(ascii: "/")
            length += 1
            start = length
            var isParameter = false
            while index < path.count, let byte = decoded(path, at: index), !isSlash(byte.value) {
                if byte.value == UInt8(ascii: ";") { isParameter = true }
                if !isParameter {
                    buffer[length] = byte.value
                    length += 1
                }
                index = byte.next
            }
            let name = buffer[start..<length]
            if name.elementsEqual([UInt8(ascii: ".")]) {
                length = start - 1
            } else if name.elementsEqual([UInt8(ascii: "."), UInt8(ascii: ".")]) {
                length = start - 1
                while length > 0, buffer[length - 1] != UInt8(ascii: "/") { length -= 1 }
                length = max(0, length - 1)
            }
        }
        return length
    }

    private static func isSlash(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") }

    private static func decoded(_ path: UnsafeRawBufferPointer, at index: Int) -> (value: UInt8, next: Int)? {
        let byte = path[index]
        if byte == UInt8(ascii: "%"), index + 2 < path.count, let high = hex(path[index + 1]),
            let low = hex(path[index + 2])
        {
            return (high << 4 | low, index + 3)
        }
        return (byte, index + 1)
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
