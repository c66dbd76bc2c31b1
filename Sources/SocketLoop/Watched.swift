import CEpoll
import Glibc

/// Anything but a ``Socket`` that waits in a loop's epoll: listeners, attempts to connect, the loop's own wake-up.
class Watched {
    fileprivate(set) var fd: Int32
    unowned(unsafe) let loop: SocketLoop

    init(fd: Int32, loop: SocketLoop) {
        self.fd = fd
        self.loop = loop
    }

    func ready(_ events: UInt32) {
        preconditionFailure("abstract")
    }

    /// The loop keeps the object until `unwatch`.
    func watch(_ events: UInt32) {
        loop.add(self, fd: fd, events: events)
    }

    func rewatch(_ events: UInt32) {
        loop.modify(self, fd: fd, events: events)
    }

    /// Gives the descriptor away without closing it.
    func unwatch() -> Int32 {
        let fd = fd
        guard fd >= 0 else { return fd }
        self.fd = -1
        loop.remove(self, fd: fd)
        return fd
    }

    func closeDescriptor() {
        let fd = unwatch()
        if fd >= 0 { _ = Glibc.close(fd) }
    }
}

/// What epoll says of a descriptor (epoll_ctl(2)).
enum Readiness {
    static let input = EPOLLIN.rawValue
    static let output = EPOLLOUT.rawValue
    static let error = EPOLLERR.rawValue
    static let hangup = EPOLLHUP.rawValue
}
