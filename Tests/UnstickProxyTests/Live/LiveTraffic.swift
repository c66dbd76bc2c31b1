import BridgeContract
import ControlAPI
import Foundation
import Logging
import NIOCore
import NIOPosix
import Testing
import UnstickCore

@testable import UnstickProxy

/// An answer as it came over the wire.
struct RawAnswer {
    var status: Int
    /// Status line and fields, without the empty line.
    var head: String
    var body: String
    /// All of it.
    var bytes: Int

    func field(_ name: String) -> String? { fields(name).first }

    func fields(_ name: String) -> [String] {
        head.split(separator: "\r\n").dropFirst().compactMap { line in
            guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == name.lowercased() else {
                return nil
            }
            return line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
    }
}

extension ProxyFixture {
    /// Sends requests over one connection, each after the answer to the one before, and closes it.
    /// - Parameters:
    ///   - address: the client's, any of 127.0.0.0/8.
    ///   - whileOpen: runs when all answers are here and the connection still is.
    @discardableResult
    func converse(
        _ requests: [String], from address: String = "127.0.0.1", whileOpen: () async throws -> Void = {}
    ) async throws -> [RawAnswer] {
        let channel = try await ClientBootstrap(group: group)
            .bind(to: try SocketAddress(ipAddress: address, port: 0))
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var answers: [RawAnswer] = []
            var parts = inbound.makeAsyncIterator()
            var buffer = ByteBuffer()
            for request in requests {
                try await outbound.write(ByteBuffer(string: request))
                while true {
                    if let answer = Self.takeAnswer(&buffer, toHead: request.hasPrefix("HEAD")) {
                        answers.append(answer)
                        break
                    }
                    guard var part = try await parts.next() else { return answers }
                    buffer.writeBuffer(&part)
                }
            }
            try await whileOpen()
            return answers
        }
    }

    /// A final answer with a length, if it is complete.
    private static func takeAnswer(_ buffer: inout ByteBuffer, toHead: Bool) -> RawAnswer? {
        let text = String(buffer: buffer)
        guard let end = text.firstRange(of: "\r\n\r\n") else { return nil }
        let head = String(text[..<end.lowerBound])
        var answer = RawAnswer(
            status: Int(head.split(separator: " ")[1]) ?? 0, head: head, body: "", bytes: head.utf8.count + 4)
        let length = toHead ? 0 : answer.field("Content-Length").flatMap { Int($0) } ?? 0
        guard buffer.readableBytes >= answer.bytes + length else { return nil }
        buffer.moveReaderIndex(forwardBy: answer.bytes)
        answer.body = buffer.readString(length: length) ?? ""
        answer.bytes += length
        return answer
    }

    /// What `/metrics` says: values by name and labels as they are written.
    func metrics() async -> MetricsPage {
        var text = PrometheusText()
        await proxy.writeMetrics(to: &text)
        return MetricsPage(text.text)
    }

    /// Waits until the metrics satisfy the condition, at most ten seconds.
    @discardableResult
    func untilMetrics(
        _ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ condition: (MetricsPage) -> Bool
    ) async throws -> MetricsPage {
        try await eventually(what, sourceLocation: sourceLocation) {
            let page = await metrics()
            return condition(page) ? page : nil
        }
    }

    /// So many clients without a cookie ask for something, one after the other.
    func strangers(_ count: Int, get status: Int = 200, sourceLocation: SourceLocation = #_sourceLocation) async throws
    {
        for _ in 0..<count {
            let answer = try await Browser(self).value()
            #expect(answer.status == status, sourceLocation: sourceLocation)
        }
    }

    /// Publishes other instances and waits until they are served.
    func use(_ instances: [RoutingTable.Instance]) async {
        await link.waitForAcknowledgement(of: link.publish { $0.instances = instances })
    }

    /// The affinity cookie of an instance.
    func affinity(_ name: String) -> String { "\(name)~\(Self.secret.affinitySignature(instance: name))" }
}

/// Asks again and again, at most ten seconds, until there is an answer.
func eventually<Answer>(
    _ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ question: () async throws -> Answer?
) async throws -> Answer {
    let deadline = ContinuousClock.now + .seconds(10)
    while ContinuousClock.now < deadline {
        if let answer = try await question() { return answer }
        try await Task.sleep(for: .milliseconds(5))
    }
    return try #require(try await question(), "waited in vain for \(what)", sourceLocation: sourceLocation)
}

struct MetricsPage {
    let text: String
    private let values: [Substring: Double]

    init(_ text: String) {
        self.text = text
        var values: [Substring: Double] = [:]
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            guard let space = line.lastIndex(of: " ") else { continue }
            values[line[..<space]] = Double(line[line.index(after: space)...])
        }
        self.values = values
    }

    /// A sample's value; `unstick_proxy_` is left out of its name. Nil: there is none.
    subscript(name: String) -> Double? { values["unstick_proxy_\(name)"] }

    func requests(_ instance: String, _ code: String, _ method: String) -> Double {
        self["requests_total{instance=\"\(instance)\",code=\"\(code)\",method=\"\(method)\"}"] ?? 0
    }

    /// Of a family by instance.
    func of(_ instance: String, _ family: String) -> Double? { self["\(family){instance=\"\(instance)\"}"] }

    /// All samples of a family whose value is not 0, by their labels.
    func nonzero(_ family: String) -> [String: Double] {
        var found: [String: Double] = [:]
        for (name, value) in values where name.hasPrefix("unstick_proxy_\(family){") && value != 0 {
            found[String(name.dropFirst("unstick_proxy_\(family)".count))] = value
        }
        return found
    }

    /// The state of an instance's circuit breaker.
    func breaker(_ instance: String) -> String? {
        ["closed", "open", "half_open"].first {
            self["upstream_breaker_state{instance=\"\(instance)\",state=\"\($0)\"}"] == 1
        }
    }
}

/// An access log in a folder of its own.
struct LogFile {
    let path: String
    let writer: AccessLogWriter

    static func with(_ body: (LogFile) async throws -> Void) async throws {
        try await AccessLogWriterTests.withFile { path in
            try await body(LogFile(path: path, writer: try AccessLogWriterTests.writer(path)))
        }
    }

    var text: String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }

    /// Waits for so many lines; more are a mistake.
    func lines(_ count: Int, sourceLocation: SourceLocation = #_sourceLocation) async throws -> [String] {
        let lines = try await eventually("\(count) lines", sourceLocation: sourceLocation) {
            let lines = text.split(separator: "\n").map(String.init)
            return lines.count >= count ? lines : nil
        }
        try #require(lines.count == count, "\(lines)", sourceLocation: sourceLocation)
        return lines
    }

    /// The same, of JSON.
    func entries(_ count: Int, sourceLocation: SourceLocation = #_sourceLocation) async throws -> [LogEntry] {
        try await lines(count, sourceLocation: sourceLocation).map { line in
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
            return LogEntry(values: try #require(object as? [String: Any]))
        }
    }
}

struct LogEntry {
    let values: [String: Any]
    func text(_ key: String) -> String? { values[key] as? String }
    func number(_ key: String) -> Int? { values[key] as? Int }
    func seconds(_ key: String) -> Double? { (values[key] as? NSNumber)?.doubleValue }
    func flag(_ key: String) -> Bool { values[key] as? Bool ?? false }
}
