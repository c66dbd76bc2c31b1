import HTTPWire
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import UnstickProxy

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// How much the generators try: `UNSTICK_FUZZ_CASES` requests in the comparison with NIOHTTP1 (default 208 000), a sixteenth
/// of it here (default 200 000 / 16), where each case costs as much more; from `UNSTICK_FUZZ_SEED` on (default 1).
/// `Tests/Fuzz/run.sh` runs millions.
enum FuzzVolume {
    static let shards: [Int] = [0, 1, 2, 3]
    private static func number(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }
    static func cases(of divisor: Int) -> Int {
        Int(clamping: number("UNSTICK_FUZZ_CASES") ?? 200_000) / divisor / shards.count
    }
    static func seed(_ shard: Int) -> UInt64 { (number("UNSTICK_FUZZ_SEED") ?? 1) &* 1_000 &+ UInt64(shard) }
}

/// Whatever is accepted, what is forwarded of it reads as the same message, to us and to another reader, and holds nothing that
/// must not be forwarded.
@Suite("Generated heads, rewritten")
struct ForwardingFuzzTests {
    static let scratchBytes = 16_384

    @Test("a forwarded request means what was received and nothing else", arguments: FuzzVolume.shards)
    func requests(shard: Int) {
        let seed = FuzzVolume.seed(shard)
        var heads = GeneratedHeads(seed: seed)
        let policies = [
            forwardingPolicy(),
            forwardingPolicy {
                $0.via = nil; $0.xForwarded = false
            },
            forwardingPolicy {
                $0.forwarded = true; $0.xRealIP = true; $0.clientSource = .forwarded
            },
        ]
        let peers = ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1"].map { NetworkAddress($0) } + [nil]
        let out = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.scratchBytes, alignment: 16)
        defer { out.deallocate() }
        var head = RequestHead()
        var again = RequestHead()
        var accepted = 0
        for number in 0..<FuzzVolume.cases(of: 16) {
            let bytes = heads.request()
            let policy = policies[heads.below(policies.count)]
            let identity = ClientIdentity(
                peer: peers[heads.below(peers.count)], localPort: UInt16(heads.below(2) * 443), under: policy)
            let usesLines = heads.chance(2)
            let split = heads.below(bytes.count + 1)
            let fault: String? = bytes.withUnsafeBytes { all in
                head.reset()
                guard (try? head.parse(all)) == true else {
                    return Self.differs(whole: all, split: split) ? "the pieces read differently" : nil
                }
                accepted += 1
                if Self.differs(whole: all, split: split) { return "the pieces read differently" }
                let resolved = identity.resolved(for: head, of: all, under: policy)
                let lines = usesLines ? RequestRewriter.clientLines(resolved, policy) : []
                let size = RequestRewriter.maxSize(head, policy: policy, bridgeLineBytes: 0, authorityBytes: 4)
                var writer = HeadWriter(base: out.baseAddress!, capacity: size)
                let forwarded = ForwardedRequest(
                    identity: resolved, policy: policy, clientLines: lines, upstreamAuthority: "u:80")
                RequestRewriter.write(head, of: all, as: forwarded, to: &writer)
                if writer.overflowed { return "the bound does not hold" }
                again.reset()
                let isRead: Bool
                do throws(HTTPWireError) {
                    isRead = try again.parse(writer.written)
                } catch {
                    // A field that Connection named may have been all that the target's rules needed.
                    return "what is forwarded is refused: \(error)"
                }
                guard isRead, again.headLength == writer.count else { return "the head ends elsewhere" }
                return Self.fault(head, all, again, writer.written, identity: resolved)
                    ?? (number % 16 == 0 ? Self.secondOpinion(again, writer.written) : nil)
            }
            guard let fault else { continue }
            Issue.record(
                "case \(number) of seed \(seed): \(fault): \(String(decoding: bytes, as: UTF8.self).debugDescription)")
            return
        }
        // The generator must not drift to where everything is refused.
        #expect(accepted > FuzzVolume.cases(of: 16) / 10)
    }

    /// Whether two pieces are read otherwise than the whole.
    static func differs(whole bytes: UnsafeRawBufferPointer, split: Int) -> Bool {
        var one = RequestHead()
        var two = RequestHead()
        let oneResult = result { () throws(HTTPWireError) in try one.parse(bytes) }
        let first = result { () throws(HTTPWireError) in
            try two.parse(UnsafeRawBufferPointer(rebasing: bytes[..<split]))
        }
        guard case .success(let early) = first else { return first != oneResult }
        // A fault in the last line may wait for that line's end, when the line came in pieces.
        let twoResult = early ? first : result { () throws(HTTPWireError) in try two.parse(bytes) }
        if case .failure = oneResult, twoResult == .success(false), bytes.last != 0x0a { return false }
        return oneResult != twoResult || one.headLength != two.headLength || one.framing != two.framing
            || one.host != two.host || one.headers.count != two.headers.count || one.keepAlive != two.keepAlive
    }

    private static func result(_ body: () throws(HTTPWireError) -> Bool) -> Result<Bool, HTTPWireError> {
        do throws(HTTPWireError) { return .success(try body()) } catch { return .failure(error) }
    }

    /// What is wrong with a forwarded head; nil when nothing is.
    static func fault(
        _ head: borrowing RequestHead, _ bytes: UnsafeRawBufferPointer, _ again: borrowing RequestHead,
        _ written: UnsafeRawBufferPointer, identity: ClientIdentity
    ) -> String? {
        func text(_ slice: ByteSlice, _ bytes: UnsafeRawBufferPointer) -> [UInt8] { Array(slice.bytes(in: bytes)) }
        if text(head.methodSlice, bytes) != text(again.methodSlice, written) { return "another method" }
        if head.framing != again.framing { return "another framing" }
        if again.versionMinor != 1 { return "another version" }
        if again.targetForm == .absolute { return "absolute form" }
        if head.targetForm == .origin, text(head.target, bytes) != text(again.target, written) {
            return "another target"
        }
        if head.targetForm == .absolute, again.targetForm == .origin {
            var path = text(head.pathAndQuery, bytes)
            if path.first != UInt8(ascii: "/") { path.insert(UInt8(ascii: "/"), at: 0) }
            if path != text(again.target, written) { return "another path" }
        }
        if !head.host.isEmpty, text(head.host, bytes) != text(again.host, written) { return "another host" }
        if head.wantsUpgrade != again.wantsUpgrade { return "another upgrade" }
        if again.headers.connection.contains(.close) || again.headers.connection.contains(.others) {
            return "options of the client's connection"
        }
        for field in [
            KnownField.keepAlive, .te, .proxyConnection, .proxyAuthorization, .proxyAuthenticate, .expect, .unstick,
            .unstickSession, .unstickState, .disguised,
        ] where again.headers.contains(field) { return "\(field) is forwarded" }
        if again.headers.isRepeated(.connection) || again.headers.isRepeated(.transferEncoding) { return "twice" }
        if again.headers.contains(.connection) != head.wantsUpgrade { return "Connection" }
        if !identity.isPeerTrusted {
            for line in again.headers where KnownFieldSet.clientClaims.contains(line.known) {
                if line.value.bytes(in: written).contains("6.6.6.6") { return "an untrusted claim" }
            }
        }
        // Every field that means nothing to the proxy is there, once, in its order.
        var expected = head.headers.filter {
            $0.known == .other && !head.headers.isNamedByConnection($0, in: bytes)
        }.map { text($0.line, bytes) }
        expected.reverse()
        for line in again.headers where line.known == .other {
            guard let wanted = expected.popLast(), wanted == text(line.line, written) else { return "another field" }
        }
        return expected.isEmpty ? nil : "a field is lost"
    }

    /// NIOHTTP1 (llhttp) sees the same request; nil when it does.
    static func secondOpinion(_ again: borrowing RequestHead, _ written: UnsafeRawBufferPointer) -> String? {
        // Its list of methods is closed, and it leaves the connection with these.
        guard again.method != .other, again.method != .connect, !again.wantsUpgrade else { return nil }
        let channel = EmbeddedChannel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        do {
            try channel.pipeline.syncOperations.addHandler(
                ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
            try channel.writeInbound(ByteBuffer(bytes: written))
            guard let part = try channel.readInbound(as: HTTPServerRequestPart.self), case .head(let head) = part else {
                return "NIOHTTP1 sees no head"
            }
            guard Array(head.uri.utf8) == Array(again.target.bytes(in: written)) else {
                return "NIOHTTP1 sees another target"
            }
            guard head.headers.count == again.headers.count else { return "NIOHTTP1 sees other fields" }
            let isEnded = try channel.readInbound(as: HTTPServerRequestPart.self).map {
                if case .end = $0 { true } else { false }
            }
            return (isEnded ?? false) == again.framing.isEmpty ? nil : "NIOHTTP1 sees another framing"
        } catch {
            return "NIOHTTP1 refuses: \(error)"
        }
    }

    @Test("a released response means what was received and nothing else", arguments: FuzzVolume.shards)
    func responses(shard: Int) {
        let seed = FuzzVolume.seed(shard)
        var heads = GeneratedHeads(seed: seed)
        let out = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.scratchBytes, alignment: 16)
        defer { out.deallocate() }
        let affinity = Array("Set-Cookie: UNSTICK=x\r\n".utf8)
        var head = ResponseHead()
        var again = ResponseHead()
        for number in 0..<FuzzVolume.cases(of: 32) {
            let bytes = heads.response()
            let method: RequestMethod = heads.chance(4) ? .head : .get
            let keepAlive = heads.chance(2)
            let fault: String? = bytes.withUnsafeBytes { all in
                head.reset()
                guard (try? head.parse(all, answering: method)) == true else { return nil }
                let size = ResponseRewriter.maxSize(head, affinityLineBytes: affinity.count)
                var writer = HeadWriter(base: out.baseAddress!, capacity: size)
                if head.isInformational {
                    ResponseRewriter.writeInterim(head, of: all, to: &writer)
                } else {
                    affinity.withUnsafeBytes {
                        ResponseRewriter.write(
                            head, of: all, clientMinorVersion: 1, keepAlive: keepAlive, affinityLine: $0, to: &writer)
                    }
                }
                if writer.overflowed { return "the bound does not hold" }
                again.reset()
                guard (try? again.parse(writer.written, answering: method)) == true else { return "it is refused" }
                if again.headLength != writer.count { return "the head ends elsewhere" }
                if again.status != head.status || again.framing != head.framing { return "another meaning" }
                if again.headers.containsUnstick { return "the bridge's word" }
                for field in [KnownField.keepAlive, .te, .proxyConnection, .proxyAuthenticate]
                where again.headers.contains(field) {
                    return "\(field) is released"
                }
                if head.status >= 200, again.framing != .untilClose, again.keepAlive != keepAlive {
                    return "persistence"
                }
                return nil
            }
            guard let fault else { continue }
            Issue.record(
                "case \(number) of seed \(seed): \(fault): \(String(decoding: bytes, as: UTF8.self).debugDescription)")
            return
        }
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func contains(_ text: StaticString) -> Bool {
        let wanted = UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard count >= wanted.count else { return false }
        return (0...(count - wanted.count)).contains { start in
            wanted.indices.allSatisfy { self[start + $0] == wanted[$0] }
        }
    }
}
