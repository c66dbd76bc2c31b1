import HTTPWire
import UnstickCore

/// What a request says of its session and its home. Slices are offsets into the request's head.
struct RequestMarks {
    /// The session's id as the application reads it; nil when the client presents none.
    var session: ByteSlice?
    /// Index of the instance that the client is pinned to; nil: none, or not one of the table's.
    var home: Int?
    /// Whether the proxy's own cookie came along, valid or not.
    var hasOwnCookie = false
    /// `home` was named by another balancer's mark: the client gets our own cookie.
    var isAdopted = false
    /// Bytes of the head that the instance must not see: the prefix of HAProxy's `cookie … prefix`.
    var hidden: ByteSlice?
}

/// Finds ``RequestMarks``: the configured names in the form that scanning wants. Reading allocates nothing.
struct MarkReader {
    private let sessionCookie: CookieName?
    private let sessionParameter: CookieName?
    private let sessionHeader: FieldName?
    private let ownCookie: CookieName?
    private let ownParameter: CookieName?
    private let usesAddress: Bool
    /// Whether any adopted affinity stands in a cookie, in a parameter.
    private let adoptsCookies: Bool
    private let adoptsParameters: Bool

    init(session: ProxyOptions.Session, affinity: ProxyOptions.Affinity) {
        sessionCookie = session.cookie.flatMap { CookieName($0) }
        sessionParameter = session.urlParameter.flatMap { CookieName($0) }
        sessionHeader = session.header.flatMap { FieldName($0) }
        ownCookie = affinity.method == .cookie ? CookieName(affinity.cookie) : nil
        ownParameter = affinity.method == .urlParameter ? affinity.parameter.flatMap { CookieName($0) } : nil
        usesAddress = affinity.method == .ipHash
        adoptsCookies = affinity.adopt.contains { $0.cookie != nil }
        adoptsParameters = affinity.adopt.contains { $0.parameter != nil }
    }

    /// - Parameters:
    ///   - bytes: the head, from its first byte.
    ///   - addressHash: ``AddressAffinity/hash(_:)`` of the client; asked for only where the method needs it.
    func read(
        _ head: borrowing RequestHead, in bytes: UnsafeRawBufferPointer, table: LoopTable,
        addressHash: @autoclosure () -> UInt64
    ) -> RequestMarks {
        var marks = RequestMarks()
        var adopted = Adoption()
        if head.headers.contains(.cookie) {
            readCookies(head, bytes, table, &marks, &adopted)
        }
        if marks.session == nil, let name = sessionParameter {
            marks.session = RequestTarget.parameter(name, in: head.target, of: bytes)
        }
        if marks.session == nil, let name = sessionHeader,
            let field = head.headers.first(named: name, in: bytes), !field.value.isEmpty
        {
            marks.session = field.value
        }
        if let name = ownParameter, let value = RequestTarget.parameter(name, in: head.target, of: bytes) {
            marks.home = table.affinity.own.instance(value.bytes(in: bytes))
        }
        if marks.home == nil {
            if adoptsParameters { readParameters(head, bytes, table, &adopted) }
            marks.home = adopted.instance
            marks.isAdopted = adopted.instance != nil
        }
        if marks.home == nil, usesAddress { marks.home = table.routes.home(ofAddress: addressHash()) }
        return marks
    }

    /// The best adopted mark so far: the rule that is configured first wins.
    private struct Adoption {
        var rule = Int.max
        var instance: Int?
    }

    /// One walk over all cookies, whatever is looked for.
    private func readCookies(
        _ head: borrowing RequestHead, _ bytes: UnsafeRawBufferPointer, _ table: LoopTable,
        _ marks: inout RequestMarks, _ adopted: inout Adoption
    ) {
        for index in 0..<head.headers.count {
            let field = head.headers[index]
            guard field.known == .cookie else { continue }
            var position = field.value.start
            while let pair = CookieScanner.nextPair(in: field.value, of: bytes, position: &position) {
                if !marks.hasOwnCookie, let name = ownCookie, CookieScanner.matches(pair, name, in: bytes) {
                    marks.hasOwnCookie = true
                    marks.home = table.affinity.own.instance(pair.value.bytes(in: bytes))
                }
                var hiddenEnd: Int?
                if adoptsCookies { hiddenEnd = adopt(pair, bytes, table, &adopted) }
                if let hiddenEnd, marks.hidden == nil {
                    marks.hidden = ByteSlice(start: pair.value.start, end: hiddenEnd)
                }
                if marks.session == nil, let name = sessionCookie, CookieScanner.matches(pair, name, in: bytes) {
                    let value = hiddenEnd.map { ByteSlice(start: $0, end: pair.value.end) } ?? pair.value
                    if !value.isEmpty { marks.session = value }
                }
            }
        }
    }

    /// - Returns: the end of what the application must not see of the value.
    private func adopt(
        _ pair: CookieScanner.Pair, _ bytes: UnsafeRawBufferPointer, _ table: LoopTable, _ adopted: inout Adoption
    ) -> Int? {
        var hiddenEnd: Int?
        for index in 0..<table.affinity.adopted.count {
            let rule = table.affinity.adopted[index]
            guard let name = rule.cookie, CookieScanner.matches(pair, name, in: bytes) else { continue }
            let value = pair.value.bytes(in: bytes)
            if let length = rule.prefixLength(value) { hiddenEnd = pair.value.start + length }
            if index < adopted.rule, let instance = rule.instance(value) {
                adopted = Adoption(rule: index, instance: instance)
            }
        }
        return hiddenEnd
    }

    private func readParameters(
        _ head: borrowing RequestHead, _ bytes: UnsafeRawBufferPointer, _ table: LoopTable, _ adopted: inout Adoption
    ) {
        for index in 0..<min(adopted.rule, table.affinity.adopted.count) {
            let rule = table.affinity.adopted[index]
            guard let name = rule.parameter,
                let value = RequestTarget.parameter(name, in: head.target, of: bytes),
                let instance = rule.instance(value.bytes(in: bytes))
            else { continue }
            adopted = Adoption(rule: index, instance: instance)
            return
        }
    }
}
