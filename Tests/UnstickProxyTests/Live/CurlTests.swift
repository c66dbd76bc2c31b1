import ControlAPI
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing
import UnstickCore

@testable import UnstickProxy

/// curl with the options that make it speak unusually.
@Suite("curl, live")
struct CurlTests {
    /// What curl wrote: the heads and bodies that it got, and behind them a line for each transfer.
    private func curl(_ arguments: [String], input: String? = nil) async throws -> ProgramResult {
        let report = ["--write-out", "\\n[%{http_code} %{num_connects} %{http_version} %{size_download}]\\n"]
        let result = try await run(
            "curl", ["--silent", "--show-error", "--max-time", "10"] + report + arguments, input: input)
        try #require(result.code == 0, "curl \(arguments): \(result.code) \(result.errors)")
        return result
    }

    /// Answers with what it was asked.
    private static let echo: @Sendable (ReceivedRequest) -> UpstreamAnswer = { request in
        UpstreamAnswer(
            headers: [("X-Line", "\(request.method) \(request.uri)"), ("Content-Type", "text/plain")],
            body: request.method == "HEAD" ? [] : request.body.isEmpty ? Array("empty".utf8) : request.body)
    }

    @Test("--http1.0 gets its answer and the connection's end")
    func http10() async throws {
        try await withAnsweringInstance(Self.echo) { fixture, _ in
            let result = try await curl(["--http1.0", "-i", fixture.url + "/x"])
            #expect(result.output.hasPrefix("HTTP/1.1 200"))
            #expect(result.output.contains("X-Line: GET /x") && result.output.contains("Connection: close"))
            #expect(result.output.contains("[200 1 1.1 5]"))
        }
    }

    @Test("-T with a length that is not known uploads in chunks", arguments: [1, 100_000])
    func chunkedUpload(size: Int) async throws {
        try await withAnsweringInstance(Self.echo) { fixture, upstream in
            let body = String(repeating: "u", count: size)
            let result = try await curl(["-T", "-", fixture.url + "/up"], input: body)
            #expect(result.output == "\(body)\n[200 1 1.1 \(size)]\n")
            let request = try #require(upstream.requests.first)
            #expect(request.method == "PUT" && request.headers["Transfer-Encoding"] == ["chunked"])
            #expect(!request.headers.contains(name: "Expect"))
        }
    }

    @Test("-H Transfer-Encoding: chunked with -d sends chunks, and no length beside them")
    func chunkedPost() async throws {
        try await withAnsweringInstance(Self.echo) { fixture, upstream in
            let result = try await curl(["-H", "Transfer-Encoding: chunked", "-d", "a=b", fixture.url + "/"])
            #expect(result.output == "a=b\n[200 1 1.1 3]\n")
            #expect(upstream.requests.first?.headers.contains(name: "Content-Length") == false)
        }
    }

    @Test("--expect100-timeout: curl waits for the 100, which comes at once")
    func expect() async throws {
        try await withAnsweringInstance(Self.echo) { fixture, upstream in
            // Without the 100 it would wait for longer than it may take.
            let result = try await curl([
                "-v", "--expect100-timeout", "60", "-H", "Expect: 100-continue", "-d", "body", fixture.url + "/",
            ])
            #expect(result.output == "body\n[200 1 1.1 4]\n")
            #expect(result.errors.contains("< HTTP/1.1 100 Continue"))
            #expect(upstream.requests.first?.headers.contains(name: "Expect") == false)
        }
    }

    @Test("an expectation that cannot be met is refused before the body is sent")
    func badExpectation() async throws {
        try await withAnsweringInstance(Self.echo) { fixture, upstream in
            let result = try await curl(["-H", "Expect: 200-maybe", "-d", "body", "-o", "/dev/null", fixture.url + "/"])
            #expect(result.output.contains("[417 "))
            #expect(upstream.requests.isEmpty)
        }
    }

    @Test("--path-as-is and --request-target reach the instance byte for byte")
    func oddTargets() async throws {
        try await withAnsweringInstance(Self.echo) { fixture, upstream in
            _ = try await curl(["--path-as-is", fixture.url + "/a/../b/./c//d"])
            _ = try await curl(["--request-target", "/odd?a=[b]|c", fixture.url + "/"])
            _ = try await curl(["--request-target", "http://other.example/abs", fixture.url + "/"])
            _ = try await curl(["--request-target", "*", "-X", "OPTIONS", fixture.url + "/"])
            #expect(upstream.requests.map(\.uri) == ["/a/../b/./c//d", "/odd?a=[b]|c", "/abs", "*"])
            #expect(upstream.requests[2].headers["Host"] == ["other.example"])
            let hidden = try await curl(["--path-as-is", fixture.url + "/x/../.well-known/unstick/v1/instance"])
            let refused = try await curl(["--request-target", "no-slash", fixture.url + "/"])
            #expect(hidden.output.contains("[404 ") && refused.output.contains("[400 "))
            #expect(upstream.requests.count == 4)
        }
    }

    @Test("--compressed gets the instance's encoding as it is")
    func compressed() async throws {
        // "hello\n", by gzip without a name and a time.
        let gzip: [UInt8] = [
            0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 0x02, 0x00,
            0x20, 0x30, 0x3a, 0x36, 0x06, 0x00, 0x00, 0x00,
        ]
        try await withAnsweringInstance({ request in
            #expect(request.headers["Accept-Encoding"].first?.contains("gzip") == true)
            return UpstreamAnswer(headers: [("Content-Encoding", "gzip")], body: gzip)
        }) { fixture, _ in
            let result = try await curl(["--compressed", fixture.url + "/"])
            #expect(result.output.hasPrefix("hello\n\n[200 "))
        }
    }

    @Test("several transfers use one connection, whatever they are")
    func reuse() async throws {
        try await withAnsweringInstance(Self.echo) { fixture, upstream in
            let url = fixture.url
            let result = try await curl([
                url + "/a", "--next", "-s", "-I", url + "/b", "--next", "-s", "-d", "body", url + "/c", "--next", "-s",
                "-H", "Transfer-Encoding: chunked", "-d", "more", url + "/d", "--next", "-s", "--write-out",
                "[%{num_connects}]",
                url + "/e",
            ])
            #expect(result.output.hasSuffix("empty[0]"))
            #expect(
                upstream.requests.map { "\($0.method) \($0.uri)" } == [
                    "GET /a", "HEAD /b", "POST /c", "POST /d", "GET /e",
                ])
            #expect(try await fixture.openedConnections() == 1)
        }
    }

    @Test("-I, --range and -X with an unknown method pass")
    func others() async throws {
        try await withAnsweringInstance({ request in
            request.headers["Range"] == ["bytes=2-3"]
                ? UpstreamAnswer(status: 206, headers: [("Content-Range", "bytes 2-3/6")], body: Array("cd".utf8))
                : Self.echo(request)
        }) { fixture, upstream in
            let head = try await curl(["-I", fixture.url + "/h"])
            #expect(head.output.contains("X-Line: HEAD /h") && head.output.contains("[200 1 1.1 0]"))
            let range = try await curl(["--range", "2-3", fixture.url + "/r"])
            #expect(range.output == "cd\n[206 1 1.1 2]\n")
            let purge = try await curl(["-X", "PROPFIND", fixture.url + "/p"])
            #expect(purge.output.contains("[200 "))
            #expect(upstream.requests.map(\.method) == ["HEAD", "GET", "PROPFIND"])
        }
    }
}

extension ProxyFixture {
    /// Connections to instances that were opened since the start.
    func openedConnections() async throws -> UInt64 {
        var count: UInt64 = 0
        for bound in proxy.loops {
            count += try await bound.eventLoop.submit {
                bound.value.table.pools.reduce(0) { $0 + $1.connectionsOpened }
            }.get()
        }
        return count
    }
}
