import NIOCore
import NIOSSL
import NIOTLS

/// Furnishes the channel of a client that was just accepted: TLS, the choice of a protocol, and the handler that serves
/// HTTP/1.1 bytes, once a connection in HTTP/1.1 and once a stream in HTTP/2.
struct ClientPipeline: Sendable {
    /// nil: the channel carries plain HTTP/1.1.
    let contexts: TLSContextStore?
    let tls: ProxyOptions.TLS?
    let http2: HTTP2Connection
    /// Makes the handler that serves an HTTP/1.1 client on this channel: bytes in, bytes out. It is told of an active
    /// channel after it was added. Runs on the channel's event loop.
    let makeDownstream: @Sendable (_ channel: any Channel, _ security: ClientSecurity) -> any ChannelHandler
    /// For counters and logs. Runs on the channel's event loop.
    let events: @Sendable (ClientConnectionEvent) -> Void

    /// Adds the handlers. Call on the channel's event loop, before it becomes active.
    func configure(_ channel: any Channel) throws {
        guard let contexts, let tls else {
            try channel.pipeline.syncOperations.addHandler(makeDownstream(channel, .plaintext))
            return
        }
        let negotiation = TLSNegotiationHandler(
            timeout: TimeAmount(tls.handshakeTimeout), failed: events,
            completion: { context, negotiated in try negotiationEnded(context, negotiated, tls: tls) })
        let pipeline = channel.pipeline.syncOperations
        if contexts.needsServerName {
            try pipeline.addHandler(serverNameHandler(channel, contexts))
        } else if let context = contexts.context(serverName: nil) {
            try pipeline.addHandler(NIOSSLServerHandler(context: context))
        }
        try pipeline.addHandler(negotiation)
    }

    // MARK: Server name

    /// A ClientHello stands in one record (RFC 8446 section 5.1) of at most this many bytes with its header.
    private static let clientHelloBytesMax = 5 + 16_384

    /// Reads the name before the handshake begins, then puts the TLS handler with that name's certificate behind itself.
    private func serverNameHandler(_ channel: any Channel, _ contexts: TLSContextStore)
        -> ByteToMessageHandler<SNIHandler>
    {
        let events = events
        let position = PositionHolder()
        let decoder = SNIHandler { result in
            channel.eventLoop.makeCompletedFuture {
                let name: String? = if case .hostname(let name) = result { name } else { nil }
                let pipeline = channel.pipeline.syncOperations
                guard let context = contexts.context(serverName: name) else {
                    events(.handshakeFailed(reason: "no certificate for the server name '\(name ?? "")'"))
                    Self.refuseServerName(channel)
                    throw ChannelError.inappropriateOperationForState
                }
                guard let handler = position.handler else { throw ChannelError.inappropriateOperationForState }
                try pipeline.addHandler(NIOSSLServerHandler(context: context), position: .after(handler))
            }
        }
        let handler = ByteToMessageHandler(decoder, maximumBufferSize: Self.clientHelloBytesMax)
        position.handler = handler
        return handler
    }

    private final class PositionHolder {
        weak var handler: ByteToMessageHandler<SNIHandler>?
    }

    /// A fatal alert, unrecognized_name (RFC 6066 section 3), in plain text: no handshake has begun.
    private static func refuseServerName(_ channel: any Channel) {
        let alert = ByteBuffer(bytes: [21, 3, 1, 0, 2, 2, 112])
        channel.writeAndFlush(alert, promise: nil)
        channel.close(promise: nil)
    }

    // MARK: Application protocol

    private func negotiationEnded(_ context: ChannelHandlerContext, _ negotiated: String?, tls: ProxyOptions.TLS) throws
    {
        let channel = context.channel
        let pipeline = channel.pipeline.syncOperations
        let handler = try pipeline.handler(type: NIOSSLServerHandler.self)
        var security = ClientSecurity(version: handler.tlsVersion == .tlsv13 ? .tls13 : .tls12)
        if let certificate = handler.peerCertificate {
            security.certificateLines = ClientCertificateFields.lines(
                of: certificate, as: tls.clientCertificateHeader)
        }
        security.isHTTP2 = negotiated == "h2"
        events(.handshakeCompleted(security))
        try pipeline.addHandler(RecordJoiningHandler(), position: .after(handler))
        if security.isHTTP2 {
            let makeDownstream = makeDownstream
            try http2.install(
                on: channel, makeDownstream: { [security] in makeDownstream($0, security) }, events: events)
        } else {
            // Who does not speak ALPN speaks HTTP/1.1 (RFC 7301 section 3.2); who offers nothing that is spoken here gets
            // HTTP/1.1 too, where it is configured.
            guard tls.applicationProtocols.contains("http/1.1") else { throw NoCommonProtocol() }
            try pipeline.addHandler(makeDownstream(channel, security))
        }
    }

    private struct NoCommonProtocol: Error, CustomStringConvertible {
        var description: String { "the client does not speak HTTP/2" }
    }
}
