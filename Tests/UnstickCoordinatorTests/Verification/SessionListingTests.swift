import Testing
import UnstickCore

@testable import UnstickCoordinator

@Suite("Reading a listing")
struct SessionListingTests {
    private func parse(_ text: String) throws -> SessionListing {
        try Array(text.utf8).withUnsafeBytes { bytes in try SessionListing(parsing: bytes) }
    }

    private static let good = #"{"id":"a","ver":12,"tag":"9f86d081","ttl":1800,"size":5,"accessed":1700000000}"#

    @Test("lines are sessions, and the last may be a cursor", arguments: ["", "\n"])
    func page(end: String) throws {
        let page = try parse(Self.good + "\r\n" + #" { "cursor" : "bmV4dA" } "# + end)
        #expect(page.cursor == "bmV4dA")
        #expect(
            page.sessions == [
                ListedSession(
                    id: "a", version: VersionTag("12-9f86d081")!, ttlSeconds: 1800, size: 5, accessed: 1_700_000_000)
            ])
        #expect(try parse("") == SessionListing())
    }

    @Test("members that the contract does not name are passed over; null is as absent for optional ones")
    func lenient() throws {
        let line =
            #"{"new":{"x":[1,-2.5e3,true,{"y":null}]},"id":"\"\\\u00e4\ud83d\ude00","ver":1,"tag":"9F86D081","#
            + #""ttl":0,"size":0,"accessed":null,"bad":2,"attributes":["cart","socket"]}"#
        let session = try #require(try parse(line).sessions.first)
        #expect(session.id == "\"\\ä😀" && session.accessed == nil)
        #expect(session.unserializable == 2 && session.attributes == ["cart", "socket"])
    }

    @Test(
        "anything else is refused with line and member, and never shows the id",
        arguments: [
            (#"{"id":"secret","ver":12,"tag":"9f86d081","ttl":1800}"#, "'size' is missing"),
            (#"{"ver":12,"tag":"9f86d081","ttl":1800,"size":1}"#, "'id' is missing"),
            (#"{"id":7,"ver":12,"tag":"9f86d081","ttl":1800,"size":1}"#, "'id' is not a text"),
            (#"{"id":"","ver":12,"tag":"9f86d081","ttl":1800,"size":1}"#, "'id' has 0 bytes"),
            (#"{"id":"secret\u0001","ver":1,"tag":"9f86d081","ttl":1,"size":1}"#, "'id' has a control character"),
            (#"{"id":"secret","ver":"12","tag":"9f86d081","ttl":1,"size":1}"#, "'ver' is not a whole number"),
            (#"{"id":"secret","ver":1.5,"tag":"9f86d081","ttl":1,"size":1}"#, "'ver' is not a whole number"),
            (#"{"id":"secret","ver":-1,"tag":"9f86d081","ttl":1,"size":1}"#, "'ver' is -1"),
            (
                #"{"id":"secret","ver":4611686018427387904,"tag":"9f86d081","ttl":1,"size":1}"#,
                "'ver' is 4611686018427387904"
            ),
            (
                #"{"id":"secret","ver":99999999999999999999,"tag":"9f86d081","ttl":1,"size":1}"#,
                "'ver' is not a whole number"
            ),
            (#"{"id":"secret","ver":1,"tag":"9f86d08","ttl":1,"size":1}"#, "'tag' is not 8 hexadecimal digits"),
            (#"{"id":"secret","ver":1,"tag":"9f86d081","ttl":-1,"size":1}"#, "'ttl' is -1"),
            (#"{"id":"secret","ver":1,"tag":"9f86d081","ttl":1,"size":1,"size":2}"#, "a member appears twice"),
            (#"{"id":"secret","ver":01,"tag":"9f86d081","ttl":1,"size":1}"#, "a number with a leading zero"),
            (#"{"id":"secret","ver":1,"tag":"9f86d081","ttl":1,"size":1"#, "a comma or the object's end"),
            (#"{"id":"secret","ver":1,"tag":"9f86d081","ttl":1,"size":1} x"#, "something follows the object"),
            (#"{"id":"secret"#, "a text does not end"),
            (#"{"id":"\ud83d"}"#, "half a surrogate pair"),
            (#"{"id":"\ud83d\u0041"}"#, "half a surrogate pair"),
            (#"{"id":"\x"}"#, "an unknown escape"),
            (#"{"id":tru}"#, "begins no value"),
            ("", "an object"),
            ("[]", "an object"),
            (#"{"cursor":"x","id":"secret"}"#, "'cursor' stands with other members"),
            (#"{"cursor":null}"#, "'cursor' is not a text"),
            ("{\"cursor\":\"x\"}\n" + good, "it comes after the cursor"),
            ("{\"x\":" + String(repeating: "[", count: 40), "nested deeper than 16"),
        ])
    func refused(lines: String, message: String) {
        // The first line is good, so the refused one is line 2 (3 after a cursor).
        let error = #expect(throws: ListingFormatError.self) { try parse(Self.good + "\n" + lines + "\n") }
        #expect(error?.message.contains(message) == true, "\(String(describing: error))")
        #expect(error.map { $0.line >= 2 && !"\($0)".contains("secret") } == true)
    }

    @Test("bytes that are not UTF-8 are refused")
    func encoding() {
        var bytes = Array(Self.good.utf8)
        bytes[7] = 0xff
        #expect(throws: ListingFormatError(line: 1, message: "a text is not UTF-8")) {
            try bytes.withUnsafeBytes { bytes in try SessionListing(parsing: bytes) }
        }
    }

    @Test("no cut of a good page is taken for a page")
    func truncated() {
        for count in 1..<Self.good.utf8.count {
            #expect(throws: ListingFormatError.self) { try parse(String(Self.good.prefix(count))) }
        }
    }
}
