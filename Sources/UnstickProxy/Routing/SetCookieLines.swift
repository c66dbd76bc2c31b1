/// The affinity's `Set-Cookie` lines, `Set-Cookie: NAME=VALUE; …CRLF`, written once for each routing table: a response
/// copies bytes.
struct SetCookieLines: ~Copyable {
    private let blob: UnsafeMutableRawPointer
    /// Where each line ends: for each instance one without TLS and one with, then the two that expire the cookie.
    private let ends: UnsafeMutablePointer<Int>
    private let count: Int

    /// - Parameter values: one per instance.
    init(cookie: String, values: [[UInt8]], attributes: CookieAttributes) {
        var lines: [[UInt8]] = []
        for value in values {
            for isSecure in [false, true] {
                lines.append(
                    Array("Set-Cookie: \(cookie)=".utf8) + value
                        + Array("\(attributes.text(isSecure: isSecure))\r\n".utf8))
            }
        }
        for isSecure in [false, true] {
            lines.append(Array("Set-Cookie: \(cookie)=\(attributes.expiringText(isSecure: isSecure))\r\n".utf8))
        }
        count = values.count
        ends = .allocate(capacity: lines.count)
        blob = .allocate(byteCount: lines.reduce(0) { $0 + $1.count }, alignment: 8)
        var offset = 0
        for (index, line) in lines.enumerated() {
            line.withUnsafeBytes { (blob + offset).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
            offset += line.count
            (ends + index).initialize(to: offset)
        }
    }

    deinit {
        ends.deallocate()
        blob.deallocate()
    }

    /// Valid as long as this value.
    /// - Parameter isSecure: whether the client's connection is TLS, here or at a trusted proxy in front.
    func line(for instance: Int, isSecure: Bool) -> UnsafeRawBufferPointer {
        precondition(instance >= 0 && instance < count)
        return bytes(2 * instance + (isSecure ? 1 : 0))
    }

    /// Tells the client to forget the cookie.
    func expiring(isSecure: Bool) -> UnsafeRawBufferPointer { bytes(2 * count + (isSecure ? 1 : 0)) }

    private func bytes(_ index: Int) -> UnsafeRawBufferPointer {
        let start = index == 0 ? 0 : ends[index - 1]
        return UnsafeRawBufferPointer(start: blob + start, count: ends[index] - start)
    }
}
