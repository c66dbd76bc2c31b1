/// A host and a port: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `web-1.internal:5001`.
public struct SocketEndpoint: Sendable, Hashable, CustomStringConvertible {
    /// An IPv4 address, an IPv6 address without brackets, or a lower-case host name.
    public let host: String
    /// 1 to 65535 when parsed.
    public let port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `HOST:PORT`, IPv6 in brackets.
    public var description: String { host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// The host as an address; nil when it is a name.
    public var address: IPAddress? { IPAddress(host) }

    /// Whether only this machine can reach it: `localhost`, 127.0.0.0/8, `::1`.
    public var isLoopback: Bool { host == "localhost" || address?.isLoopback == true }
}

/// Why a text is not a ``SocketEndpoint``; reads as the end of "'TEXT' …".
public struct EndpointRefusal: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
}

extension SocketEndpoint {
    /// Reads `HOST:PORT`.
    public init(parsing text: String) throws(EndpointRefusal) {
        let host: Substring
        let portText: Substring
        if text.first == "[" {
            guard let bracket = text.firstIndex(of: "]") else {
                throw EndpointRefusal(description: "has no closing ']'")
            }
            host = text[text.index(after: text.startIndex)..<bracket]
            guard let address = IPAddress(String(host)), address.bytes.count == 16 else {
                throw EndpointRefusal(description: "has no IPv6 address in its brackets")
            }
            let rest = text[text.index(after: bracket)...]
            guard rest.first == ":" else { throw EndpointRefusal(description: "has no port") }
            portText = rest.dropFirst()
        } else {
            guard let colon = text.lastIndex(of: ":") else { throw EndpointRefusal(description: "has no port") }
            host = text[..<colon]
            portText = text[text.index(after: colon)...]
            guard !host.contains(":") else {
                throw EndpointRefusal(description: "is ambiguous: an IPv6 address stands in brackets")
            }
        }
        guard !host.isEmpty else { throw EndpointRefusal(description: "has no host") }
        guard IPAddress(String(host)) != nil || SocketEndpoint.isHostName(host) else {
            throw EndpointRefusal(description: "has no valid host")
        }
        guard !portText.isEmpty else { throw EndpointRefusal(description: "has no port") }
        guard portText.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
            throw EndpointRefusal(description: "has no valid port: '\(portText)' is not a number")
        }
        guard let port = Int(portText), (1...65535).contains(port) else {
            throw EndpointRefusal(description: "has port \(portText), which is outside 1 to 65535")
        }
        self.init(host: host.lowercased(), port: port)
    }

    /// RFC 1123 section 2.1: labels of letters, digits and inner hyphens, 63 bytes each, 253 in all. `_` is let through
    /// because container networks use it. A last label of digits only would be a mistyped IPv4 address.
    static func isHostName(_ host: Substring) -> Bool {
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        guard host.utf8.count <= 253, let last = labels.last, !last.allSatisfy({ ("0"..."9").contains($0) }) else {
            return false
        }
        return labels.allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63 && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { byte in
                    switch byte {
                    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "_"): true
                    default: false
                    }
                }
        }
    }
}
