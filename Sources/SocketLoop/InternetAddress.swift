import Glibc

/// An IPv4 or IPv6 address with a port, as the socket calls take it.
public struct InternetAddress: Sendable {
    private var storage = sockaddr_storage()
    private var length = socklen_t(0)

    init() {}

    /// The addresses of a host, in the order of `getaddrinfo` (RFC 6724); empty when there are none. Blocks, unless
    /// `numericOnly`.
    public static func resolve(host: String, port: Int, numericOnly: Bool) -> [InternetAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV | (numericOnly ? AI_NUMERICHOST : 0)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, "\(port)", &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [InternetAddress] = []
        var next = list
        while let entry = next {
            if let address = entry.pointee.ai_addr {
                var each = InternetAddress()
                each.length = entry.pointee.ai_addrlen
                withUnsafeMutableBytes(of: &each.storage) { target in
                    target.baseAddress!.copyMemory(from: address, byteCount: Int(entry.pointee.ai_addrlen))
                }
                found.append(each)
            }
            next = entry.pointee.ai_next
        }
        return found
    }

    var family: Int32 { Int32(storage.ss_family) }

    func withSocketAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    /// Lets a system call fill the address in.
    static func filled(by body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32)
        -> (result: Int32, address: InternetAddress)
    {
        var address = InternetAddress()
        address.length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var length = address.length
        let result = withUnsafeMutablePointer(to: &address.storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &length) }
        }
        address.length = length
        return (result, address)
    }

    public var port: Int {
        withUnsafeBytes(of: storage) { bytes in
            // `sin_port` and `sin6_port` stand at the same place, in network order.
            Int(bytes[2]) << 8 | Int(bytes[3])
        }
    }

    /// The host part: four bytes, or sixteen. An IPv4 address that an IPv6 socket shows (RFC 4291 section 2.5.5.2)
    /// counts as IPv4.
    public var hostBytes: [UInt8] {
        withUnsafeBytes(of: storage) { bytes in
            if family == AF_INET { return Array(bytes[4..<8]) }
            let six = Array(bytes[8..<24])
            let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
            return six.starts(with: mapped) ? Array(six[12...]) : six
        }
    }

    /// The host part as text, without brackets.
    public var hostText: String {
        let bytes = hostBytes
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        guard inet_ntop(family, bytes, &text, socklen_t(text.count)) != nil else { return "unknown" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
