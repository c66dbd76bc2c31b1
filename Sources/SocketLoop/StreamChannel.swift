public import NIOCore

/// A NIO channel over a ``ByteStream`` of a ``SocketLoop``, so that channel handlers (TLS, HTTP/2) run on the data plane's
/// loops.
///
/// The stream's bytes are read on and on while `autoRead` is set; without it, `read` asks for the next piece. What is
/// flushed leaves at the end of the loop's round: many answers on one connection of HTTP/2 cost one system call. Closing
/// hands over what has been flushed before, as ``ByteStream/finish(lingers:)`` does.
public final class StreamChannel: Channel, ChannelCore, ByteStreamDelegate, @unchecked Sendable {
    public let eventLoop: any EventLoop
    public let allocator = ByteBufferAllocator()
    public let localAddress: SocketAddress?
    public let remoteAddress: SocketAddress?
    public var parent: (any Channel)? { nil }
    public var closeFuture: EventLoopFuture<Void> { closePromise.futureResult }
    public var pipeline: ChannelPipeline { channelPipeline }
    public var _channelCore: any ChannelCore { self }

    private let closePromise: EventLoopPromise<Void>
    private let stream: ByteStream
    private unowned(unsafe) let loop: SocketLoop
    private var channelPipeline: ChannelPipeline!
    private var written: [(bytes: ByteBuffer, promise: EventLoopPromise<Void>?)] = []
    /// How many of `written` have been flushed.
    private var flushed = 0
    private var isFlushDue = false
    private var state = State.idle
    private var autoRead = true

    private enum State { case idle, active, closed }

    /// A channel that is not active yet: add handlers, then ``activate()``.
    public init(
        stream: ByteStream, loop: SocketLoop, localAddress: SocketAddress? = nil, remoteAddress: SocketAddress? = nil
    ) {
        eventLoop = loop
        self.loop = loop
        self.stream = stream
        self.localAddress = localAddress
        self.remoteAddress = remoteAddress
        closePromise = loop.makePromise()
        channelPipeline = ChannelPipeline(channel: self)
    }

    /// The connection is there: handlers learn of it, and bytes flow.
    public func activate() {
        guard state == .idle else { return }
        state = .active
        stream.delegate = self
        pipeline.syncOperations.fireChannelRegistered()
        pipeline.syncOperations.fireChannelActive()
    }

    public var isActive: Bool { state == .active }
    public var isWritable: Bool { stream.isWritable }

    // MARK: From the stream

    public func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        var buffer = allocator.buffer(capacity: bytes.count)
        buffer.writeBytes(bytes)
        if !autoRead { stream.setReading(false) }
        pipeline.syncOperations.fireChannelRead(NIOAny(buffer))
        guard state == .active else { return }
        pipeline.syncOperations.fireChannelReadComplete()
    }

    public func streamWritabilityChanged(isWritable: Bool) {
        guard state == .active else { return }
        pipeline.syncOperations.fireChannelWritabilityChanged()
    }

    public func streamDidClose() {
        becomeInactive(error: ChannelError.eof)
    }

    // MARK: ChannelCore

    public func localAddress0() throws -> SocketAddress {
        guard let localAddress else { throw ChannelError.unknownLocalAddress }
        return localAddress
    }

    public func remoteAddress0() throws -> SocketAddress {
        guard let remoteAddress else { throw ChannelError.operationUnsupported }
        return remoteAddress
    }

    public func register0(promise: EventLoopPromise<Void>?) { promise?.succeed(()) }
    public func registerAlreadyConfigured0(promise: EventLoopPromise<Void>?) { promise?.succeed(()) }

    public func bind0(to: SocketAddress, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    public func connect0(to: SocketAddress, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    public func write0(_ data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard state == .active else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        guard case .byteBuffer(let bytes) = unwrapData(data, as: IOData.self) else {
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        written.append((bytes, promise))
    }

    public func flush0() {
        guard state == .active, !written.isEmpty else { return }
        flushed = written.count
        guard !isFlushDue else { return }
        isFlushDue = true
        loop.flushLater(self)
    }

    /// Sends what has been flushed.
    func flushNow() {
        isFlushDue = false
        guard state == .active, flushed > 0 else { return }
        let pieces: [(bytes: ByteBuffer, promise: EventLoopPromise<Void>?)]
        if flushed == written.count {
            pieces = written
            written = []
        } else {
            pieces = Array(written[..<flushed])
            written.removeFirst(flushed)
        }
        flushed = 0
        switch pieces.count {
        case 1: stream.send(pieces[0].bytes)
        case 2:
            pieces[0].bytes.withUnsafeReadableBytes { first in
                pieces[1].bytes.withUnsafeReadableBytes { stream.send(first, $0) }
            }
        default:
            var joined = allocator.buffer(capacity: pieces.reduce(0) { $0 + $1.bytes.readableBytes })
            for piece in pieces { joined.writeImmutableBuffer(piece.bytes) }
            stream.send(joined)
        }
        for piece in pieces { piece.promise?.succeed(()) }
    }

    public func read0() {
        if !autoRead, state == .active { stream.setReading(true) }
    }

    public func close0(error: any Error, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .all else {
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        guard state != .closed else {
            promise?.fail(ChannelError.alreadyClosed)
            return
        }
        flushNow()
        // A write's completion may have closed it already.
        guard state != .closed else {
            promise?.succeed(())
            return
        }
        stream.finish(lingers: true)
        becomeInactive(error: error)
        promise?.succeed(())
    }

    /// Closes at once, without a word of the handlers' (TLS would announce an end that none is); what the socket does not
    /// take at once is dropped.
    public func abort() {
        flushNow()
        guard state != .closed else { return }
        stream.close()
        becomeInactive(error: ChannelError.ioOnClosedChannel)
    }

    public func triggerUserOutboundEvent0(_ event: Any, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    /// What no handler has taken.
    public func channelRead0(_ data: NIOAny) {}
    public func errorCaught0(error: any Error) {}

    private func becomeInactive(error: any Error) {
        guard state != .closed else { return }
        let wasActive = state == .active
        state = .closed
        let unsent = written
        written = []
        flushed = 0
        for piece in unsent { piece.promise?.fail(error) }
        if wasActive {
            pipeline.syncOperations.fireChannelInactive()
            pipeline.syncOperations.fireChannelUnregistered()
        }
        // Handlers may still be in the middle of an event.
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute {
            let channel = bound.value
            channel.removeHandlers(pipeline: channel.channelPipeline)
            channel.closePromise.succeed(())
        }
    }

    // MARK: Options

    public var syncOptions: (any NIOSynchronousChannelOptions)? { Options(channel: self) }

    public func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) -> EventLoopFuture<Void> {
        if eventLoop.inEventLoop { return eventLoop.makeCompletedFuture { try setSynchronously(option, value) } }
        let transfer = UncheckedTransfer((option, value))
        return eventLoop.submit { try self.setSynchronously(transfer.value.0, transfer.value.1) }
    }

    public func getOption<Option: ChannelOption>(_ option: Option) -> EventLoopFuture<Option.Value> {
        eventLoop.makeCompletedFuture { try getSynchronously(option) }
    }

    private func setSynchronously<Option: ChannelOption>(_ option: Option, _ value: Option.Value) throws {
        guard option is ChannelOptions.Types.AutoReadOption, let wanted = value as? Bool else {
            throw ChannelError.operationUnsupported
        }
        guard wanted != autoRead else { return }
        autoRead = wanted
        if state == .active { stream.setReading(wanted) }
    }

    private func getSynchronously<Option: ChannelOption>(_ option: Option) throws -> Option.Value {
        switch option {
        case is ChannelOptions.Types.AutoReadOption: return autoRead as! Option.Value
        case is ChannelOptions.Types.AllowRemoteHalfClosureOption: return false as! Option.Value
        default: throw ChannelError.operationUnsupported
        }
    }

    private struct Options: NIOSynchronousChannelOptions {
        let channel: StreamChannel

        func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) throws {
            try channel.setSynchronously(option, value)
        }

        func getOption<Option: ChannelOption>(_ option: Option) throws -> Option.Value {
            try channel.getSynchronously(option)
        }
    }

    /// Options are plain values that cross to the loop once.
    private struct UncheckedTransfer<Value>: @unchecked Sendable {
        let value: Value
        init(_ value: Value) { self.value = value }
    }
}
