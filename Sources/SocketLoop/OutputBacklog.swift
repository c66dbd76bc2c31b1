/// Bytes that a peer has not taken yet, in one piece of memory that exists only while there are any.
struct OutputBacklog: ~Copyable {
    private var base: UnsafeMutableRawPointer?
    private var capacity = 0
    private var start = 0
    private var end = 0

    init() {}

    deinit { base?.deallocate() }

    var count: Int { end - start }
    var isEmpty: Bool { start == end }
    var bytes: UnsafeRawBufferPointer {
        guard let base else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: base + start, count: end - start)
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, !bytes.isEmpty else { return }
        if end + bytes.count > capacity { makeRoom(bytes.count) }
        (base! + end).copyMemory(from: source, byteCount: bytes.count)
        end += bytes.count
    }

    private mutating func makeRoom(_ more: Int) {
        let needed = count + more
        if needed <= capacity / 2 {
            base!.copyMemory(from: base! + start, byteCount: count)
        } else {
            let larger = max(needed * 2, 16 * 1024)
            let memory = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
            if let base {
                memory.copyMemory(from: base + start, byteCount: count)
                base.deallocate()
            }
            base = memory
            capacity = larger
        }
        end = count
        start = 0
    }

    /// The peer has taken that many bytes. Frees the memory with the last one.
    mutating func consume(_ bytes: Int) {
        start += bytes
        if start == end { removeAll() }
    }

    mutating func removeAll() {
        base?.deallocate()
        base = nil
        capacity = 0
        start = 0
        end = 0
    }
}
