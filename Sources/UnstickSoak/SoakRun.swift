import NIOCore
import NIOPosix
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// One soak: clients that each keep counters in a session and check every answer against their own history.
///
///     let run = SoakRun(options: options)
///     let report = try await run.run()
///
/// `snapshot`, `beginStage` and `stop` may be called from anywhere at any time.
public final class SoakRun: Sendable {
    private enum State {
        /// → `running`, or `finished` when stopped before the start.
        case ready(stages: [String], isStopped: Bool)
        /// → `finished`
        case running(SoakContext, [NIOLoopBound<SoakShard>])
        case finished(SoakReport)
    }

    public let options: SoakOptions
    private let state = Mutex(State.ready(stages: [], isStopped: false))

    public init(options: SoakOptions) {
        self.options = options
    }

    /// Runs until the duration or the number of requests is over, `stop` is called, or the task is cancelled (which is
    /// an early end, not an error), then reads every counter once more. Ends within twice the request timeout and a second
    /// of that.
    ///
    /// Refused connections, errors and violations are not thrown: they are in the report.
    /// - Throws: ``SoakError`` for options that cannot be used, or when the run was started before.
    public func run() async throws -> SoakReport {
        let addresses = try options.validated()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: min(options.eventLoops, options.clients))
        let report: SoakReport
        do {
            report = try await withTaskCancellationHandler {
                try await run(on: group, addresses: addresses)
            } onCancel: {
                stop()
            }
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try? await group.shutdownGracefully()
        return report
    }

    /// The figures so far.
    public func snapshot() -> SoakReport {
        state.withLock { state in
            switch state {
            case .ready: RunFigures(clients: options.clients) { "\($0)" }.report(at: 0)
            case .running(let context, _):
                context.figures.withLock { $0.report(at: context.sinceStart(.now())) }
            case .finished(let report): report
            }
        }
    }

    /// From now on, figures count in a stage of this name too, until the next one begins. A run keeps 256.
    public func beginStage(_ name: String) {
        state.withLock { state in
            switch state {
            case .ready(let stages, let isStopped): state = .ready(stages: stages + [name], isStopped: isStopped)
            case .running(let context, _):
                context.figures.withLock { $0.beginStage(name, at: context.sinceStart(.now())) }
            case .finished: break
            }
        }
    }

    /// Begins the end of the run: clients finish what is in flight and read their counters; then `run` returns.
    public func stop() {
        let shards: [NIOLoopBound<SoakShard>] = state.withLock { state in
            switch state {
            case .ready(let stages, _):
                state = .ready(stages: stages, isStopped: true)
                return []
            case .running(_, let shards): return shards
            case .finished: return []
            }
        }
        for shard in shards { shard.eventLoop.execute { shard.value.beginEnding() } }
    }

    private func run(on group: MultiThreadedEventLoopGroup, addresses: [SoakAddress]) async throws -> SoakReport {
        let context = try SoakContext(
            options: options, addresses: addresses, start: .now(), startUnixSeconds: Int64(time(nil)))
        let loops = Array(group.makeIterator())
        var shards: [NIOLoopBound<SoakShard>] = []
        var ends: [EventLoopFuture<Void>] = []
        for loop in loops {
            let done = loop.makePromise(of: Void.self)
            ends.append(done.futureResult)
            shards.append(
                try await loop.submit {
                    NIOLoopBound(SoakShard(loop: loop, context: context, done: done), eventLoop: loop)
                }.get())
        }
        let started = shards
        let isStopped = state.withLock { state -> Bool? in
            guard case .ready(let stages, let isStopped) = state else { return nil }
            context.figures.withLock { figures in
                for stage in stages { figures.beginStage(stage, at: 0) }
            }
            state = .running(context, started)
            return isStopped
        }
        guard let isStopped else {
            for loop in 0..<loops.count { loops[loop].execute { started[loop].value.start([]) } }
            for end in ends { try await end.get() }
            throw SoakError.alreadyRan
        }
        let clients = options.clients
        for (index, shard) in started.enumerated() {
            shard.eventLoop.execute {
                shard.value.start(stride(from: index, to: clients, by: started.count))
                if isStopped { shard.value.beginEnding() }
            }
        }
        for end in ends { try await end.get() }
        let now = context.sinceStart(.now())
        let report = context.figures.withLock { figures in
            figures.finish(at: now)
            return figures.report(at: now)
        }
        state.withLock { $0 = .finished(report) }
        return report
    }
}
