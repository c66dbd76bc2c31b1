import HTTPWire
import NIOCore

@testable import UnstickProxy

/// What the proxy adds to a request on its way to an instance.
struct ForwardedRequest {
    /// Who sent it.
    var identity: ClientIdentity
    var policy: ForwardingPolicy
    /// Whole header lines of the bridge contract, each with its CRLF; empty in `sticky`.
    var bridgeLines: [UInt8]
    /// `HOST:PORT` for requests of HTTP/1.0 clients that name no host.
    var upstreamAuthority: String
    /// ``RequestRewriter/clientLines(_:_:)`` of the connection, or empty.
    var clientLines: [UInt8]

    init(
        identity: ClientIdentity, policy: ForwardingPolicy, clientLines: [UInt8] = [], bridgeLines: [UInt8] = [],
        upstreamAuthority: String
    ) {
        self.identity = identity
        self.policy = policy
        self.clientLines = clientLines
        self.bridgeLines = bridgeLines
        self.upstreamAuthority = upstreamAuthority
    }

    /// - Parameter clientAddress: the peer's address as text.
    init(clientAddress: [UInt8], bridgeLines: [UInt8], upstreamAuthority: String) {
        let peer = clientAddress.withUnsafeBytes { NetworkAddress($0) }
        self.init(
            identity: ClientIdentity(peer: peer, under: .standard), policy: .standard, bridgeLines: bridgeLines,
            upstreamAuthority: upstreamAuthority)
    }
}

extension RequestRewriter {
    @inline(__always)
    static func write(
        _ head: borrowing RequestHead, of bytes: UnsafeRawBufferPointer, as forwarded: borrowing ForwardedRequest,
        to out: inout HeadWriter
    ) {
        forwarded.bridgeLines.withUnsafeBytes { bridgeLines in
            write(
                head, of: bytes, identity: forwarded.identity, policy: forwarded.policy,
                clientLines: forwarded.clientLines, bridgeLines: bridgeLines,
                upstreamAuthority: forwarded.upstreamAuthority, to: &out)
        }
    }

    static func write(
        _ head: borrowing RequestHead, of bytes: UnsafeRawBufferPointer, as forwarded: borrowing ForwardedRequest,
        to out: inout ByteBuffer
    ) {
        let size = maxSize(
            head, policy: forwarded.policy, bridgeLineBytes: forwarded.bridgeLines.count,
            authorityBytes: forwarded.upstreamAuthority.utf8.count)
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { memory in
            var writer = HeadWriter(memory)
            write(head, of: bytes, as: forwarded, to: &writer)
            return writer.count
        }
    }
}

/// What the proxy changes in a response on its way to the client.
struct ReleasedResponse {
    /// The client speaks HTTP/1.1; otherwise chunked bodies are unwrapped and the connection ends the body.
    var clientMinorVersion: Int
    /// Whether the client's connection persists after this response.
    var keepAlive: Bool
    /// A whole `Set-Cookie` line with its CRLF, or empty.
    var affinityLine: [UInt8]
    /// The pseudonym for `Via`; nil: none is added.
    var via: [UInt8]?
}

extension ResponseRewriter {
    @inline(__always)
    static func write(
        _ head: borrowing ResponseHead, of bytes: UnsafeRawBufferPointer, as released: borrowing ReleasedResponse,
        to out: inout HeadWriter
    ) {
        released.affinityLine.withUnsafeBytes { line in
            write(
                head, of: bytes, clientMinorVersion: released.clientMinorVersion, keepAlive: released.keepAlive,
                affinityLine: line, via: released.via, to: &out)
        }
    }

    static func write(
        _ head: borrowing ResponseHead, of bytes: UnsafeRawBufferPointer, as released: borrowing ReleasedResponse,
        to out: inout ByteBuffer
    ) {
        let size = maxSize(
            head, affinityLineBytes: released.affinityLine.count, viaBytes: (released.via?.count ?? 0) + 16)
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { memory in
            var writer = HeadWriter(memory)
            write(head, of: bytes, as: released, to: &writer)
            return writer.count
        }
    }
}

extension ProxyAnswer {
    static func write(
        status: Int, message: String, retryAfterSeconds: Int? = nil, keepAlive: Bool, omitsBody: Bool,
        to out: inout ByteBuffer
    ) {
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: maxSize(messageBytes: message.utf8.count)) { memory in
            var writer = HeadWriter(memory)
            write(
                status: status, message: message, retryAfterSeconds: retryAfterSeconds, keepAlive: keepAlive,
                omitsBody: omitsBody, to: &writer)
            return writer.count
        }
    }
}
