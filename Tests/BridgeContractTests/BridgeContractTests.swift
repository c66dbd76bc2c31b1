import BridgeContract
import Testing
import UnstickCore
import UnstickCrypto

@Suite("Bridge contract 1")
struct BridgeContractTests {
    let secret = BridgeSecret(fileBytes: Array(String(repeating: "k", count: 32).utf8))!

    @Test("a secret below 32 bytes is refused, line ends at its end do not count")
    func secretLength() {
        #expect(BridgeSecret(fileBytes: Array("short".utf8)) == nil)
        #expect(BridgeSecret(fileBytes: Array((String(repeating: "k", count: 31) + "\n\n").utf8)) == nil)
        let withLineEnd = BridgeSecret(fileBytes: Array((String(repeating: "k", count: 32) + "\r\n").utf8))
        #expect(withLineEnd?.sessionHash("a") == secret.sessionHash("a"))
    }

    @Test("HMAC-SHA256 agrees with RFC 4231, test case 2")
    func hmac() {
        let code = HMACSHA256(key: Array("Jefe".utf8)).authenticate("what do ya want for nothing?")
        #expect(Hex.encode(code) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    }

    @Test("a state's tag is the first 8 digits of its SHA-256")
    func tag() {
        let state = Array("foo".utf8)
        #expect(state.withUnsafeBytes { SHA256Digest.prefix32(of: $0) } == 0x2c26_b46b)
    }

    @Test(
        "the request header has the contract's form",
        arguments: [
            (BridgeExpectation.none, "v=1; auth=5.x; phase=externalized; gen=7"),
            (
                .want(VersionTag(version: 12, tag: 0x9f86_d081)),
                "v=1; auth=5.x; phase=externalized; gen=7; want=12-9f86d081"
            ),
            (.absent, "v=1; auth=5.x; phase=externalized; gen=7; absent"),
            (
                .put(VersionTag(version: 12, tag: 1), codec: "json", ttlSeconds: 1800, signature: "S"),
                "v=1; auth=5.x; phase=externalized; gen=7; put=12-00000001; codec=json; ttl=1800; sig=S"
            ),
        ])
    func requestHeader(expectation: BridgeExpectation, text: String) {
        let value = BridgeRequest.value(
            authentication: "5.x", phase: .externalized, generation: Generation(7), expectation: expectation)
        #expect(value == text)
    }

    @Test(
        "every operation of a bridge is read",
        arguments: [
            (
                "op=put; id=abc; ver=13; tag=2c26b46b; base=12-9f86d081; ttl=1800; codec=json; inst=i1",
                BridgeAnswer.put(
                    BridgeChange(
                        id: "abc", version: VersionTag(version: 13, tag: 0x2c26_b46b),
                        base: VersionTag(version: 12, tag: 0x9f86_d081), ttlSeconds: 1800, codec: "json"))
            ),
            (
                "op=touch; id=a=b; ver=13; tag=00000000; ttl=1800; inst=i1",
                .touch(id: "a=b", version: VersionTag(version: 13, tag: 0), ttlSeconds: 1800)
            ),
            ("op=destroy; id=abc; ver=14; ttl=1800; inst=i1", .destroy(id: "abc", version: 14, ttlSeconds: 1800)),
            (
                "op=rotate; id=new; old=old; ver=1; tag=00000001; ttl=5; codec=json; inst=i1",
                .rotate(
                    BridgeChange(
                        id: "new", version: VersionTag(version: 1, tag: 1), base: nil, ttlSeconds: 5, codec: "json"),
                    old: "old")
            ),
            ("op=none; inst=i1", .none),
            ("op=late; id=abc; inst=i1", .late(id: "abc")),
            ("op=missing;id=abc;inst=i1", .missing(id: "abc")),
            (
                "op=stale; id=abc; have=11-00000001; inst=i1; future=1",
                .stale(id: "abc", have: VersionTag(version: 11, tag: 1))
            ),
        ])
    func answers(text: String, answer: BridgeAnswer) throws {
        let response = try BridgeResponse(parsing: text)
        #expect(response.answer == answer)
        #expect(response.incarnation == "i1")
    }

    @Test(
        "a header that cannot be used says which attribute is wrong, and no value",
        arguments: [
            ("op=put; id=abc; ver=13; tag=2c26b46b; ttl=1800; inst=i", "'codec'"),
            ("op=put; id=abc; ver=-1; tag=2c26b46b; ttl=1800; codec=j; inst=i", "'ver'"),
            ("op=put; id=abc; ver=99999999999999999999; tag=2c26b46b; ttl=1; codec=j; inst=i", "'ver'"),
            ("op=put; id=abc; ver=1; tag=2c26b46; ttl=1; codec=j; inst=i", "'tag'"),
            ("op=put; id=abc; ver=1; tag=2c26b46b; ttl=99999999999; codec=j; inst=i", "'ttl'"),
            ("op=none", "'inst'"),
            ("op=none; op=none; inst=i", "'op' appears twice"),
            ("op=explode; inst=i", "'explode'"),
            ("", "'op'"),
            ("op=none; inst=i; bad=x", "'bad'"),
        ])
    func malformed(text: String, part: String) {
        let error = #expect(throws: BridgeFormatError.self) { try BridgeResponse(parsing: text) }
        #expect(error?.message.contains(part) == true)
        #expect(error?.message.contains("abc") == false)
    }

    @Test("base64url survives a round trip at every length, and refuses what is not its alphabet")
    func base64url() {
        for length in 0..<100 {
            let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 73 &+ length) }
            #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
        }
        #expect(Base64URL.decode("Zm8=") == Array("fo".utf8))
        #expect(Base64URL.decode("Zm9") == nil || Base64URL.decode("Zm9") == Array("fo".utf8) + [])
        for bad in ["Z", "Zm+v", "Zm/v", "Zm 8", "Z===", "Zn"] where bad != "Zn" {
            #expect(Base64URL.decode(bad) == nil)
        }
    }

    @Test("ids in endpoint paths are percent-encoded")
    func pathEncoding() {
        #expect(percentEncoded("s:a/b?c%20~._-") == "s%3Aa%2Fb%3Fc%2520~._-")
    }

    @Test("affinity signatures and session hashes depend on the secret and differ from each other")
    func separation() {
        let other = BridgeSecret(fileBytes: Array(String(repeating: "x", count: 32).utf8))!
        #expect(secret.affinitySignature(instance: "web-1") != other.affinitySignature(instance: "web-1"))
        #expect(secret.sessionHash("web-1") != other.sessionHash("web-1"))
        #expect(secret.sessionHash("web-1").count == 12)
    }
}
