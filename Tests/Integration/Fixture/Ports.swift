import Foundation
import Synchronization

/// Free ports of the loopback address.
enum Ports {
    /// Below the range that the system gives to outgoing connections and to port 0, so that nobody takes one between
    /// being found free and being listened on.
    private static let range = 20_000..<32_000
    private static let next = Mutex(Int.random(in: range))

    static func free() throws -> Int {
        try next.withLock { next in
            for _ in 0..<1000 {
                let port = next
                next = next + 1 < range.upperBound ? next + 1 : range.lowerBound
                if isFree(port) { return port }
            }
            throw IntegrationFailure("no free port in \(range)")
        }
    }

    private static func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var reuse: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        return withAddress(port) { bind(descriptor, $0, $1) == 0 }
    }

    private static func withAddress<Value, Failure: Error>(
        _ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return try withUnsafePointer(to: &address) { pointer throws(Failure) in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address throws(Failure) in
                try body(address, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

extension Ports {
    /// Whether nobody listens there.
    static func refuses(_ port: Int) throws -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw IntegrationFailure("no socket: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        return try withAddress(port) { address, length in
            if connect(descriptor, address, length) == 0 { return false }
            guard errno == ECONNREFUSED else { throw IntegrationFailure(String(cString: strerror(errno))) }
            return true
        }
    }
}
