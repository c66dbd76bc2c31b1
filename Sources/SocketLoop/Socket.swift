import CEpoll
import Glibc
import NIOCore

/// A connected TCP socket, watched by its loop.
public final class Socket: ByteStream {
    /// Above this backlog the stream is not writable, until it has fallen to `lowWaterBytes`.
    public static let highWaterBytes = 256 * 1024
    public static let lowWaterBytes = 64 * 1024

    private unowned(unsafe) let loop: SocketLoop
    private var fd: Int32
    /// Its place among the loop's open sockets.
    var index = 0
    private var backlog = OutputBacklog()
    private var isAboveMark = false
    private var isReading = true
    /// Taken out of epoll, because the peer has hung up and nobody wants to read yet: epoll would report it forever.
    private var isParked = false
    private var ending = Ending.none
    /// Told once, when the descriptor is closed.
    private var onClose: (() -> Void)?

    private enum Ending { case none, closeWhenSent, lingerWhenSent, lingering }

    /// Takes the descriptor over and begins to read.
    ///
    /// - Parameter onClose: called once on the loop when the descriptor is closed, whoever closes it.
    public init(descriptor: Int32, loop: SocketLoop, onClose: (() -> Void)? = nil) {
        self.loop = loop
        self.onClose = onClose
        fd = descriptor
        super.init()
        loop.add(self, fd: fd, events: Readiness.input)
    }

    public var isOpen: Bool { fd >= 0 }

    /// Adds to what is told when the descriptor is closed.
    public func whenClosed(_ action: @escaping () -> Void) {
        let earlier = onClose
        onClose = {
            earlier?()
            action()
        }
    }

    /// Gives the descriptor away, as it is.
    func detachForTests() -> Int32 {
        let copy = dup(fd)
        close()
        return copy
    }

    /// Closes a descriptor for which there is no room.
    public static func refuse(_ descriptor: Int32) { _ = Glibc.close(descriptor) }

    // MARK: Events

    @inline(__always)
    func ready(_ events: UInt32) {
        guard fd >= 0 else { return }
        if events & Readiness.output != 0 {
            flushBacklog()
            guard fd >= 0 else { return }
        }
        if events & (Readiness.input | Readiness.hangup | Readiness.error) != 0 {
            if isReading {
                read()
            } else if events & Readiness.error != 0 {
                peerClosed()
            } else if events & Readiness.hangup != 0 {
                park()
            }
        }
    }

    private func read() {
        let memory = loop.readMemory
        let count = Glibc.recv(fd, memory.baseAddress, memory.count, 0)
        if count > 0 {
            delegate?.streamDidRead(UnsafeRawBufferPointer(start: memory.baseAddress, count: count))
        } else if count == 0 {
            peerClosed()
        } else if errno != EAGAIN && errno != EINTR {
            peerClosed()
        }
    }

    private func park() {
        guard !isParked else { return }
        isParked = true
        loop.suspend(fd)
    }

    func peerClosed() {
        guard fd >= 0 else { return }
        let delegate = delegate
        closeDescriptor()
        delegate?.streamDidClose()
    }

    private func closeDescriptor() {
        let descriptor = fd
        fd = -1
        delegate = nil
        backlog.removeAll()
        loop.forget(self)
        _ = Glibc.close(descriptor)
        let onClose = onClose
        self.onClose = nil
        onClose?()
    }

    // MARK: Sending

    public override func send(_ bytes: UnsafeRawBufferPointer) {
        guard fd >= 0, ending == .none, !bytes.isEmpty else { return }
        guard backlog.isEmpty else { return keep(bytes) }
        let sent = Glibc.send(fd, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        if sent == bytes.count { return }
        sentShort(sent, of: bytes)
    }

    public override func send(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) {
        guard fd >= 0, ending == .none else { return }
        if second.isEmpty { return send(first) }
        if first.isEmpty { return send(second) }
        guard backlog.isEmpty else {
            keep(first)
            keep(second)
            return
        }
        var parts = (
            iovec(iov_base: UnsafeMutableRawPointer(mutating: first.baseAddress), iov_len: first.count),
            iovec(iov_base: UnsafeMutableRawPointer(mutating: second.baseAddress), iov_len: second.count)
        )
        let sent = withUnsafeMutablePointer(to: &parts) { parts in
            parts.withMemoryRebound(to: iovec.self, capacity: 2) { parts in
                var message = msghdr()
                message.msg_iov = parts
                message.msg_iovlen = 2
                return sendmsg(fd, &message, Int32(MSG_NOSIGNAL))
            }
        }
        if sent == first.count + second.count { return }
        if sent >= first.count {
            sentShort(sent - first.count, of: second)
        } else {
            sentShort(sent, of: first)
            if fd >= 0 { keep(second) }
        }
    }

    private func sentShort(_ sent: Int, of bytes: UnsafeRawBufferPointer) {
        if sent < 0, errno != EAGAIN, errno != EINTR {
            // Told later: whoever sends does not expect to be called back in the middle of it.
            broken()
            return
        }
        keep(UnsafeRawBufferPointer(rebasing: bytes[max(0, sent)...]))
    }

    /// The peer is gone. Its hang-up or error is reported by epoll in the next round at the latest; what is sent until
    /// then is dropped.
    private func broken() {
        backlog.removeAll()
        if !isReading { setReading(true) }
    }

    private func keep(_ bytes: UnsafeRawBufferPointer) {
        let wasEmpty = backlog.isEmpty
        backlog.append(bytes)
        if wasEmpty { updateInterest() }
        if !isAboveMark, backlog.count > Self.highWaterBytes {
            isAboveMark = true
            delegate?.streamWritabilityChanged(isWritable: false)
        }
    }

    private func flushBacklog() {
        guard !backlog.isEmpty else { return updateInterest() }
        let bytes = backlog.bytes
        let sent = Glibc.send(fd, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        if sent < 0 {
            if errno != EAGAIN && errno != EINTR { peerClosed() }
            return
        }
        backlog.consume(sent)
        if backlog.isEmpty {
            updateInterest()
            finishEnding()
            guard fd >= 0 else { return }
        }
        if isAboveMark, backlog.count <= Self.lowWaterBytes {
            isAboveMark = false
            delegate?.streamWritabilityChanged(isWritable: true)
        }
    }

    public override var isWritable: Bool { fd >= 0 && !isAboveMark }

    // MARK: Reading

    public override func setReading(_ reading: Bool) {
        guard fd >= 0, reading != isReading else { return }
        isReading = reading
        if isParked, reading {
            isParked = false
            loop.resume(self, fd: fd, events: interest)
        } else {
            updateInterest()
        }
    }

    private var interest: UInt32 {
        (isReading ? Readiness.input : 0) | (backlog.isEmpty ? 0 : Readiness.output)
    }

    private func updateInterest() {
        guard !isParked else { return }
        loop.modify(self, fd: fd, events: interest)
    }

    // MARK: Ends

    public override func finish(lingers: Bool) {
        guard fd >= 0, ending == .none else { return }
        delegate = nil
        ending = lingers ? .lingerWhenSent : .closeWhenSent
        if backlog.isEmpty { finishEnding() }
        guard fd >= 0 else { return }
        setReading(true)
        delegate = Discarding.shared
        // A peer that takes nothing and never closes does not keep the descriptor.
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: Self.grace) { bound.value.close() }
    }

    /// How long a finished connection may stay open for the peer's sake.
    static let grace = TimeAmount.seconds(2)

    private func finishEnding() {
        switch ending {
        case .none, .lingering: break
        case .closeWhenSent: close()
        case .lingerWhenSent:
            ending = .lingering
            _ = Glibc.shutdown(fd, Int32(SHUT_WR))
        }
    }

    public override func close() {
        guard fd >= 0 else { return }
        closeDescriptor()
    }

    /// Reads on and forgets, while a connection ends.
    private final class Discarding: ByteStreamDelegate, Sendable {
        static let shared = Discarding()
        func streamDidRead(_ bytes: UnsafeRawBufferPointer) {}
        func streamDidClose() {}
        func streamWritabilityChanged(isWritable: Bool) {}
    }
}
