import HTTPWire
import Testing

@Suite("Parameters of a request target")
struct ParameterTests {
    @Test(
        "the path's parameter goes before the query's, the first of a kind wins, names fit as a whole",
        arguments: [
            ("/a;id=1?id=2", "1"), ("/a?id=2&id=3", "2"), ("/a?b=1&id=2", "2"), ("/a?xid=1&id=2", "2"),
            ("/a?idx=1&id=2", "2"), ("/a?id=", nil), ("/a?id", nil), ("/a?id&id=2", "2"), ("/a?", nil), ("/a", nil),
            ("/id=1", nil), ("/a?ID=1", nil), ("/a?b=id=1", nil), ("/a?id=1=2", "1=2"), ("/a?&&id=2&", "2"),
            ("/a?c=?id=3", nil), ("/a;id=?id=2", "2"),
        ] as [(String, String?)])
    func parameter(target: String, value: String?) throws {
        let name = try #require(CookieName("id"))
        let found = Array(target.utf8).withUnsafeBytes { bytes in
            RequestTarget.parameter(name, in: ByteSlice(start: 0, end: bytes.count), of: bytes)?.text(in: bytes)
        }
        #expect(found == value)
    }
}
