/// A set of `KnownField`s as one word, so that a whole head can be asked at once.
public struct KnownFieldSet: Hashable, Sendable {
    public var bits: UInt64

    @inlinable
    @inline(__always)
    public init(bits: UInt64 = 0) { self.bits = bits }

    @inlinable
    @inline(__always)
    public func contains(_ field: KnownField) -> Bool { bits >> UInt64(field.rawValue) & 1 != 0 }

    @inlinable
    @inline(__always)
    public mutating func insert(_ field: KnownField) { bits |= field.bit }

    @inlinable
    @inline(__always)
    public mutating func remove(_ field: KnownField) { bits &= ~field.bit }

    @inlinable
    @inline(__always)
    public static func | (one: KnownFieldSet, other: KnownFieldSet) -> KnownFieldSet {
        KnownFieldSet(bits: one.bits | other.bits)
    }

    /// Fields that belong to one connection, see ``KnownField/isHopByHop``.
    @inlinable public static var hopByHop: KnownFieldSet {
        KnownFieldSet(
            bits: KnownField.connection.bit | KnownField.transferEncoding.bit | KnownField.upgrade.bit
                | KnownField.keepAlive.bit | KnownField.te.bit | KnownField.proxyConnection.bit
                | KnownField.proxyAuthenticate.bit | KnownField.proxyAuthorization.bit)
    }

    /// Ours, in whatever spelling, see ``KnownField/isUnstick``.
    @inlinable public static var unstick: KnownFieldSet {
        KnownFieldSet(bits: KnownField.unstick.bit | KnownField.unstickSession.bit | KnownField.unstickState.bit)
    }

    /// What proxies say about the client: not to be believed from everybody.
    @inlinable public static var clientClaims: KnownFieldSet {
        KnownFieldSet(
            bits: KnownField.forwarded.bit | KnownField.xForwardedFor.bit | KnownField.xForwardedProto.bit
                | KnownField.xForwardedHost.bit | KnownField.xForwardedPort.bit | KnownField.xRealIP.bit)
    }
}

extension KnownField {
    @inlinable
    @inline(__always)
    public var bit: UInt64 { 1 << UInt64(rawValue) }
}

extension HeaderBlock {
    /// Whether any field of the set occurs.
    @inlinable
    @inline(__always)
    public func containsAny(of fields: KnownFieldSet) -> Bool { present & fields.bits != 0 }

    /// Appends the field lines as they were sent, without those of `dropped` and without those that a `Connection` field
    /// names (RFC 9110 §7.6.1). Lines that stay together are copied together; when nothing is to be dropped that is one
    /// copy.
    ///
    /// - Parameter bytes: what the block was parsed from.
    @inline(__always)
    public func appendLines(
        without dropped: KnownFieldSet,
        of bytes: UnsafeRawBufferPointer,
        to out: inout HeadWriter
    ) {
        guard fieldCount > 0, let base = bytes.baseAddress else { return }
        withFields { fields in
            let namesOthers = connection.contains(.others)
            if present & dropped.bits == 0, !namesOthers {
                let start = fields[0].line.start
                return out.append(base + start, count: fields[fields.count &- 1].line.end &- start)
            }
            var runStart = fields[0].line.start
            for field in fields {
                guard dropped.contains(field.known) || (namesOthers && isNamedByConnection(field, in: bytes)) else {
                    continue
                }
                let line = field.line
                if line.start > runStart { out.append(base + runStart, count: line.start &- runStart) }
                runStart = line.end
            }
            let end = fields[fields.count &- 1].line.end
            if end > runStart { out.append(base + runStart, count: end &- runStart) }
        }
    }

    /// Appends the values of every line with that field as one list (RFC 9110 §5.3); whether there was any that is not
    /// empty.
    public func appendList(
        of field: KnownField,
        of bytes: UnsafeRawBufferPointer,
        to out: inout HeadWriter
    ) -> Bool {
        guard contains(field) else { return false }
        var isFirst = true
        for line in self where line.known == field && !line.value.isEmpty {
            if !isFirst { out.append(", ") }
            out.append(line.value, of: bytes)
            isFirst = false
        }
        return !isFirst
    }
}

/// The grammar of a field line (RFC 9110 §5.1, §5.5), for fields that did not come through a head parser: from HTTP/2, or from
/// configuration.
public enum FieldGrammar {
    /// A token, not empty.
    public static func isName(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return false }
        return ByteScan.fieldNameEnd(base, from: 0, end: bytes.count).end == bytes.count
    }

    /// No control but HTAB: above all no CR, LF or NUL, which would end the line elsewhere (RFC 9113 §8.2.1).
    public static func isValue(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        var offset = 0
        while true {
            offset = ByteScan.firstControl(base, from: offset, end: bytes.count)
            if offset == bytes.count { return true }
            guard ByteScan.byte(base, offset) == 0x09 else { return false }
            offset &+= 1
        }
    }

    /// `uri-host [ ":" port ]` (RFC 9110 §7.2); empty is allowed.
    public static func isAuthority(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        return Authority.fault(base, ByteSlice(start: 0, end: bytes.count), needsPort: false) == nil
    }
}
