import HTTPWire
import Testing
import UnstickCore

@testable import UnstickProxy

/// Bytes for functions that read from memory.
func withBytes<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    try Array(text.utf8).withUnsafeBytes { try body($0) }
}

@Suite("Trace context")
struct TraceContextTests {
    static let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    @Test("a traceparent is read as the standard's example says")
    func example() throws {
        let parent = try #require(withBytes(Self.valid) { TraceContext.Parent($0) })
        #expect(parent.trace.description == "0af7651916cd43dd8448eb211c80319c")
        #expect(parent.span.description == "b7ad6b7169203331")
        #expect(parent.isSampled)
    }

    @Test(
        "only the lowest flag means sampled, and unknown flags are let through",
        arguments: [("00", false), ("01", true), ("02", false), ("ff", true), ("fe", false)])
    func flags(_ flags: String, _ isSampled: Bool) throws {
        let parent = try #require(withBytes(Self.valid.dropLast(2) + flags) { TraceContext.Parent($0) })
        #expect(parent.isSampled == isSampled)
    }

    @Test("a later version is read by its known part, with or without more behind a hyphen")
    func laterVersion() {
        for text in ["cc" + Self.valid.dropFirst(2), "cc" + Self.valid.dropFirst(2) + "-what-the-future-will-be-like"] {
            #expect(withBytes(text) { TraceContext.Parent($0) } != nil, "\(text)")
        }
    }

    @Test(
        "what the standard forbids is no traceparent",
        arguments: [
            "", "00", String(valid.dropLast()), valid + "-", valid + "-extra", valid + " ",
            "ff" + valid.dropFirst(2), "cc" + valid.dropFirst(2) + ".", "0G" + valid.dropFirst(2),
            valid.uppercased(), valid.replacing("-", with: "_"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01",
        ])
    func refused(_ text: String) {
        #expect(withBytes(text) { TraceContext.Parent($0) } == nil)
    }

    @Test("a trace that goes on keeps its id and decision, and gets spans of its own")
    func goesOn() throws {
        var random = ObservationRandom(seed: 1, 2)
        let parent = try #require(withBytes(Self.valid) { TraceContext.Parent($0) })
        let context = TraceContext(parent: parent, sampled: false, random: &random)
        #expect(context.trace == parent.trace && context.parent == parent.span)
        #expect(context.isSampled && context.keepsState)
        #expect(Set([context.server, context.upstream, parent.span]).count == 3)
    }

    @Test("a trace that begins here takes the sample's decision and keeps no state", arguments: [true, false])
    func begins(_ isSampled: Bool) {
        var random = ObservationRandom(seed: 1, 2)
        let context = TraceContext(parent: nil, sampled: isSampled, random: &random)
        #expect(context.parent == nil && !context.keepsState && context.isSampled == isSampled)
    }

    @Test("what is written to the instance is read back as its parent", arguments: [true, false])
    func written(_ isSampled: Bool) throws {
        var random = ObservationRandom(seed: 3, 4)
        let context = TraceContext(parent: nil, sampled: isSampled, random: &random)
        let line = [UInt8](unsafeUninitializedCapacity: TraceContext.lineBytes) { buffer, count in
            context.writeLine(to: UnsafeMutableRawPointer(buffer.baseAddress!))
            count = TraceContext.lineBytes
        }
        let text = String(decoding: line, as: UTF8.self)
        #expect(text.hasPrefix("traceparent: 00-") && text.hasSuffix("\r\n"))
        let parent = try #require(withBytes(String(text.dropFirst(13).dropLast(1))) { TraceContext.Parent($0) })
        #expect(parent == .init(trace: context.trace, span: context.upstream, isSampled: isSampled))
    }

    @Test(
        "a tracestate is passed on when it is one",
        arguments: [
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true), ("", true), ("a=1, ,b=2", true), ("a=1\t,\tb=2", true),
            ("fw529a3039@dt=FfAAAADt", true), ("0tenant@sys=v", true), ("a=b c", true),
            ("a", false), ("=b", false), ("a=", false), ("A=b", false), ("0a=b", false), ("a@0b=c", false),
            ("a=b=c", false), ("a=\u{7f}", false), ("a@=c", false), ("a@b@c=d", false),
            (Array(repeating: "a=1", count: 32).joined(separator: ","), true),
            (Array(repeating: "a=1", count: 33).joined(separator: ","), false),
            ("a=" + String(repeating: "x", count: 256), true), ("a=" + String(repeating: "x", count: 257), false),
            (String(repeating: "k", count: 257) + "=1", false),
        ])
    func state(_ text: String, _ isValid: Bool) {
        #expect(withBytes(text) { TraceContext.isValidState($0) } == isValid)
    }

    @Test("a share of 0 takes nothing, of 1 everything, of a quarter about a quarter")
    func shares() {
        var random = ObservationRandom(seed: 5, 6)
        func count(_ share: Double) -> Int {
            let sample = SampleShare(share)
            return (0..<10_000).count { _ in sample.includes(&random) }
        }
        #expect(count(0) == 0)
        #expect(count(1) == 10_000)
        #expect((2300...2700).contains(count(0.25)))
        #expect(count(-1) == 0 && count(2) == 10_000)
    }

    @Test("two loops do not make the same ids")
    func distinct() {
        var ids: Set<UInt64> = []
        for loop in 0..<8 {
            var random = ObservationRandom(seed: UInt64(loop), UInt64(loop) << 32)
            for _ in 0..<2000 { ids.insert(random.next()) }
        }
        #expect(ids.count == 16_000)
    }
}

@Suite("Request ids")
struct RequestIDTests {
    @Test(
        "ids of common makers are passed on, what a log could mistake is not",
        arguments: [
            ("7b445328-9c3a-4a2e-b1a5-6c2f1f0a9d11", true), ("Root=1-67891233-abcdef012345678912345678", true),
            ("0af7651916cd43dd8448eb211c80319c", true), ("abc+/==", true), (String(repeating: "a", count: 128), true),
            ("", false), (String(repeating: "a", count: 129), false), ("a b", false), ("a\"b", false), ("a\\b", false),
            ("a\tb", false), ("é", false), ("a;b", false), ("<a>", false), ("a\u{0}", false),
        ])
    func acceptable(_ text: String, _ isAcceptable: Bool) {
        #expect(withBytes(text) { RequestID.isAcceptable($0) } == isAcceptable)
    }

    @Test("a made id is 32 digits, one that was passed is what stood there")
    func text() {
        withBytes("X-Request-ID: abc") { head in
            #expect(RequestID.made(1, 0xab).text(head: head) == "000000000000000100000000000000ab")
            #expect(RequestID.passed(.init(start: 14, end: 17)).text(head: head) == "abc")
            #expect(RequestID.none.text(head: head) == nil)
        }
    }
}
