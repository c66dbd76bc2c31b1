/// A 64-bit hash that is the same in every process and version: it places sessions on ramps and instances, so every
/// proxy has to compute the same one. FNV-1a (RFC draft-eastlake-fnv) with the finalizer of SplitMix64, because FNV's
/// high bits alone are unevenly spread for short inputs. Not keyed: never a defence, and never shown in place of an id.
public enum StableHash {
    public static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes {
            value = (value ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        return mix(value)
    }

    public static func hash(_ text: String) -> UInt64 {
        var text = text
        return text.withUTF8 { hash(UnsafeRawBufferPointer($0)) }
    }

    /// Scrambles all bits (SplitMix64, Steele, Lea and Flood 2014).
    @inlinable
    public static func mix(_ input: UInt64) -> UInt64 {
        var z = input &+ 0x9e37_79b9_7f4a_7c15
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
