import HTTPWire
import NIOCore
import NIOHPACK
import NIOHTTP2
import Testing

@testable import UnstickProxy

/// A payload as text: `H` fields, `D` data, `$` for END_STREAM.
func described(_ payload: HTTP2Frame.FramePayload) -> String {
    switch payload {
    case .headers(let headers):
        "H " + headers.headers.map { "\($0.name)=\($0.value)" }.joined(separator: "|") + (headers.endStream ? "$" : "")
    case .data(let data):
        if case .byteBuffer(let bytes) = data.data {
            "D " + String(buffer: bytes) + (data.endStream ? "$" : "")
        } else {
            "D ?"
        }
    case .rstStream(let code): "R \(code.networkCode)"
    default: "?"
    }
}

@Suite("HTTP/1.1 responses as HTTP/2")
struct HTTP2ResponseTranslatorTests {
    private func frames(_ pieces: [String], answering method: RequestMethod = .get, end: Bool = false) throws
        -> [String]
    {
        var translator = HTTP2ResponseTranslator(limits: HeadLimits())
        var frames: [String] = []
        for piece in pieces {
            try translator.receive(ByteBuffer(string: piece), answering: method) { frames.append(described($0)) }
        }
        if end {
            let isProper = translator.end { frames.append(described($0)) }
            frames.append(isProper ? "end" : "broken")
        }
        return frames
    }

    struct Case: CustomTestStringConvertible {
        var name: String
        var bytes: String
        var method = RequestMethod.get
        var frames: [String]
        var testDescription: String { name }
    }

    static let cases = [
        Case(
            name: "a counted body", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Y: Z\r\n\r\nhello",
            frames: ["H :status=200|content-length=5|x-y=Z", "D hello$"]),
        Case(
            name: "no body", bytes: "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
            frames: ["H :status=201|content-length=0$"]),
        Case(name: "204", bytes: "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", frames: ["H :status=204|a=b$"]),
        Case(
            name: "304", bytes: "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            frames: ["H :status=304|content-length=9$"]),
        Case(
            name: "HEAD", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", method: .head,
            frames: ["H :status=200|content-length=9$"]),
        Case(
            name: "fields of the connection",
            bytes: "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n"
                + "Proxy-Connection: close\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
            frames: ["H :status=200|content-length=0$"]),
        Case(
            name: "chunks",
            bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            frames: ["H :status=200", "D abc", "D de$"]),
        Case(
            name: "no chunks", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            frames: ["H :status=200", "D $"]),
        Case(
            name: "trailers, the forbidden ones gone",
            bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n1\r\na\r\n0\r\nSum: 7\r\n"
                + "Set-Cookie: a=b\r\nContent-Length: 5\r\n\r\n",
            frames: ["H :status=200|trailer=Sum", "D a", "H sum=7$"]),
        Case(
            name: "interim responses",
            bytes: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                + "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            frames: ["H :status=100", "H :status=103|link=</a>", "H :status=200|content-length=1", "D x$"]),
        Case(
            name: "several cookies stay several",
            bytes: "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
            frames: ["H :status=200|set-cookie=a=1|set-cookie=b=2|content-length=0$"]),
    ]

    @Test("each kind of response", arguments: cases)
    func responses(_ response: Case) throws {
        let frames = try frames([response.bytes], answering: response.method)
        #expect(frames == response.frames)
    }

    @Test("cut at every byte, it says the same", arguments: cases)
    func cuts(_ response: Case) throws {
        func normal(_ frames: [String]) -> String {
            // Data may be cut anywhere.
            frames.joined(separator: "\n").replacing("\nD ", with: "")
        }
        let whole = normal(try frames([response.bytes], answering: response.method))
        let single = normal(
            try frames(
                response.bytes.utf8.map { String(decoding: [$0], as: UTF8.self) },
                answering: response.method))
        #expect(single == whole)
    }

    @Test("a body that ends with the connection ends the stream")
    func untilClose() throws {
        let frames = try frames(["HTTP/1.1 200 OK\r\n\r\nab", "cd"], end: true)
        #expect(frames == ["H :status=200", "D ab", "D cd", "D $", "end"])
    }

    @Test(
        "an end before the end is no end",
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "HTTP/1.1 200 OK\r\n", "",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
        ])
    func brokenEnds(_ bytes: String) throws {
        let frames = try frames([bytes], end: true)
        #expect(frames.last == "broken")
    }

    @Test("Latin-1 becomes the UTF-8 of the same letters")
    func latin() throws {
        var translator = HTTP2ResponseTranslator(limits: HeadLimits())
        var bytes = ByteBuffer(string: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nName: caf")
        bytes.writeInteger(UInt8(0xe9))
        bytes.writeString("\r\n\r\n")
        var frames: [String] = []
        try translator.receive(bytes, answering: .get) { frames.append(described($0)) }
        #expect(frames == ["H :status=200|content-length=0|name=café$"])
    }

    @Test("what is no response to this request is refused")
    func refusals() {
        func fault(_ bytes: String) -> HTTP2ResponseTranslator.Fault? {
            var translator = HTTP2ResponseTranslator(limits: HeadLimits())
            do throws(HTTP2ResponseTranslator.Fault) {
                try translator.receive(ByteBuffer(string: bytes), answering: .get) { _ in }
                return nil
            } catch {
                return error
            }
        }
        #expect(fault("HTTP/1.1 101 Switching Protocols\r\n\r\n") == .switchesProtocols)
        #expect(fault("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab") == .excess)
        if case .unreadable? = fault("nonsense\r\n\r\n") {} else { Issue.record("nonsense was read") }
    }
}
