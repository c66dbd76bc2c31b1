import HTTPWire
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Holds the parser against NIOHTTP1's (llhttp): two independent readers of one grammar. What both accept they must read
/// alike; where only ours accepts, the reason is one of a short list.
@Suite("Against NIOHTTP1")
struct DifferentialTests {
    /// One message, however it was read.
    struct Message: Equatable {
        var method: String
        var target: String
        var minor: Int
        var fields: [String]
        var content: String
        var trailers: [String]
        var keepAlive: Bool

        /// Whether a `Connection` field holds the option.
        func says(_ option: String) -> Bool {
            fields.contains { $0.lowercased().hasPrefix("connection:") && $0.lowercased().contains(option) }
        }
    }

    private static func number(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

    /// `UNSTICK_FUZZ_CASES` in all shards together; `UNSTICK_FUZZ_SEED` chooses others.
    static let casesPerShard = number("UNSTICK_FUZZ_CASES").map { Int(clamping: $0) / 4 } ?? 52_000
    static let shards: [UInt64] = [1, 2, 3, 4].map { $0 &+ 1_000 &* ((number("UNSTICK_FUZZ_SEED") ?? 1) &- 1) }

    @Test("what both accept they read alike; what only we accept is known", arguments: shards)
    func mutated(seed: UInt64) {
        var requests = MutatedRequests(seed: seed)
        var head = RequestHead()
        var alike = 0
        var onlyOurs: [OnlyOurs: Int] = [:]
        for number in 0..<Self.casesPerShard {
            let bytes = requests.next()
            guard let ours = readOurs(bytes, &head) else {
                // A part of the cases, as the other reader is the slower one.
                guard number % 16 == 0, let fault = refusal(bytes, &head), case .message = readTheirs(bytes) else {
                    continue
                }
                guard Self.onlyTheirs[fault.reason] != nil else {
                    Issue.record(
                        "case \(number) of seed \(seed): only we refuse \(latin1(bytes).debugDescription): \(fault)")
                    return
                }
                continue
            }
            switch readTheirs(bytes) {
            case .message(var theirs):
                alike += 1
                // RFC 9112 §9.3 lets `close` win; NIOHTTP1 lets `keep-alive` win in HTTP/1.0.
                if ours.minor == 0, !ours.keepAlive, ours.says("close") { theirs.keepAlive = false }
                // It does not take HTAB for white space around a connection option or a number.
                if bytes.contains(0x09) { theirs.keepAlive = ours.keepAlive }
                guard ours == theirs else {
                    Issue.record(
                        "case \(number) of seed \(seed): \(latin1(bytes).debugDescription): \(ours) / \(theirs)")
                    return
                }
            case .refused(let error):
                guard let reason = OnlyOurs(ours, bytes, error) else {
                    Issue.record(
                        "case \(number) of seed \(seed): only we accept \(latin1(bytes).debugDescription): \(error)")
                    return
                }
                onlyOurs[reason, default: 0] += 1
            case .incomplete:
                Issue.record("case \(number) of seed \(seed): only we see an end in \(latin1(bytes).debugDescription)")
                return
            }
        }
        // The generator must not drift to where everything is refused.
        #expect(alike > Self.casesPerShard / 10)
        #expect(onlyOurs.values.reduce(0, +) < Self.casesPerShard / 10)
    }

    /// Why ours refuses what NIOHTTP1 accepts. A reason that is not listed fails the test: then the parser has become stricter
    /// than somebody meant it to be.
    static let onlyTheirs: [HTTPWireError.Reason: String] = [
        .hostMissing: "RFC 9112 §3.2: a server MUST answer 400 to an HTTP/1.1 request without Host",
        .hostRepeated: "RFC 9112 §3.2: and to one with more than one Host line",
        .badHost: "RFC 9112 §3.2: and to one with an invalid value",
        .badTarget: "RFC 9112 §3.2, RFC 3986 §3.2: the target is none of the four forms, or its authority is invalid",
        .badMethod: "RFC 9112 §2.2: empty lines before a request are CRLF, not bare LF",
        .badVersion: "RFC 9112 §3: one space between target and version; §3.2 wants 400 for more",
        .bareCarriageReturn: "RFC 9112 §2.2: a bare CR is invalid, before the request line as well",
        .badConnection: "RFC 9110 §7.6.1: options are tokens",
        .expectationNotSupported: "RFC 9110 §10.1.1: an unknown expectation gets 417",
        .transferEncodingInHTTP10: "RFC 9112 §6.1: framing in HTTP/1.0 with Transfer-Encoding is faulty",
        .transferEncodingNotSupported: "RFC 9112 §6.1: a coding that is not understood gets 501",
        .transferEncodingRepeated: "RFC 9112 §6.1: one coding is not applied twice, and identity is none (§7)",
        .badChunkExtension: "RFC 9112 §7.1.1: an extension has a name",
    ]

    /// Why ours refuses the bytes; nil when it does not, or not yet.
    func refusal(_ bytes: [UInt8], _ head: inout RequestHead) -> HTTPWireError? {
        head.reset()
        return bytes.withUnsafeBytes { (all) -> HTTPWireError? in
            do throws(HTTPWireError) {
                guard try head.parse(all), head.framing == .chunked else { return nil }
                var decoder = ChunkedDecoder()
                _ = try decoder.decode(UnsafeRawBufferPointer(rebasing: all[head.headLength...]))
                return nil
            } catch {
                return error
            }
        }
    }

    /// Reads one whole request with ours; nil when it is refused or not complete.
    func readOurs(_ bytes: [UInt8], _ head: inout RequestHead) -> Message? {
        head.reset()
        return bytes.withUnsafeBytes { all in
            guard (try? head.parse(all)) == true else { return nil }
            var message = Message(
                method: latin1(head.methodSlice, in: all),
                target: latin1(head.target, in: all),
                minor: head.versionMinor,
                fields: head.headers.map { fieldText($0, all) },
                content: "",
                trailers: [],
                keepAlive: head.keepAlive
            )
            let rest = UnsafeRawBufferPointer(rebasing: all[head.headLength...])
            switch head.framing {
            case .none: break
            case .length(let length):
                guard length <= UInt64(rest.count) else { return nil }
                message.content = latin1(rest[..<Int(length)])
            case .chunked:
                var decoder = ChunkedDecoder()
                guard (try? decoder.decode(rest) { message.content += latin1($0, in: rest) }) != nil, decoder.isComplete
                else {
                    return nil
                }
                message.trailers = decoder.trailers.map { fieldText($0, rest) }
            case .untilClose: return nil
            }
            return message
        }
    }

    /// NIOHTTP1 repairs faulty UTF-8 in values and leaves white space of mixed kinds behind them: neither is part of
    /// what is compared (RFC 9112 §5.1).
    func fieldText(_ name: String, _ value: String) -> String {
        var bytes = Array(value.utf8)
        while let last = bytes.last, last == 0x20 || last == 0x09 { bytes.removeLast() }
        return name + ":" + latin1(bytes)
    }

    func fieldText(_ field: HeaderSlice, _ bytes: UnsafeRawBufferPointer) -> String {
        fieldText(latin1(field.name, in: bytes), field.value.text(in: bytes))
    }

    enum Theirs {
        case message(Message)
        case incomplete
        case refused(any Error)
    }

    /// Reads the first request with NIOHTTP1.
    func readTheirs(_ bytes: [UInt8]) -> Theirs {
        let channel = EmbeddedChannel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        var failure: (any Error)?
        do {
            try channel.pipeline.syncOperations.addHandler(
                ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
            try channel.writeInbound(ByteBuffer(bytes: bytes))
        } catch {
            failure = error
        }
        var message: Message?
        while let part = try? channel.readInbound(as: HTTPServerRequestPart.self) {
            switch part {
            case .head(let head):
                message = Message(
                    method: head.method.rawValue,
                    target: latin1(head.uri.utf8),
                    minor: head.version.minor,
                    fields: head.headers.map { fieldText($0.name, $0.value) },
                    content: "",
                    trailers: [],
                    keepAlive: head.isKeepAlive
                )
            case .body(let body): message?.content += latin1(body.readableBytesView)
            case .end(let trailers):
                message?.trailers = trailers?.map { fieldText($0.name, $0.value) } ?? []
                if let message { return .message(message) }
            }
        }
        return failure.map { .refused($0) } ?? .incomplete
    }

    /// Why ours accepts what NIOHTTP1 refuses.
    enum OnlyOurs: Hashable {
        /// RFC 9110 §9.1 leaves the set of methods open; llhttp has a list.
        case unlistedMethod
        /// Refused there; reported by us, for the proxy to strip (RFC 9110 §6.5.1).
        case framingFieldInTrailers
        /// HTAB is white space like SP (RFC 9110 §5.6.3); llhttp refuses it behind the values it interprets.
        case tabBehindFramingValue

        init?(_ ours: Message, _ bytes: [UInt8], _ error: any Error) {
            let trailers = ours.trailers.map { $0.lowercased() }
            if let error = error as? HTTPParserError, error == .invalidMethod {
                self = .unlistedMethod
            } else if trailers.contains(where: {
                $0.hasPrefix("content-length:") || $0.hasPrefix("transfer-encoding:")
            }) {
                self = .framingFieldInTrailers
            } else if latin1(bytes).lowercased().unicodeScalars.split(separator: "\n").contains(where: {
                let line = String($0)
                return line.hasSuffix("\t\r")
                    && (line.hasPrefix("content-length:") || line.hasPrefix("transfer-encoding:"))
            }) {
                self = .tabBehindFramingValue
            } else {
                return nil
            }
        }
    }
}
