import HTTPWire
import NIOCore
import SocketLoop

/// A client's connection. While it is idle this small object is all that the proxy keeps of it; for the time of a
/// request it borrows an ``Exchange``, which then hears the stream's events in its place.
final class ClientConnection: ByteStreamDelegate {
    let loop: ProxyLoop
    let stream: ByteStream
    /// Who is at the other end.
    let identity: ClientIdentity
    let security: ClientSecurity
    /// What every request's head says of the client, see ``RequestRewriter/clientLines(_:_:)``; made for the first one.
    private(set) lazy var clientLines = RequestRewriter.clientLines(identity, loop.forwardingPolicy)
    /// The client's address as text, for logs.
    private(set) lazy var addressText = identity.clientText
    /// Serves the request at hand; nil while the connection is idle.
    private(set) var exchange: Exchange?
    /// When an idle connection is closed.
    private var deadline: NIODeadline
    /// Its place among the loop's connections.
    var index = -1

    init(loop: ProxyLoop, stream: ByteStream, identity: ClientIdentity, security: ClientSecurity) {
        self.loop = loop
        self.stream = stream
        self.identity = identity
        self.security = security
        // Whoever connects has something to say.
        deadline = loop.now + loop.waits.clientHead
    }

    // MARK: While idle

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        let exchange = loop.borrowExchange()
        self.exchange = exchange
        // One that closed its last connection still holds what that client had sent behind its request.
        exchange.input.clear()
        exchange.attach(to: self)
        stream.delegate = exchange
        exchange.streamDidRead(bytes)
    }

    func streamDidClose() { loop.remove(self) }

    func streamWritabilityChanged(isWritable: Bool) {}

    // MARK: Ends

    /// The exchange has served its request, and nothing of the next one is here yet.
    func becomeIdle() {
        exchange = nil
        stream.delegate = self
        deadline = loop.now + loop.waits.idle
    }

    /// The exchange has ended the connection or goes on without it.
    func leave() {
        exchange = nil
        loop.remove(self)
    }

    func checkDeadline(now: NIODeadline) {
        if let exchange {
            exchange.checkDeadline(now: now)
        } else if now >= deadline {
            close()
        }
    }

    func closeIfIdle() {
        if let exchange { exchange.closeIfIdle() } else { close() }
    }

    func abort() {
        if let exchange { exchange.abort() } else { close() }
    }

    private func close() {
        loop.remove(self)
        // Nothing is unsent or unread; TLS says goodbye.
        stream.finish(lingers: false)
    }
}
