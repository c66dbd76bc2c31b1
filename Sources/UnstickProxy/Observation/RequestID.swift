import HTTPWire

/// What names a request in logs, here and behind: made by the proxy, or passed on from a peer that is trusted.
enum RequestID: Sendable, Equatable {
    case none
    /// 128 random bits, written as 32 lower-case hexadecimal digits.
    case made(UInt64, UInt64)
    /// A header's value within the request's head.
    case passed(ByteSlice)

    /// Longest that is passed on, bytes.
    static let bytesMax = 128

    /// Whether a peer's id may go into headers and logs as it is: 1 to 128 letters, digits and `-._~:/+=@,`. So a UUID, a
    /// base64 text, an AWS trace id and nginx's hexadecimal digits are, and nothing that a log or a shell would mistake.
    static func isAcceptable(_ value: UnsafeRawBufferPointer) -> Bool {
        (1...bytesMax).contains(value.count)
            && value.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
                // - . _ ~ : / + = @ ,
                case 0x2d, 0x2e, 0x5f, 0x7e, 0x3a, 0x2f, 0x2b, 0x3d, 0x40, 0x2c: true
                default: false
                }
            }
    }

    /// Writes the id, up to ``bytesMax``.
    func write(to writer: inout RawWriter, head: UnsafeRawBufferPointer) {
        switch self {
        case .none: break
        case .made(let high, let low):
            writer.putHex(high)
            writer.putHex(low)
        case .passed(let slice): writer.put(slice.bytes(in: head))
        }
    }

    func text(head: UnsafeRawBufferPointer) -> String? {
        guard self != .none else { return nil }
        return String(unsafeUninitializedCapacity: Self.bytesMax) { buffer in
            var writer = RawWriter(UnsafeMutableRawPointer(buffer.baseAddress!), capacity: Self.bytesMax)
            write(to: &writer, head: head)
            return writer.count
        }
    }
}
