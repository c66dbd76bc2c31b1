import HTTPWire
import Logging
import NIOCore
import SocketLoop

/// Where clients come in, on one event loop: what stands before a connection's first request (a PROXY protocol header,
/// TLS), and the TLS connections that are open.
final class ClientEntrance {
    /// What clients of a listener speak.
    enum Kind: Sendable { case plain, tls }

    /// Of an accepted socket.
    struct Endpoints {
        var peer: NetworkAddress?
        var peerPort: UInt16
        var localPort: UInt16
    }

    private let loop: ProxyLoop
    private let contexts: TLSContextStore?
    private let http2: HTTP2Connection
    private var channels: [ObjectIdentifier: StreamChannel] = [:]
    private var readers: [ObjectIdentifier: (reader: ProxyHeaderReader, socket: Socket)] = [:]

    /// - Parameter contexts: nil where no listener speaks TLS.
    init(loop: ProxyLoop, contexts: TLSContextStore?) {
        self.loop = loop
        self.contexts = contexts
        let options = loop.options
        http2 = HTTP2Connection(
            options: options.http2,
            headLimits: HeadLimits(
                maxHeadBytes: options.limits.headBytes, maxTargetBytes: options.limits.targetBytes,
                maxFields: options.limits.headFields),
            idleTimeout: options.timeouts.idle, shutdownTimeout: options.timeouts.shutdown)
    }

    /// TLS connections, and connections without their PROXY protocol header.
    var count: Int { channels.count + readers.count }

    /// A connection was refused because the proxy has as many as it may.
    func isFull() { loop.observer.metrics.refused(.limit) }

    /// Takes an accepted connection.
    func enter(_ socket: Socket, _ endpoints: Endpoints, speaking kind: Kind) {
        guard loop.options.listenProxyProtocol.isRequired else {
            return admit(socket, endpoints, proxied: nil, speaking: kind, first: nil)
        }
        guard loop.options.listenProxyProtocol.accepts(endpoints.peer) else {
            refused(endpoints, "this address may not send one")
            return socket.close()
        }
        let deadline = loop.now + loop.waits.clientHead
        let id = ObjectIdentifier(socket)
        let reader = ProxyHeaderReader(loop: loop.eventLoop, deadline: deadline) { [unowned self] result in
            readers[id] = nil
            switch result {
            case .header(let header, let rest):
                admit(socket, endpoints, proxied: header, speaking: kind, first: rest)
            case .failed(let reason):
                refused(endpoints, reason)
                socket.close()
            }
        }
        readers[id] = (reader, socket)
        socket.delegate = reader
    }

    private func refused(_ endpoints: Endpoints, _ reason: String) {
        loop.observer.metrics.refused(.proxyProtocol)
        loop.logger.debug("a connection was refused for its PROXY protocol header: \(reason)")
    }

    private func admit(
        _ socket: Socket, _ endpoints: Endpoints, proxied: ProxyProtocolHeader?, speaking kind: Kind,
        first: UnsafeRawBufferPointer?
    ) {
        let identity = ClientIdentity(
            peer: endpoints.peer, peerPort: endpoints.peerPort, localPort: endpoints.localPort, isTLS: kind == .tls,
            proxied: proxied, under: loop.forwardingPolicy)
        // A trusted proxy's connections belong to many clients.
        if let counts = loop.clientCounts, !identity.isPeerTrusted, let client = identity.peer.map({ ClientKey($0) }) {
            guard counts.open(client) else {
                loop.observer.metrics.refused(.clientLimit)
                return socket.close()
            }
            socket.whenClosed { counts.close(client) }
        }
        switch kind {
        case .plain: loop.serve(socket, of: identity)
        case .tls:
            guard let contexts, let tls = loop.options.tls else { return socket.close() }
            openChannel(socket, of: identity, contexts, tls)
        }
        if let first, !first.isEmpty { socket.delegate?.streamDidRead(first) }
    }

    private func openChannel(
        _ socket: Socket, of identity: ClientIdentity, _ contexts: TLSContextStore, _ tls: ProxyOptions.TLS
    ) {
        let eventLoop = loop.eventLoop
        let channel = StreamChannel(stream: socket, loop: eventLoop)
        let bound = NIOLoopBound((entrance: self, loop: loop), eventLoop: eventLoop)
        let pipeline = ClientPipeline(
            contexts: contexts, tls: tls, http2: http2,
            makeDownstream: { _, security in
                DownstreamHandler(loop: bound.value.loop, identity: identity, security: security)
            },
            events: { bound.value.entrance.heard($0) })
        do {
            try pipeline.configure(channel)
        } catch {
            loop.logger.error("a connection could not be served: \(error)")
            return socket.close()
        }
        channels[ObjectIdentifier(channel)] = channel
        channel.closeFuture.assumeIsolated().whenComplete { [id = ObjectIdentifier(channel)] _ in
            bound.value.entrance.channels[id] = nil
        }
        channel.activate()
    }

    private func heard(_ event: ClientConnectionEvent) {
        switch event {
        case .handshakeCompleted:
            loop.observer.metrics.tlsHandshakes &+= 1
        case .handshakeFailed(let reason):
            loop.observer.metrics.tlsFailures &+= 1
            loop.logger.debug("a TLS handshake with a client has failed: \(reason)")
        case .handshakeTimedOut:
            loop.observer.metrics.tlsFailures &+= 1
            loop.logger.debug("a TLS handshake with a client took too long")
        case .http2RequestRefused: break
        case .http2ConnectionRefused(let kind):
            loop.observer.metrics.refused(.http2)
            loop.logger.debug("an HTTP/2 connection was refused: \(kind)")
        case .http2Flood:
            loop.observer.metrics.refused(.http2)
            loop.logger.debug("an HTTP/2 connection was refused: it costs more than it carries")
        }
    }

    // MARK: End

    /// Lets TLS connections end what they have begun; those that are not there yet are closed.
    func quiesce() {
        closeReaders()
        for channel in channels.values {
            channel.pipeline.syncOperations.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }

    func closeEverything() {
        closeReaders()
        for channel in channels.values { channel.abort() }
    }

    private func closeReaders() {
        for (reader, socket) in readers.values {
            reader.cancel()
            socket.close()
        }
        readers = [:]
    }
}
