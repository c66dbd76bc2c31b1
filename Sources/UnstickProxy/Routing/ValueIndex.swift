import Glibc
import UnstickCore

/// From the values that name instances to the instances: one hash table over one piece of memory. Finding a value costs
/// the same with three instances and with a thousand, and allocates nothing.
struct ValueIndex: ~Copyable {
    private struct Slot {
        var hash: UInt32 = 0
        var length: UInt32 = 0
        var offset = 0
        /// -1: the slot is free.
        var instance = -1
    }

    private let slots: UnsafeMutablePointer<Slot>
    private let mask: Int
    private let blob: UnsafeMutableRawPointer
    /// Number of distinct values.
    let count: Int

    static let valueBytesMax = 4096

    /// Empty and overlong values are left out; the first of two equal ones wins.
    init(_ values: [(value: [UInt8], instance: Int)]) {
        let usable = values.filter { !$0.value.isEmpty && $0.value.count <= Self.valueBytesMax }
        // At most half full, so that a look-up ends soon.
        var capacity = 4
        while capacity < usable.count * 2 { capacity *= 2 }
        let mask = capacity - 1
        let slots = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
        slots.initialize(repeating: Slot(), count: capacity)
        let blob = UnsafeMutableRawPointer.allocate(
            byteCount: max(1, usable.reduce(0) { $0 + $1.value.count }), alignment: 8)
        var offset = 0
        var count = 0
        for (value, instance) in usable {
            value.withUnsafeBytes { bytes in
                let hash = Self.hash(bytes)
                var place = Int(hash) & mask
                while slots[place].instance >= 0 {
                    if Self.equal(bytes, hash, slots[place], blob) { return }
                    place = (place + 1) & mask
                }
                (blob + offset).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
                slots[place] = Slot(hash: hash, length: UInt32(bytes.count), offset: offset, instance: instance)
                offset += bytes.count
                count += 1
            }
        }
        self.mask = mask
        self.slots = slots
        self.blob = blob
        self.count = count
    }

    deinit {
        slots.deallocate()
        blob.deallocate()
    }

    /// The instance that a value names.
    func instance(_ value: UnsafeRawBufferPointer) -> Int? {
        guard count > 0, value.count > 0, value.count <= Self.valueBytesMax else { return nil }
        let hash = Self.hash(value)
        var place = Int(hash) & mask
        while slots[place].instance >= 0 {
            if Self.equal(value, hash, slots[place], blob) { return slots[place].instance }
            place = (place &+ 1) & mask
        }
        return nil
    }

    @inline(__always)
    private static func equal(
        _ value: UnsafeRawBufferPointer, _ hash: UInt32, _ slot: Slot, _ blob: UnsafeMutableRawPointer
    ) -> Bool {
        slot.hash == hash && Int(slot.length) == value.count
            && memcmp(value.baseAddress!, blob + slot.offset, value.count) == 0
    }

    /// Of the first and the last eight bytes and the length: signatures stand at the end. Clients cannot add values, so
    /// collisions cannot be made.
    @inline(__always)
    private static func hash(_ value: UnsafeRawBufferPointer) -> UInt32 {
        var mixed = UInt64(value.count)
        if value.count >= 8 {
            let first = value.loadUnaligned(fromByteOffset: 0, as: UInt64.self)
            let last = value.loadUnaligned(fromByteOffset: value.count &- 8, as: UInt64.self)
            mixed ^= first ^ (last << 29 | last >> 35)
        } else {
            for byte in value { mixed = mixed << 8 ^ UInt64(byte) }
        }
        return UInt32(truncatingIfNeeded: StableHash.mix(mixed))
    }
}
