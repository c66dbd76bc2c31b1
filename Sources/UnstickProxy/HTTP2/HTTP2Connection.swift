import HTTPWire
import NIOCore
import NIOHPACK
import NIOHTTP2

/// An HTTP/2 connection's configuration and the handlers that serve it.
struct HTTP2Connection: Sendable {
    let options: ProxyOptions.HTTP2
    /// Of a head in HTTP/1.1, in both directions.
    let headLimits: HeadLimits
    /// Without a stream.
    let idleTimeout: Duration
    /// For streams that are open when the connection is told to end.
    let shutdownTimeout: Duration

    /// A frame's least maximum (RFC 9113 section 6.5.2); this proxy announces no larger one.
    private static let frameBytesMax = 16_384
    /// What a field counts above its name and value in a list's size (section 6.5.2).
    private static let fieldOverheadBytes = 32

    /// Adds the handlers to the end of an active channel's pipeline. Call on its event loop.
    /// - Parameters:
    ///   - makeDownstream: makes a stream's handler, given the stream's channel.
    ///   - events: told of refusals and floods; runs on the event loop.
    func install(
        on channel: any Channel, makeDownstream: @escaping @Sendable (any Channel) -> any ChannelHandler,
        events: @escaping @Sendable (ClientConnectionEvent) -> Void
    ) throws {
        let eventLoop = channel.eventLoop
        let pipeline = channel.pipeline.syncOperations
        let metering = HTTP2MeteringHandler { events(.http2Flood) }
        let management = NIOHTTP2ServerConnectionManagementHandler(
            eventLoop: eventLoop,
            configuration: .init(
                maxIdleTime: TimeAmount(idleTimeout), maxAge: options.maximumAge.map { TimeAmount($0) },
                maxGraceTime: TimeAmount(shutdownTimeout), keepalive: nil))
        let headLimits = headLimits
        let drainTimeout = TimeAmount(options.drainTimeout)
        let budget = NIOLoopBound(
            FaultBudget(limit: options.resets, window: TimeAmount(options.rateWindow)), eventLoop: eventLoop)
        let refused: @Sendable (HTTP2RequestFault) -> Void = { fault in
            events(.http2RequestRefused(fault))
            if budget.value.isExceeded(at: .now()) { Self.giveUp(channel, events: events) }
        }
        let handler = NIOHTTP2Handler(
            mode: .server, eventLoop: eventLoop, connectionConfiguration: connectionConfiguration,
            streamConfiguration: streamConfiguration, streamDelegate: management.http2StreamDelegate
        ) { stream in
            stream.eventLoop.makeCompletedFuture {
                let codec = HTTP2StreamCodec(limits: headLimits, drainTimeout: drainTimeout, faults: refused)
                try stream.pipeline.syncOperations.addHandlers([codec, makeDownstream(stream)])
            }
        }
        try pipeline.addHandlers([
            metering, handler, management, HTTP2ErrorHandler(metering: metering, events: events),
        ])
        // The channel is active already, so nothing else would start the timers.
        management.channelActive(context: try pipeline.context(handler: management))
    }

    private static func giveUp(_ channel: any Channel, events: @Sendable (ClientConnectionEvent) -> Void) {
        guard channel.isActive else { return }
        events(.http2ConnectionRefused("ExcessiveRequestFaults"))
        let frame = HTTP2Frame(
            streamID: .rootStream, payload: .goAway(lastStreamID: .maxID, errorCode: .enhanceYourCalm, opaqueData: nil))
        channel.pipeline.syncOperations.writeAndFlush(NIOAny(frame), promise: nil)
        channel.close(promise: nil)
    }

    /// The limits of swift-nio-http2, and where they stand against known attacks:
    /// rapid reset (CVE-2023-44487) and resets provoked by faults (CVE-2025-8671): the two rate limits;
    /// CONTINUATION floods (CVE-2024-27316): frames in a row; PING and SETTINGS floods (CVE-2019-9512, -9515): control
    /// frames, and what waits to be sent; empty frames (CVE-2019-9518): in a row; the rest: ``HTTP2FloodRule``.
    private var connectionConfiguration: NIOHTTP2Handler.ConnectionConfiguration {
        var configuration = NIOHTTP2Handler.ConnectionConfiguration()
        configuration.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: options.maximumConcurrentStreams),
            HTTP2Setting(parameter: .maxHeaderListSize, value: headerListBytes),
            HTTP2Setting(parameter: .initialWindowSize, value: options.streamWindowBytes),
        ]
        configuration.maximumSequentialContinuationFrames = max(5, headerListBytes / Self.frameBytesMax + 1)
        configuration.maximumBufferedControlFrames = 1_000
        configuration.targetWindowSize = options.connectionWindowBytes
        configuration.controlFrameRateLimit.maximumCount = options.controlFrames
        configuration.controlFrameRateLimit.windowLength = TimeAmount(options.rateWindow)
        configuration.maximumConnectionGlitches = options.resets
        return configuration
    }

    /// A longer head breaks the connection. Shorter ones that are above the limits of a head get their own status, 431 or
    /// 414, from the exchange.
    private var headerListBytes: Int { 2 * headLimits.maxHeadBytes + Self.fieldOverheadBytes * headLimits.maxFields }

    private var streamConfiguration: NIOHTTP2Handler.StreamConfiguration {
        var configuration = NIOHTTP2Handler.StreamConfiguration()
        configuration.targetWindowSize = options.streamWindowBytes
        configuration.outboundBufferSizeHighWatermark = 64 << 10
        configuration.outboundBufferSizeLowWatermark = 16 << 10
        configuration.streamResetFrameRateLimit.maximumCount = options.resets
        configuration.streamResetFrameRateLimit.windowLength = TimeAmount(options.rateWindow)
        configuration.streamErrorRateLimit.maximumCount = options.resets
        configuration.streamErrorRateLimit.windowLength = TimeAmount(options.rateWindow)
        return configuration
    }
}

/// Counts the requests of a connection that the streams' codecs refuse: the HTTP/2 handler knows nothing of them.
final class FaultBudget {
    private let limit: Int
    private let window: TimeAmount
    private var windowStart = NIODeadline.uptimeNanoseconds(0)
    private var count = 0

    /// - Parameters:
    ///   - limit: faults within `window` that are tolerated.
    init(limit: Int, window: TimeAmount) {
        self.limit = limit
        self.window = window
    }

    /// Records a fault; true when there have been too many.
    func isExceeded(at now: NIODeadline) -> Bool {
        if now - windowStart > window {
            windowStart = now
            count = 0
        }
        count += 1
        return count > limit
    }
}

/// The connection's end of the pipeline: closes it when it is broken.
private final class HTTP2ErrorHandler: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame

    private let metering: HTTP2MeteringHandler
    private let events: @Sendable (ClientConnectionEvent) -> Void

    init(metering: HTTP2MeteringHandler, events: @escaping @Sendable (ClientConnectionEvent) -> Void) {
        self.metering = metering
        self.events = events
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // One stream's error comes here too, and the HTTP/2 handler has reset that stream. A connection's error is one for
        // which it has sent a GOAWAY with a code, or one of the transport below.
        let isProtocolError = error is any NIOHTTP2Error
        guard !isProtocolError || metering.outbound.hasFatalGoAway else { return }
        if isProtocolError { events(.http2ConnectionRefused("\(type(of: error))")) }
        context.close(promise: nil)
    }
}
