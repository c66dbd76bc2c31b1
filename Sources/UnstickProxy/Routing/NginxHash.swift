import UnstickCore

/// Where nginx's `hash KEY` and `hash KEY consistent` send a key, while every server is up. Every server has weight 1.
struct NginxHash: ~Copyable {
    private struct Point {
        var hash: UInt32
        var instance: Int32
    }

    /// Sorted by hash; of `hash` without `consistent` one for each server, in the order of the configuration.
    private let points: UnsafeMutablePointer<Point>
    private let count: Int
    private let isConsistent: Bool

    /// - Parameters:
    ///   - servers: as in nginx's `server` directives, in their order, with the index of the instance each is; -1 for
    ///     one that is none of ours, whose keys then name nobody.
    init(servers: [(name: String, instance: Int)], isConsistent: Bool) {
        self.isConsistent = isConsistent
        let points = isConsistent ? Self.ring(servers) : servers.map { Point(hash: 0, instance: Int32($0.instance)) }
        count = points.count
        self.points = .allocate(capacity: max(1, count))
        self.points.initialize(from: points, count: count)
    }

    deinit { points.deallocate() }

    func instance(_ key: UnsafeRawBufferPointer) -> Int? {
        guard count > 0, key.count > 0 else { return nil }
        let hash = CRC32.hash(key)
        let chosen: Int
        if isConsistent {
            // The first point at or behind the key, around the ring.
            var low = 0
            var high = count
            while low < high {
                let middle = (low + high) / 2
                if points[middle].hash < hash { low = middle + 1 } else { high = middle }
            }
            chosen = low == count ? 0 : low
        } else {
            chosen = Int(hash >> 16 & 0x7fff) % count
        }
        let instance = Int(points[chosen].instance)
        return instance < 0 ? nil : instance
    }

    /// `ngx_http_upstream_update_chash`: 160 points for each server, each the CRC of host, zero, port and the point
    /// before. Of points with one hash the first in the sorted order stays.
    private static func ring(_ servers: [(name: String, instance: Int)]) -> [Point] {
        var points: [Point] = []
        for server in servers {
            let colon = server.name.lastIndex(of: ":") ?? server.name.endIndex
            let host = Array(server.name[..<colon].utf8)
            let port = colon == server.name.endIndex ? [] : Array(server.name[colon...].dropFirst().utf8)
            let base = CRC32.update(CRC32.update(CRC32.update(CRC32.start, host), [0]), port)
            var previous: UInt32 = 0
            for _ in 0..<160 {
                let bytes = (0..<4).map { UInt8(truncatingIfNeeded: previous >> UInt32(8 * $0)) }
                previous = CRC32.end(CRC32.update(base, bytes))
                points.append(Point(hash: previous, instance: Int32(server.instance)))
            }
        }
        points.sort { $0.hash < $1.hash }
        var unique: [Point] = []
        for point in points where unique.last?.hash != point.hash { unique.append(point) }
        return unique
    }
}

/// CRC-32 (ISO-HDLC, as in RFC 1952 section 8).
enum CRC32 {
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ value >> 1 : value >> 1 }
    }

    static let start: UInt32 = 0xffff_ffff

    static func update(_ state: UInt32, _ bytes: some Sequence<UInt8>) -> UInt32 {
        bytes.reduce(state) { table[Int(($0 ^ UInt32($1)) & 0xff)] ^ $0 >> 8 }
    }

    static func end(_ state: UInt32) -> UInt32 { state ^ 0xffff_ffff }

    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt32 { end(update(start, bytes)) }
}
