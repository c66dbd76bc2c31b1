import HTTPWire
import NIOCore
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Lines of the access log")
struct AccessLogFormatTests {
    /// Milliseconds of 2026-11-24T06:44:42.500Z.
    static let time: Int64 = 1_795_502_682_500

    static func line(
        _ head: String, _ format: ObservationOptions.AccessLog.Format = .json, showsQuery: Bool = true,
        client: String = "192.0.2.7", session: String? = nil, parameters: [String] = ["sid"],
        _ change: (inout RequestObservation) -> Void = { _ in }
    ) throws -> String {
        var request = RequestObservation()
        request.started = 1_000_000_000
        request.ended = 1_001_234_567
        request.status = 200
        request.bytesIn = 100
        request.bytesOut = 2345
        request.headBytesOut = 345
        change(&request)
        return try withBytes(head) { bytes in
            var parsed = RequestHead(limits: HeadLimits(maxHeadBytes: 1 << 20, maxTargetBytes: 1 << 18))
            let isComplete = try parsed.parse(bytes)
            #expect(isComplete)
            return withBytes(client) { client in
                let subject = AccessLogSubject(
                    parsed, head: bytes, client: client, instance: "web-1", session: session, milliseconds: time)
                return String(unsafeUninitializedCapacity: AccessLogFormat.lineBytesMax) { buffer in
                    var writer = RawWriter(
                        UnsafeMutableRawPointer(buffer.baseAddress!), capacity: AccessLogFormat.lineBytesMax)
                    AccessLogFormat(
                        format: format, redaction: LogRedaction(parameters: parameters, showsQuery: showsQuery)
                    ).write(request, subject, to: &writer)
                    #expect(!writer.isOverfull)
                    return writer.count
                }
            }
        }
    }

    static let head =
        "GET /a/b?x=1&y=2 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8\r\nReferer: http://r.example/?q=1\r\n\r\n"

    @Test("JSON tells what is known, and leaves out what did not happen")
    func json() throws {
        let line = try Self.line(Self.head, session: "0123456789ab") { request in
            request.connected = .init(began: 1_000_100_000, ended: 1_000_200_000)
            request.answered = .init(began: 1_000_200_000, ended: 1_001_000_000)
            request.mirrored = .init(began: 1_001_000_000, ended: 1_001_200_000)
            request.phase = .mirroring
            request.retries = 1
            request.requestID = .made(0, 0x1f)
            request.flags = [.tls, .clientGone]
        }
        #expect(
            line
                == #"{"time":"2026-11-24T06:44:42.500Z","client":"192.0.2.7","method":"GET","path":"/a/b","query":"x=1&y=2","#
                + #""protocol":"HTTP/1.1","host":"shop.example","status":200,"bytes_in":100,"bytes_out":2345,"#
                + #""duration":0.001234,"connect":0.000100,"response":0.000800,"mirror":0.000200,"instance":"web-1","#
                + #""phase":"mirroring","retries":1,"request_id":"0000000000000000000000000000001f","#
                + #""session":"0123456789ab","user_agent":"curl/8","referer":"http://r.example/?q=1","tls":true,"#
                + "\"client_gone\":true}\n")
    }

    @Test("why an answer was the proxy's own stands in the line")
    func ownAnswer() throws {
        let line = try Self.line(Self.head) {
            $0.status = 503
            $0.ownAnswer = .queueFull
        }
        #expect(line.contains(#""status":503,"#) && line.contains(#""own_answer":"queue_full""#))
    }

    @Test("combined is NCSA's format, bytes without the head")
    func combined() throws {
        #expect(
            try Self.line(Self.head, .combined)
                == "192.0.2.7 - - [24/Nov/2026:06:44:42 +0000] \"GET /a/b?x=1&y=2 HTTP/1.1\" 200 2000 "
                + "\"http://r.example/?q=1\" \"curl/8\"\n")
        #expect(
            try Self.line("GET / HTTP/1.0\r\n\r\n", .combined).hasSuffix("\"GET / HTTP/1.0\" 200 2000 \"-\" \"-\"\n"))
    }

    @Test(
        "no client can end a string or a line",
        arguments: [ObservationOptions.AccessLog.Format.json, .combined])
    func injection(_ format: ObservationOptions.AccessLog.Format) throws {
        let line = try Self.line(
            "GET /%0a\"x\\y HTTP/1.1\r\nHost: a\r\nUser-Agent: a\"b\\c\td\u{e9}\r\nReferer: \"} {\"\r\n\r\n", format)
        #expect(line.split(separator: "\n").count == 1 && line.hasSuffix("\n"))
        #expect(line.utf8.dropLast().allSatisfy { $0 >= 0x20 && $0 < 0x7f })
        if format == .json {
            #expect(line.contains(#""user_agent":"a\u0022b\u005cc\u0009d\u00c3\u00a9""#))
            #expect(line.contains(#""path":"/%0a\u0022x\u005cy""#))
        } else {
            #expect(line.contains(#""a\x22b\x5cc\x09d\xC3\xA9""#.lowercased()))
        }
    }

    @Test(
        "a session id in a path, query or referrer is never written",
        arguments: [
            "/a;jsessionid=SECRET", "/a;JSESSIONID=SECRET.route?x=1", "/a;jsessionid=SECRET/b", "/?sid=SECRET&x=1",
            "/?x=1&SID=SECRET", "/a%3Bjsessionid=SECRET", "/a%3bjsessionid%3DSECRET", "/?x=1%26sid=SECRET",
            "/;sid=SECRET;jsessionid=SECRET", "/?x;sid=SECRET#f", "/?sid=SECRET&sid=SECRET",
        ])
    func redaction(_ target: String) throws {
        for format in [ObservationOptions.AccessLog.Format.json, .combined] {
            let line = try Self.line(
                "GET \(target.replacing("#f", with: "")) HTTP/1.1\r\nHost: a\r\nReferer: http://h\(target)\r\n\r\n",
                format)
            #expect(!line.contains("SECRET"), "\(line)")
        }
    }

    @Test("what only looks like the parameter is kept", arguments: ["/?xsid=1", "/?sidx=1", "/sid=1", "/?a=sid"])
    func lookalike(_ target: String) throws {
        let line = try Self.line("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n", .combined)
        #expect(line.contains("\"GET \(target) HTTP/1.1\""))
    }

    @Test("queries are left out when they are not wanted, in referrers too")
    func noQuery() throws {
        for format in [ObservationOptions.AccessLog.Format.json, .combined] {
            let line = try Self.line(Self.head, format, showsQuery: false)
            #expect(!line.contains("x=1") && !line.contains("q=1") && line.contains("/a/b"))
        }
    }

    @Test("the longest line fits its limit")
    func longest() throws {
        let noise = String(repeating: "\"", count: 60_000)
        let line = try Self.line(
            "GET /\(noise)?\(noise) HTTP/1.1\r\nHost: a\r\nUser-Agent: \(noise)\r\nReferer: \(noise)\r\n\r\n",
            session: "0123456789ab"
        ) {
            $0.requestID = .made(1, 1)
            $0.flags = [.tls, .upgraded, .clientGone, .truncated, .failedOver]
            $0.ownAnswer = .storeUnavailable
        }
        #expect(line.hasSuffix("}\n"))
        #expect(line.utf8.count > 30_000 && line.utf8.count < AccessLogFormat.lineBytesMax - 2048)
    }

    @Test(
        "days and months are right",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"), (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_798_761_599_000, "2026-12-31T23:59:59.000Z"), (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1970-01-01T00:00:00.000Z"), (Int64.max, "9999-12-31T23:59:59.999Z"),
        ] as [(Int64, String)])
    func times(_ milliseconds: Int64, _ text: String) {
        let written = String(unsafeUninitializedCapacity: 32) { buffer in
            var writer = RawWriter(UnsafeMutableRawPointer(buffer.baseAddress!), capacity: 32)
            writer.putTimestamp(milliseconds: milliseconds)
            return writer.count
        }
        #expect(written == text)
    }
}
