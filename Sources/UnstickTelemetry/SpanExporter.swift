public import AsyncHTTPClient
public import Logging
import NIOCore
import NIOHTTP1
import Synchronization
public import UnstickCore

/// Sends spans to an OpenTelemetry collector over OTLP/HTTP with JSON, in batches, from a bounded queue.
public final class SpanExporter: SpanSink {
    public struct Options: Sendable {
        /// Where to POST to, such as `http://127.0.0.1:4318/v1/traces`.
        public var endpoint: String
        /// `service.name`.
        public var serviceName = "unstick-proxy"
        /// `service.instance.id`.
        public var instance: String
        /// `service.version`.
        public var version: String
        /// Spans that may wait; further ones are dropped and counted.
        public var queueLimit = 8192
        /// Spans of one request to the collector.
        public var batchSize = 512
        /// A batch that is not full goes after this long.
        public var interval: Duration = .seconds(2)
        /// Of one request to the collector.
        public var timeout: Duration = .seconds(10)
        /// How long one batch is tried again.
        public var retryTotal: Duration = .seconds(60)
        /// Before the second try; doubles with each.
        public var retryFirst: Duration = .milliseconds(500)
        /// For what waits when the process stops.
        public var shutdown: Duration = .seconds(2)

        public init(endpoint: String, instance: String, version: String) {
            self.endpoint = endpoint
            self.instance = instance
            self.version = version
        }
    }

    private struct State {
        var queue: SpanQueue
        var tally = SpanTally()
        var isFull = false
        /// Spans of the batch that is being sent.
        var inFlight = 0
        var lastWarning: ContinuousClock.Instant?
    }

    private let options: Options
    private let http: HTTPClient
    private let logger: Logger
    private let request: OTLPTraceRequest
    private let state: Mutex<State>
    private let wakeups: AsyncStream<Void>
    private let wakeup: AsyncStream<Void>.Continuation

    /// Largest answer that is read, bytes.
    private static let answerBytesMax = 64 * 1024

    /// - Parameter http: stays the caller's, who shuts it down after ``run()``.
    public init(options: Options, http: HTTPClient, logger: Logger) {
        self.options = options
        self.http = http
        self.logger = logger
        request = OTLPTraceRequest(
            resource: [
                Span.Attribute("service.name", .text(options.serviceName)),
                Span.Attribute("service.instance.id", .text(options.instance)),
                Span.Attribute("service.version", .text(options.version)),
            ], scope: ("unstick", options.version))
        state = Mutex(State(queue: SpanQueue(limit: options.queueLimit)))
        (wakeups, wakeup) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: SpanSink

    public func record(_ spans: [Span]) {
        let wakes = state.withLock { state in
            state.queue.append(spans)
            guard !state.isFull, state.queue.spans.count >= options.batchSize else { return false }
            state.isFull = true
            return true
        }
        if wakes { wakeup.yield() }
    }

    public var tally: SpanTally {
        state.withLock { state in
            var tally = state.tally
            tally.droppedQueueFull = state.queue.dropped
            tally.waiting = state.queue.spans.count + state.inFlight
            return tally
        }
    }

    // MARK: Export

    /// Exports until it is cancelled; then sends what waits, within the shutdown limit.
    public func run() async {
        let interval = options.interval
        let wakeup = wakeup
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: interval)
                    wakeup.yield()
                }
            }
            for await _ in wakeups {
                if Task.isCancelled { break }
                await exportAll(total: options.retryTotal)
            }
            group.cancelAll()
        }
        // The task is cancelled; what is left to do must not be.
        let last = Task.detached { await self.exportAll(total: self.options.shutdown) }
        await last.value
    }

    private func exportAll(total: Duration) async {
        let deadline = ContinuousClock.now + total
        repeat {
            let batch = state.withLock { state in
                let batch = state.queue.take(options.batchSize)
                state.inFlight = batch.count
                if state.queue.spans.count < options.batchSize { state.isFull = false }
                return batch
            }
            guard !batch.isEmpty else { return }
            await export(batch, total: min(total, deadline - .now))
            state.withLock { $0.inFlight = 0 }
        } while !Task.isCancelled
    }

    private func export(_ batch: [Span], total: Duration) async {
        let body = ByteBuffer(bytes: request.encode(batch))
        let began = ContinuousClock.now
        var retry = ExportRetry(first: options.retryFirst, total: total)
        while true {
            let outcome = await send(body, within: total - (.now - began))
            let decision = retry.decide(
                outcome, elapsed: .now - began, jitter: Double.random(in: 0...1))
            switch decision {
            case .done(let rejected):
                let refused = UInt64(min(rejected, batch.count))
                state.withLock { state in
                    state.tally.exported &+= UInt64(batch.count) &- refused
                    state.tally.droppedRefused &+= refused
                }
                if refused > 0 { warn("the collector refused spans", "partial success", refused) }
                return
            case .refused(let reason):
                state.withLock { $0.tally.droppedRefused &+= UInt64(batch.count) }
                warn("the collector refused spans", reason, UInt64(batch.count))
                return
            case .giveUp(let reason):
                state.withLock { $0.tally.droppedUnreachable &+= UInt64(batch.count) }
                warn("spans are lost, the collector cannot be reached", reason, UInt64(batch.count))
                return
            case .retry(let delay, let reason):
                logger.debug("spans are sent again", metadata: ["reason": "\(reason)", "after": "\(delay)"])
                do {
                    try await Task.sleep(for: delay)
                } catch {
                    // Stopping: what waits gets its last chance with the rest.
                    state.withLock { $0.queue.putBack(batch) }
                    return
                }
            }
        }
    }

    private func send(_ body: ByteBuffer, within limit: Duration) async -> ExportRetry.Outcome {
        var post = HTTPClientRequest(url: options.endpoint)
        post.method = .POST
        post.headers.add(name: "Content-Type", value: "application/json")
        post.headers.add(name: "User-Agent", value: "unstick/\(options.version)")
        post.body = .bytes(body)
        let timeout = max(.milliseconds(1), min(options.timeout, limit))
        do {
            let response = try await http.execute(post, timeout: TimeAmount(timeout))
            let answer = try await response.body.collect(upTo: Self.answerBytesMax)
            guard (200..<300).contains(response.status.code) else {
                return .answered(
                    Int(response.status.code),
                    retryAfter: response.headers.first(name: "Retry-After").flatMap { Int64($0) })
            }
            return .accepted(rejected: PartialSuccess.rejectedSpans(in: String(buffer: answer)))
        } catch {
            return .failed("\(error)")
        }
    }

    /// At most one line in ten seconds; the counters have the rest.
    private func warn(_ message: String, _ reason: String, _ count: UInt64) {
        let warns = state.withLock { state in
            if let last = state.lastWarning, .now - last < .seconds(10) { return false }
            state.lastWarning = .now
            return true
        }
        guard warns else { return }
        logger.warning(
            "\(message)",
            metadata: ["endpoint": "\(options.endpoint)", "reason": "\(reason)", "spans": "\(count)"])
    }
}

/// `partialSuccess` of an `ExportTraceServiceResponse`.
enum PartialSuccess {
    /// The number behind `rejectedSpans`, as a number or (as Protobuf's JSON writes 64 bits) a string; 0 without one. What
    /// is not understood counts as success: the collector has answered 2xx.
    static func rejectedSpans(in answer: String) -> Int {
        guard let key = answer.firstRange(of: "\"rejectedSpans\"") else { return 0 }
        let rest = answer[key.upperBound...].drop { $0 == ":" || $0 == "\"" || $0.isWhitespace }
        return Int(rest.prefix { $0 >= "0" && $0 <= "9" }) ?? 0
    }
}
