public import NIOCore

/// What the user of a connection hears from it, on the connection's event loop.
public protocol ByteStreamDelegate: AnyObject {
    /// Bytes have arrived. They lie in memory that is reused as soon as this returns.
    func streamDidRead(_ bytes: UnsafeRawBufferPointer)
    /// The peer has closed or the connection broke; it is gone. Never called after the user's own `close()`.
    func streamDidClose()
    /// The backlog of unsent bytes has fallen below the low or risen above the high water mark.
    func streamWritabilityChanged(isWritable: Bool)
}

/// A connection's bytes in both directions: a socket, or a socket behind TLS or a stream of HTTP/2.
///
/// Bound to one event loop; every call belongs on it. Nothing blocks: what the peer does not take is kept, and
/// `isWritable` says when that becomes too much. A stream keeps its delegate alive until it is closed.
open class ByteStream {
    public final var delegate: (any ByteStreamDelegate)?

    public init() {}

    /// Sends the bytes, or keeps a copy of those that the peer does not take now.
    open func send(_ bytes: UnsafeRawBufferPointer) {
        preconditionFailure("abstract")
    }

    /// Sends both, in this order, with one system call where that is possible.
    open func send(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) {
        send(first)
        send(second)
    }

    public final func send(_ buffer: ByteBuffer) {
        buffer.withUnsafeReadableBytes { send($0) }
    }

    /// Whether the backlog of unsent bytes is below its mark. Sending more is allowed, but costs memory.
    open var isWritable: Bool { preconditionFailure("abstract") }

    /// Stops and resumes reading: what the peer sends meanwhile waits in the kernel, and so slows the peer down.
    open func setReading(_ reading: Bool) {
        preconditionFailure("abstract")
    }

    /// Closes after all that was sent has been handed over, and only when the peer has closed too or `grace` has passed:
    /// a close with unread input would send a reset, which may overtake the last bytes (RFC 9112 section 9.6).
    ///
    /// - Parameter lingers: false when the peer will send nothing more, so that nothing can be unread.
    open func finish(lingers: Bool) {
        preconditionFailure("abstract")
    }

    /// Closes at once; unsent bytes are dropped.
    open func close() {
        preconditionFailure("abstract")
    }
}
