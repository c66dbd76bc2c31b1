import HTTPWire
import Testing

@Suite("Known fields")
struct KnownFieldTests {
    static let namesTable: [(String, KnownField)] = [
        ("Host", .host), ("Connection", .connection), ("Content-Length", .contentLength),
        ("Transfer-Encoding", .transferEncoding),
        ("Expect", .expect), ("Upgrade", .upgrade), ("Keep-Alive", .keepAlive), ("TE", .te), ("Trailer", .trailer),
        ("Proxy-Connection", .proxyConnection), ("Proxy-Authenticate", .proxyAuthenticate),
        ("Proxy-Authorization", .proxyAuthorization),
        ("Cookie", .cookie), ("Set-Cookie", .setCookie), ("Authorization", .authorization), ("Forwarded", .forwarded),
        ("X-Forwarded-For", .xForwardedFor), ("X-Forwarded-Proto", .xForwardedProto),
        ("X-Forwarded-Host", .xForwardedHost),
        ("X-Forwarded-Port", .xForwardedPort), ("X-Real-IP", .xRealIP), ("Via", .via), ("Date", .date),
        ("Server", .server),
        ("Content-Type", .contentType), ("Cache-Control", .cacheControl), ("Max-Forwards", .maxForwards),
        ("Unstick-Session", .unstickSession), ("Unstick-State", .unstickState),
    ]

    /// The field that a trailer line of that name is taken for: the shortest way to the lookup.
    func identify(_ name: String) -> KnownField? {
        var decoder = ChunkedDecoder()
        return octets("0\r\n\(name):\r\n\r\n").withUnsafeBytes { bytes in
            (try? decoder.decode(bytes)).flatMap { _ in decoder.trailers.first?.known }
        }
    }

    @Test("every name is recognised in any case and no near miss is", arguments: namesTable)
    func name(name: String, field: KnownField) {
        #expect(identify(name) == field)
        #expect(identify(name.lowercased()) == field)
        #expect(identify(name.uppercased()) == field)
        let bytes = Array(name.utf8)
        for index in bytes.indices {
            for replacement in [UInt8(ascii: "~"), UInt8(ascii: "0"), UInt8(ascii: "j"), bytes[index] ^ 1] {
                var near = bytes
                near[index] = replacement
                let found = identify(latin1(near))
                let isOurs = latin1(near).lowercased().hasPrefix("unstick")
                #expect(near == bytes || found != field || isOurs && found == .unstick, "\(latin1(near))")
            }
            var shorter = bytes
            shorter.remove(at: index)
            #expect(shorter.isEmpty || identify(latin1(shorter)) != field, "\(latin1(shorter))")
            var longer = bytes
            longer.insert(UInt8(ascii: "-"), at: index)
            #expect(identify(latin1(longer)) != field, "\(latin1(longer))")
        }
        if name.contains("-"), !field.isUnstick {
            #expect(identify(String(name.map { $0 == "-" ? "_" : $0 })) == .disguised)
        }
    }

    @Test("every field but the collective ones has a name in the table")
    func complete() {
        let covered = Set(Self.namesTable.map(\.1)).union([.other, .unstick, .disguised])
        #expect(covered == Set(KnownField.allCases))
        // One bit each in a word.
        #expect(KnownField.allCases.count <= 64)
    }

    @Test(
        "Unstick names are caught in every spelling",
        arguments: [
            "Unstick-Auth", "unstick_session", "UNSTICK_STATE", "Unstick-Sessio", "Unstick_Session-X", "unstick-",
            "unstick.session", "Unstick~State",
            "unstick-a-name-that-is-longer-than-any-known-one", "UNSTICK_A_NAME_THAT_IS_LONGER_THAN_ANY_KNOWN_ONE",
        ]
    )
    func unstick(name: String) { #expect(identify(name) == .unstick) }

    @Test(
        "similar names are left alone",
        arguments: [
            "unstick", "unsticky-x", "unstick9", "x-unstick-session", "unstic-k", "X-A-Name-That-Is-Longer-Than-Any",
        ])
    func notUnstick(name: String) { #expect(identify(name) == .other) }

    @Test("the hop-by-hop fields are those of RFC 9110 and its forerunners")
    func hopByHop() {
        #expect(
            Set(KnownField.allCases.filter(\.isHopByHop)) == [
                .connection, .transferEncoding, .upgrade, .keepAlive, .te, .proxyConnection,
                .proxyAuthenticate,
                .proxyAuthorization,
            ]
        )
    }
}
