import ArgumentParser
import AsyncHTTPClient
import Logging
import NIOPosix
import UnstickConfiguration
import UnstickProxy
import UnstickTelemetry

/// Access log and span export of one process: what the proxy writes into, and what runs beside it.
struct ObservationParts: Sendable {
    /// For the proxy.
    let options: ObservationOptions
    /// What runs as long as the process serves.
    let parts: [Serving.Part]
    private let accessLog: AccessLogWriter?
    private let http: HTTPClient?

    /// - Throws: ``CommandFailure`` when the access log's file cannot be opened.
    init(_ configuration: Configuration) throws(CommandFailure) {
        var options = ObservationOptions()
        var parts: [Serving.Part] = []
        let logger = configuration.log.logger("unstick.observation")
        if let header = configuration.requestID.header {
            var identifier = ObservationOptions.RequestIdentifier()
            identifier.header = header
            identifier.trust = configuration.requestID.accept.options
            identifier.onResponse = configuration.requestID.response
            options.requestID = identifier
        }
        accessLog = try Self.accessLog(configuration, logger, &options)
        if let endpoint = configuration.tracing.endpoint {
            var export = SpanExporter.Options(
                endpoint: endpoint, instance: configuration.proxy.name, version: Unstick.configuration.version)
            export.serviceName = configuration.tracing.serviceName
            export.queueLimit = configuration.tracing.queue
            export.retryTotal = configuration.tracing.retry
            let http = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
            let exporter = SpanExporter(options: export, http: http, logger: logger)
            var tracing = ObservationOptions.Tracing(sink: exporter)
            tracing.sample = configuration.tracing.sample
            tracing.trust = configuration.tracing.accept.options
            options.tracing = tracing
            self.http = http
            parts.append(
                Serving.Part(
                    name: "tracing", address: endpoint,
                    run: { ready in
                        ready()
                        await exporter.run()
                    }))
        } else {
            http = nil
        }
        self.options = options
        self.parts = parts
    }

    private static func accessLog(
        _ configuration: Configuration, _ logger: Logger, _ options: inout ObservationOptions
    ) throws(CommandFailure) -> AccessLogWriter? {
        let target: AccessLogWriter.Target
        switch configuration.accessLog.target {
        case nil: return nil
        case .standardOutput: target = .standardOutput
        case .file(let path): target = .file(path)
        }
        let writer: AccessLogWriter
        do throws(AccessLogWriter.Failure) {
            writer = try AccessLogWriter(target: target, logger: logger)
        } catch {
            throw CommandFailure(.failed, "access-log.to: \(error)")
        }
        var log = ObservationOptions.AccessLog(writer: writer)
        log.format = configuration.accessLog.format == .json ? .json : .combined
        log.showsQuery = configuration.accessLog.query
        log.statusMin = UInt16(configuration.accessLog.minStatus)
        log.sample = configuration.accessLog.sample
        options.accessLog = log
        return writer
    }

    /// For logrotate, after it has renamed the file.
    func reopenAccessLog() { accessLog?.reopen() }

    /// After everything that uses it has ended.
    func close() async {
        await accessLog?.flush()
        try? await http?.shutdown()
    }
}

extension Configuration.Trust {
    fileprivate var options: ObservationOptions.Trust {
        switch self {
        case .everybody: .everybody
        case .trustedProxies: .trustedPeers
        case .nobody: .nobody
        }
    }
}
