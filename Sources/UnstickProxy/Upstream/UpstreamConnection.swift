import NIOCore
import SocketLoop

/// What the user of an upstream connection hears from it.
protocol UpstreamDelegate: AnyObject {
    /// The bytes lie in memory that is reused as soon as this returns.
    func upstreamDidRead(_ bytes: UnsafeRawBufferPointer)
    /// Also after an error. Called once; the connection is gone.
    func upstreamDidClose()
    func upstreamWritabilityChanged(isWritable: Bool)
}

/// One keep-alive connection to an instance, bound to one event loop.
///
/// Between two uses it sits in its pool without a delegate; bytes or an end of stream that arrive then make it
/// unusable: an instance must not speak unasked (RFC 9112 section 6.3).
final class UpstreamConnection: ByteStreamDelegate {
    let pool: UpstreamPool
    /// Strong: an exchange whose client has gone lives on through the connection until its mirror write is done. The
    /// cycle ends when the connection is released or closed.
    var delegate: (any UpstreamDelegate)?
    private var stream: ByteStream?
    /// Whether a request has been answered on it: only then may a sudden close mean a keep-alive race.
    var wasReused = false
    var idleSince = NIODeadline.uptimeNanoseconds(0)
    private var readsPaused = false

    init(pool: UpstreamPool, stream: ByteStream) {
        self.pool = pool
        self.stream = stream
        stream.delegate = self
    }

    var isOpen: Bool { stream != nil }
    var isWritable: Bool { stream?.isWritable ?? false }

    func send(_ bytes: UnsafeRawBufferPointer) {
        stream?.send(bytes)
    }

    func send(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) {
        stream?.send(first, second)
    }

    func send(_ buffer: ByteBuffer) {
        buffer.withUnsafeReadableBytes { stream?.send($0) }
    }

    /// The delegate is not told: whoever closes knows.
    func close() {
        guard let stream else { return }
        self.stream = nil
        delegate = nil
        stream.close()
        pool.connectionClosed(self)
    }

    /// Stops and resumes reading from the instance while its reader is slower.
    func setReading(_ reading: Bool) {
        guard readsPaused == reading, let stream else { return }
        readsPaused = !reading
        stream.setReading(reading)
    }

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        guard let delegate else { return close() }
        delegate.upstreamDidRead(bytes)
    }

    func streamWritabilityChanged(isWritable: Bool) {
        delegate?.upstreamWritabilityChanged(isWritable: isWritable)
    }

    func streamDidClose() {
        stream = nil
        let delegate = delegate
        self.delegate = nil
        pool.connectionClosed(self)
        delegate?.upstreamDidClose()
    }
}
