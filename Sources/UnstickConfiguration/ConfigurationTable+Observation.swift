extension ConfigurationTable where Root == ConfigurationDraft {
    /// What is told about requests and about the process.
    static var observationKeys: [ConfigurationKey<ConfigurationDraft>] {
        typealias Key = ConfigurationKey<ConfigurationDraft>
        return [
            Key(
                "proxy.admin", .optional(.listenAddress), \.configuration.proxy.admin,
                "`/metrics`, `/healthz` and `/readyz` of `unstick proxy`; `unstick up` has them at `admin`. Needs "
                    + "`admin-token-file` unless it is a loopback address."),
            Key(
                "log.level", .word(Configuration.Log.Level.allCases), \.configuration.log.level,
                "The least level written."),
            Key(
                "log.format", .word(Configuration.Log.Format.allCases), \.configuration.log.format,
                "One line per event."),
            Key(
                "access-log.to", .optional(.logTarget), \.configuration.accessLog.target,
                "Where a line per request goes: a file, opened anew on SIGHUP, or `stdout`; `null`: nowhere."),
            Key(
                "access-log.format", .word(Configuration.AccessLog.Format.allCases),
                \.configuration.accessLog.format, "One JSON object per line, or NCSA's combined format."),
            Key(
                "access-log.query", .truth, \.configuration.accessLog.query,
                "Whether queries are shown; session ids in them, as in paths, never are."),
            Key(
                "access-log.min-status", .count(0...599), \.configuration.accessLog.minStatus,
                "Answers with a lower status code are left out."),
            Key(
                "access-log.sample", .share, \.configuration.accessLog.sample,
                "Share of the answers below 500 that are logged; those of 500 and up always are."),
            Key(
                "request-id.header", .optional(.fieldName), \.configuration.requestID.header,
                "Header with the request's id, such as `X-Request-ID`, made unless the client's is accepted; `null`: ids "
                    + "are neither made nor looked at."),
            Key(
                "request-id.accept", .word(Configuration.Trust.allCases), \.configuration.requestID.accept,
                "Whose request ids are passed on."),
            Key(
                "request-id.response", .truth, \.configuration.requestID.response,
                "Whether the response carries the header too."),
            Key(
                "tracing.endpoint", .optional(.collectorURL), \.configuration.tracing.endpoint,
                "OTLP/HTTP collector for spans; without a path it gets `/v1/traces`. `null`: no spans, and `traceparent` "
                    + "passes through as any other header."),
            Key(
                "tracing.sample", .share, \.configuration.tracing.sample,
                "Share of the traces that begin here which are recorded; one that goes on keeps its caller's decision."),
            Key(
                "tracing.accept", .word(Configuration.Trust.allCases), \.configuration.tracing.accept,
                "Whose `traceparent` is gone on with."),
            Key(
                "tracing.service-name", .name, \.configuration.tracing.serviceName,
                "`service.name` of the spans."),
            Key(
                "tracing.queue", .count(256...1 << 20), \.configuration.tracing.queue,
                "Most spans that wait for the collector; further ones are dropped and counted."),
            Key(
                "tracing.retry", .duration(.seconds(1)...(.seconds(600))), \.configuration.tracing.retry,
                "How long spans are sent again when the collector does not take them."),
        ]
    }
}

extension ValueKind where Value == Double {
    /// A decimal fraction, 0 to 1.
    static var share: ValueKind {
        .scalar("a share from 0 to 1, such as 0.05", format: { $0 == $0.rounded() ? "\(Int($0))" : "\($0)" }) { value in
            let text = value.text.utf8
            // No exponents, signs or names of numbers that are none.
            guard value.isPlain, text.count <= 12, text.count(where: { $0 == 0x2e }) <= 1,
                text.allSatisfy({ $0 == 0x2e || ($0 >= 0x30 && $0 <= 0x39) }), let number = Double(value.text)
            else {
                return .failure(
                    ValueRefusal(value.text.hasSuffix("%") ? "is a percentage" : "is not a decimal fraction"))
            }
            return number <= 1 ? .success(number) : .failure(ValueRefusal("is outside 0 to 1"))
        }
    }
}

extension ValueKind where Value == Configuration.AccessLog.Target {
    /// `stdout` or a file.
    static var logTarget: ValueKind {
        .scalar(
            "stdout or a file's path",
            format: {
                switch $0 {
                case .standardOutput: "stdout"
                case .file(let path): path
                }
            }
        ) { value in
            guard !value.text.utf8.contains(0), value.text.utf8.count <= 4096, value.text.last != "/" else {
                return .failure(ValueRefusal("is not a file's path"))
            }
            if value.text == "stdout" || value.text == "-" { return .success(.standardOutput) }
            return .success(.file(value.text))
        }
    }
}

extension ValueKind where Value == String {
    /// `http://HOST:PORT` or `https://HOST:PORT`, with or without a path.
    static var collectorURL: ValueKind {
        .scalar(
            "http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:4318", format: \.self
        ) { value in
            guard let separator = value.text.firstRange(of: "://"),
                case let scheme = value.text[..<separator.lowerBound].lowercased(), ["http", "https"].contains(scheme)
            else { return .failure(ValueRefusal("is not an http or https URL")) }
            let rest = value.text[separator.upperBound...]
            let authority = rest.prefix { !"/?#".contains($0) }
            var path = String(rest[authority.endIndex...])
            guard !authority.contains("@") else { return .failure(ValueRefusal("has a user in it")) }
            guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") }), !path.hasPrefix("?")
            else { return .failure(ValueRefusal("has a path that is none")) }
            let endpoint: SocketEndpoint
            do throws(EndpointRefusal) {
                endpoint = try SocketEndpoint(parsing: String(authority))
            } catch {
                return .failure(ValueRefusal(error.description))
            }
            if path.isEmpty || path == "/" { path = "/v1/traces" }
            return .success("\(scheme)://\(endpoint)\(path)")
        }
    }
}

extension ConfigurationChecks {
    /// Paths of the area, and what would be read and do nothing.
    func checkObservation(_ configuration: inout Configuration, _ log: inout ProblemLog) {
        if case .file(let path) = configuration.accessLog.target {
            configuration.accessLog.target = .file(resolve(path))
        }
        // Values that differ from the defaults were meant; one that is switched off by `null` may keep the rest.
        let idle: [(isIdle: Bool, need: String, keys: [String])] = [
            (
                configuration.accessLog.target == nil && configuration.accessLog != .init(), "access-log.to",
                ["access-log.format", "access-log.query", "access-log.min-status", "access-log.sample"]
            ),
            (
                configuration.requestID.header == nil && configuration.requestID != .init(), "request-id.header",
                ["request-id.accept", "request-id.response"]
            ),
            (
                configuration.tracing.endpoint == nil && configuration.tracing != .init(), "tracing.endpoint",
                ["tracing.sample", "tracing.accept", "tracing.service-name", "tracing.queue", "tracing.retry"]
            ),
        ]
        for rule in idle where rule.isIdle && !log.isGiven(rule.need) {
            guard let key = rule.keys.first(where: { log.isGiven($0) && !log.isRefused($0) }) else { continue }
            log.report(key, value: nil, "does nothing by itself; expected \(rule.need) as well")
        }
    }
}
