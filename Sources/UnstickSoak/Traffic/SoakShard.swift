import NIOCore
import NIOSSL
import Synchronization

/// What all clients of a run share.
final class SoakContext: Sendable {
    let options: SoakOptions
    let addresses: [SoakAddress]
    let figures: Mutex<RunFigures>
    let census = CookieCensus()
    /// All times in the report count from here.
    let start: NIODeadline
    /// Unix time in seconds at `start`, for cookies that expire at a date.
    let startUnixSeconds: Int64
    let requestTimeout: TimeAmount
    /// For `https` addresses; nil when there are none.
    let tls: NIOSSLContext?

    /// - Throws: ``SoakError`` for a file of authorities that cannot be used.
    init(
        options: SoakOptions, addresses: [SoakAddress], start: NIODeadline, startUnixSeconds: Int64
    ) throws(SoakError) {
        tls = addresses.contains(where: \.isSecure) ? try Self.tls(options) : nil
        self.options = options
        self.addresses = addresses
        self.start = start
        self.startUnixSeconds = startUnixSeconds
        requestTimeout = TimeAmount(options.requestTimeout)
        let hasKeys = if case .distinctKeys = options.parallel { true } else { false }
        figures = Mutex(RunFigures(clients: options.clients) { hasKeys ? "k\($0)" : "default" })
    }

    private static func tls(_ options: SoakOptions) throws(SoakError) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.applicationProtocols = ["http/1.1"]
        if !options.verifiesCertificates { configuration.certificateVerification = .none }
        do {
            if let file = options.authorityFile {
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(file))
            }
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw SoakError.badOption(
                name: "authorityFile", value: options.authorityFile ?? "", expected: "a PEM file of certificates")
        }
    }

    func sinceStart(_ now: NIODeadline) -> Int64 { max(0, (now - start).nanoseconds) }
}

/// The clients of one event loop, and the one timer that bounds all their waits. Lives on that loop.
final class SoakShard {
    let loop: any EventLoop
    let context: SoakContext
    private var clients: [SoakClient] = []
    private var running = 0
    private let done: EventLoopPromise<Void>
    /// When clients stop waiting for final readings; nil while the run goes on.
    private(set) var drainDeadline: NIODeadline?

    var isEnding: Bool { drainDeadline != nil }

    init(loop: any EventLoop, context: SoakContext, done: EventLoopPromise<Void>) {
        self.loop = loop
        self.context = context
        self.done = done
    }

    /// Starts the clients with these numbers.
    func start(_ numbers: some Sequence<Int>) {
        clients = numbers.map { SoakClient(number: $0, shard: self) }
        running = clients.count
        guard running > 0 else { return done.succeed() }
        // Not all at one instant: a listener's backlog is finite.
        let total = context.options.clients
        let step = min(1_000_000, 1_000_000_000 / Int64(total))
        for client in clients { client.start(after: .nanoseconds(step * Int64(client.number))) }
        let sweepInterval = max(.milliseconds(10), min(.milliseconds(250), context.requestTimeout / 20))
        scheduleSweep(sweepInterval)
        loop.assumeIsolated().scheduleTask(in: TimeAmount(context.options.duration)) { [weak self] in
            self?.beginEnding()
        }
    }

    /// Nothing new is begun; counters are read once more.
    func beginEnding() {
        guard drainDeadline == nil else { return }
        drainDeadline = .now() + context.requestTimeout + context.requestTimeout + .seconds(1)
        for client in clients { client.beginEnding() }
    }

    func clientIsDone() {
        running -= 1
        if running == 0 { done.succeed() }
    }

    /// One timer for all requests: cheaper than one each, and at most a twentieth of the timeout late.
    private func scheduleSweep(_ interval: TimeAmount) {
        loop.assumeIsolated().scheduleTask(in: interval) { [weak self] in
            guard let self, self.running > 0 else { return }
            let now = NIODeadline.now()
            let isOver = self.drainDeadline.map { now >= $0 } ?? false
            for client in self.clients { client.sweep(now, isOver: isOver) }
            self.scheduleSweep(interval)
        }
    }
}

extension TimeAmount {
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self = .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }

    static func / (amount: TimeAmount, divisor: Int64) -> TimeAmount { .nanoseconds(amount.nanoseconds / divisor) }
}
