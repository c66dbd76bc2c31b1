public import Dispatch
public import NIOCore
import Synchronization

/// A fixed number of ``SocketLoop``s.
public final class SocketLoopGroup: EventLoopGroup {
    public let loops: [SocketLoop]
    private let turn = Atomic<Int>(0)

    /// - Parameter threads: 1 or more.
    public init(threads: Int, name: String) throws(SocketFailure) {
        var loops: [SocketLoop] = []
        for index in 0..<max(1, threads) { loops.append(try SocketLoop(name: "\(name)-\(index)")) }
        self.loops = loops
    }

    public func next() -> any EventLoop {
        let index = turn.wrappingAdd(1, ordering: .relaxed).newValue
        return loops[Int(UInt(bitPattern: index) % UInt(loops.count))]
    }

    public func makeIterator() -> EventLoopIterator { EventLoopIterator(loops) }

    public func shutdownGracefully(queue: DispatchQueue, _ callback: @escaping @Sendable ((any Error)?) -> Void) {
        let group = DispatchGroup()
        for loop in loops {
            group.enter()
            loop.shutdownGracefully(queue: queue) { _ in group.leave() }
        }
        group.notify(queue: queue) { callback(nil) }
    }
}
